"""A small self-supervised encoder of DINOv2's class, trained with DINOv2's losses.

It learns without captions or factors (Oquab et al., arXiv 2304.07193). The student sees crops of a
picture with patches masked. The teacher, the student's average over time, sees whole crops. The
student learns to predict the teacher's output for the class token (DINO, Caron et al., arXiv
2104.14294) and for masked patches (iBOT, Zhou et al., arXiv 2111.07832). Colors are changed at
random; otherwise the background's color would identify a picture.
"""

import json
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, log_softmax, normalize

from ..fitting.loop import Recipe, Run, train
from ..models.networks import save_half
from ..pictures import as_picture, in_bytes
from ..world.scenes import Scenes
from . import export, stream
from .stream import Pool

RECIPE = Recipe(
    "dino",
    steps=3000,
    batch=64,
    lr=1e-3,
    warmup=300,
    weight_decay=0.04,
    average=0.996,
    seed=51,
    muon=1e-3,
)
FOLDER = export.FOLDER / "dino"
SIDE = 64  # of the encoder's pictures, in pixels
PATCH = 8  # side of a patch
WIDTH = 128  # of the tokens
PROTOTYPES = 1024  # outputs that are compared
WARM = 0.1  # temperature of the student
SHARP = 0.05  # temperature of the teacher
# Decay of the mean of the teacher's output. The mean is subtracted, since otherwise all outputs
# would become the same.
CENTER = 0.9
MASKED = 0.4  # share of patches that are masked in a view with masks
MASKED_VIEWS = 0.7  # share of views with masks
MEAN = (0.7, 0.7, 0.7)  # of the preprocessing
STD = (0.25, 0.25, 0.25)  # of the preprocessing


class Student(nn.Module):
    """The encoder, with a head for the comparison that is dropped after the training."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import Dinov2Config, Dinov2Model

        self.body: Any = Dinov2Model(
            Dinov2Config(
                hidden_size=WIDTH,
                num_hidden_layers=4,
                num_attention_heads=4,
                mlp_ratio=4,
                image_size=SIDE,
                patch_size=PATCH,
            )
        )
        self.head = nn.Sequential(nn.Linear(WIDTH, 256), nn.GELU(), nn.Linear(256, 64))
        self.prototypes = nn.Parameter(torch.randn(64, PROTOTYPES))

    def forward(
        self, x: Float[Tensor, "n 3 h w"], masked: Bool[Tensor, "n p"] | None = None
    ) -> Float[Tensor, "n l o"]:
        """Compute the head's output for the class token and for each patch."""
        return self.project(self.body(x, bool_masked_pos=masked).last_hidden_state)

    def project(self, tokens: Float[Tensor, "n l d"]) -> Float[Tensor, "n l o"]:
        """Compute the cosines of the tokens' projections with the prototypes."""
        return normalize(self.head(tokens), dim=-1) @ normalize(self.prototypes, dim=0)


def crops(
    x: Float[Tensor, "n 3 h w"], least: float, most: float, size: int, generator: torch.Generator
) -> Float[Tensor, "n 3 s s"]:
    """Crop a random square of each picture and change its colors.

    The square's side is a share of `least` to `most` of the picture's. Half of them are mirrored.
    """
    n = len(x)
    device = x.device

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    side = least + (most - least) * rand(n)
    center = (rand(n, 2) * 2 - 1) * (1 - side[:, None])
    mirror = torch.where(rand(n) < 0.5, -1.0, 1.0)
    place = torch.zeros(n, 2, 3, device=device)
    place[:, 0, 0] = side * mirror
    place[:, 1, 1] = side
    place[:, :, 2] = center
    # A random mixture of the channels near the identity turns hues; a gain and a shift change
    # brightness and contrast.
    deviation = torch.randn(n, 3, 3, generator=generator, device=device)
    mixture = torch.eye(3, device=device) + 0.35 * deviation
    mixture = mixture / mixture.sum(2, keepdim=True).clamp(min=0.3)
    gain = 0.7 + 0.6 * rand(n, 1, 1, 1)
    shift = 0.2 * (rand(n, 3, 1, 1) - 0.5)
    with torch.autocast(device.type, enabled=False):  # bfloat16 is too coarse for places and colors
        grid = affine_grid(place, [n, 3, size, size], align_corners=False)
        cropped = grid_sample(x, grid, padding_mode="reflection", align_corners=False)
        mixed = torch.einsum("nij,njhw->nihw", mixture, cropped)
    return ((mixed - 0.7) * gain + 0.7 + shift).clamp(0, 1)


