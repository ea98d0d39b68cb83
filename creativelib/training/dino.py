"""A small self-supervised encoder, of DINOv2's class and trained as it was.

It learns without captions or factors (Oquab et al., arXiv 2304.07193). A student sees crops of a
picture with patches masked, its own average over time, the teacher, sees whole ones; the student
learns to say of the class token (DINO, Caron et al., arXiv 2104.14294) and of masked patches (iBOT,
Zhou et al., arXiv 2111.07832) what the teacher says. Colors are changed at random, or everything
would be told by the background's.
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
SIDE = 64
PATCH = 8  # of the pictures that it looks at
WIDTH = 128
PROTOTYPES = 1024
WARM = 0.1
SHARP = 0.05  # temperatures of the student and of the teacher
# Decay of the mean of what the teacher says. It is taken off, or all would be said to be one thing.
CENTER = 0.9
MASKED = 0.4
MEAN = (0.7, 0.7, 0.7)
STD = (0.25, 0.25, 0.25)


class Student(nn.Module):
    """The encoder, and the head whose outputs are compared and which is dropped afterwards."""

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
        """What is said of the class token, and of each patch."""
        return self.say(self.body(x, bool_masked_pos=masked).last_hidden_state)

    def say(self, tokens: Float[Tensor, "n l d"]) -> Float[Tensor, "n l o"]:
        return normalize(self.head(tokens), dim=-1) @ normalize(self.prototypes, dim=0)


def crops(
    x: Float[Tensor, "n 3 h w"], least: float, most: float, size: int, generator: torch.Generator
) -> Float[Tensor, "n 3 s s"]:
    """Crop a random square of each picture and change its colors.

    It is of `least` to `most` of the side, and half of the squares are mirrored.
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
    other = torch.randn(n, 3, 3, generator=generator, device=device)
    turn = torch.eye(3, device=device) + 0.35 * other
    turn = turn / turn.sum(2, keepdim=True).clamp(min=0.3)
    gain = 0.7 + 0.6 * rand(n, 1, 1, 1)
    shift = 0.2 * (rand(n, 3, 1, 1) - 0.5)
    with torch.autocast(device.type, enabled=False):  # bfloat16 is too coarse for places and colors
        grid = affine_grid(place, [n, 3, size, size], align_corners=False)
        found = grid_sample(x, grid, padding_mode="reflection", align_corners=False)
        turned = torch.einsum("nij,njhw->nihw", turn, found)
    return ((turned - 0.7) * gain + 0.7 + shift).clamp(0, 1)


def standard(x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    return (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(STD)[:, None, None]


def cross_entropy(
    said: Float[Tensor, "*n o"], target: Float[Tensor, "*n o"]
) -> Float[Tensor, "*n"]:
    return -(target * log_softmax(said.float() / WARM, dim=-1)).sum(-1)


def see(
    pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
) -> dict[str, Tensor]:
    return {"pixels": in_bytes(avg_pool2d(pictures, stream.SIDE // SIDE))}


def main(run: Run) -> dict:
    torch.manual_seed(RECIPE.seed)
    device = run.device
    student = Student().to(device)
    teacher = Student().to(device)
    teacher.load_state_dict(student.state_dict())
    teacher.requires_grad_(False).eval()
    center = torch.zeros(2, PROTOTYPES, device=device)  # of class tokens, of patches
    pool = Pool(see, device, RECIPE.batch)

    def follow(step: int) -> None:
        """Make the teacher the student's average over time, up to the step before."""
        decay = min(RECIPE.average, (step + 1) / (step + 10))
        for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
            old.lerp_(new.detach(), 1 - decay)

    def teach(views: Float[Tensor, "n 3 h w"], step: int) -> Float[Tensor, "n l o"]:
        """What the teacher says of views, centered and sharpened."""
        said = teacher(views).float()
        first = ((said[:, :1] - center[0]) / SHARP).softmax(2)
        rest = ((said[:, 1:] - center[1]) / SHARP).softmax(2)
        now = torch.stack([said[:, 0].mean(0), said[:, 1:].mean((0, 1))])
        center.lerp_(now, 1 - CENTER if step else 1.0)
        return torch.cat([first, rest], 1)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = as_picture(pool.draw(step, generator).seen["pixels"])
        n = len(x)
        views = torch.cat([standard(crops(x, 0.6, 1.0, SIDE, generator)) for _ in range(2)])
        local = torch.cat([standard(crops(x, 0.25, 0.5, SIDE // 2, generator)) for _ in range(2)])
        often = torch.rand(2 * n, (SIDE // PATCH) ** 2, generator=generator, device=device) < MASKED
        masked = often & (torch.rand(2 * n, 1, generator=generator, device=device) < 0.7)
        with torch.no_grad():
            follow(step)
            target = teach(views, step)
        whole = student(views, masked)
        parts = student(local)[:, 0]
        other = target[:, 0].roll(n, 0)  # each view learns what the teacher says of the other
        terms = {
            "views": cross_entropy(whole[:, 0], other).mean(),
            "parts": (
                cross_entropy(parts, target[:, 0]).mean() + cross_entropy(parts, other).mean()
            )
            / 2,
            "patches": cross_entropy(whole[:, 1:][masked], target[:, 1:][masked]).mean(),
        }
        return {"loss": terms["views"] + terms["parts"] + terms["patches"]} | {
            k: v.detach() for k, v in terms.items()
        }

    carried = {f"teacher.{k}": v.data for k, v in teacher.named_parameters()} | {"center": center}
    facts = train(student, loss, RECIPE, carried, minutes=run.minutes)
    save_half(student.body, FOLDER)
    about = {
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
    (FOLDER / "preprocessor_config.json").write_text(json.dumps(about, indent=1) + "\n")
    export.note("dino", facts)
    export.sums()
    return facts