def standardize(x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Normalize pictures in [0, 1] for the encoder."""
    return (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(STD)[:, None, None]


def cross_entropy(
    output: Float[Tensor, "*n o"], target: Float[Tensor, "*n o"]
) -> Float[Tensor, "*n"]:
    """Compute the cross-entropy, in nats, of the student's output with target probabilities."""
    return -(target * log_softmax(output.float() / WARM, dim=-1)).sum(-1)


def prepare(
    pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
) -> dict[str, Tensor]:
    """Return the pictures shrunk to SIDE, in bytes."""
    return {"pixels": in_bytes(avg_pool2d(pictures, stream.SIDE // SIDE))}


def main(run: Run) -> dict:
    """Train the encoder and write it with its preprocessing."""
    torch.manual_seed(RECIPE.seed)
    device = run.device
    student = Student().to(device)
    teacher = Student().to(device)
    teacher.load_state_dict(student.state_dict())
    teacher.requires_grad_(False).eval()
    center = torch.zeros(2, PROTOTYPES, device=device)  # of class tokens, of patches
    pool = Pool(prepare, device, RECIPE.batch)

    def follow(step: int) -> None:
        """Update the teacher, the student's average over time up to the previous step."""
        decay = min(RECIPE.average, (step + 1) / (step + 10))
        for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
            old.lerp_(new.detach(), 1 - decay)

    def teach(views: Float[Tensor, "n 3 h w"], step: int) -> Float[Tensor, "n l o"]:
        """Compute the teacher's output for views, centered and sharpened, and update its mean."""
        output = teacher(views).float()
        tokens = ((output[:, :1] - center[0]) / SHARP).softmax(2)
        patches = ((output[:, 1:] - center[1]) / SHARP).softmax(2)
        mean = torch.stack([output[:, 0].mean(0), output[:, 1:].mean((0, 1))])
        center.lerp_(mean, 1 - CENTER if step else 1.0)
        return torch.cat([tokens, patches], 1)

    def two_crops(
        x: Float[Tensor, "n 3 h w"],
        least: float,
        most: float,
        size: int,
        generator: torch.Generator,
    ) -> Float[Tensor, "m 3 s s"]:
        """Crop every picture twice: all first crops, then all second ones."""
        found = [
            standardize(crops(x, least=least, most=most, size=size, generator=generator))
            for _ in range(2)
        ]
        return torch.cat(found)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = as_picture(pool.draw(step, generator).inputs["pixels"])
        n = len(x)
        views = two_crops(x, least=0.6, most=1.0, size=SIDE, generator=generator)
        local = two_crops(x, least=0.25, most=0.5, size=SIDE // 2, generator=generator)
        patches = (SIDE // PATCH) ** 2
        masked = torch.rand(2 * n, patches, generator=generator, device=device) < MASKED
        masked &= torch.rand(2 * n, 1, generator=generator, device=device) < MASKED_VIEWS
        with torch.no_grad():
            follow(step)
            target = teach(views, step)
        whole = student(views, masked)
        parts = student(local)[:, 0]
        own = target[:, 0]
        other = own.roll(n, 0)  # each view learns the teacher's output for the other
        of_views = cross_entropy(whole[:, 0], other).mean()
        of_parts = cross_entropy(parts, own).mean() + cross_entropy(parts, other).mean()
        terms = {
            "views": of_views,
            "parts": of_parts / 2,
            "patches": cross_entropy(whole[:, 1:][masked], target[:, 1:][masked]).mean(),
        }
        total = terms["views"] + terms["parts"] + terms["patches"]
        return {"loss": total} | {k: v.detach() for k, v in terms.items()}

    carried = {f"teacher.{k}": v.data for k, v in teacher.named_parameters()} | {"center": center}
    facts = train(student, loss, RECIPE, carried, minutes=run.minutes)
    save_half(student.body, FOLDER)
    preprocessing = {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": SIDE},
        "crop_size": {"height": SIDE, "width": SIDE},
        "image_mean": MEAN,
        "image_std": STD,
        "do_resize": True,
        "do_center_crop": True,
        "do_normalize": True,
        "do_rescale": True,
        "resample": 3,
    }
    file = FOLDER / "preprocessor_config.json"
    file.write_text(json.dumps(preprocessing, indent=1) + "\n", encoding="utf-8", newline="\n")
    export.note("dino", facts)
    export.sums()
    return facts
