"""A small self-supervised encoder, of DINOv2's class and trained as it was, without captions or factors (Oquab et al., arXiv 2304.07193).

A student sees crops of a picture with patches masked, its own average over time, the teacher, sees whole ones; the student learns to say of
the class token (DINO, Caron et al., arXiv 2104.14294) and of masked patches (iBOT, Zhou et al., arXiv 2111.07832) what the teacher says.
Colours are changed at random, or everything would be told by the background's.
"""

import json
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, log_softmax, normalize

from . import data, export
from .loop import Recipe, train

RECIPE = Recipe("dino", steps=3000, batch=64, lr=1e-3, warmup=300, weight_decay=0.04, average=0.996, seed=51, muon=1e-3)
FOLDER = export.FOLDER / "dino"
WIDTH, PROTOTYPES = 128, 1024
WARM, SHARP = 0.1, 0.05  # temperatures of the student and of the teacher
CENTRE = 0.9  # decay of the mean of what the teacher says, which is taken off so that it does not say one thing of everything
MASKED = 0.4
MEAN, STD = (0.7, 0.7, 0.7), (0.25, 0.25, 0.25)


class Student(nn.Module):
    """The encoder, and the head whose outputs are compared and which is dropped afterwards."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import Dinov2Config, Dinov2Model

        self.body: Any = Dinov2Model(Dinov2Config(hidden_size=WIDTH, num_hidden_layers=4, num_attention_heads=4, mlp_ratio=4, image_size=64,
                                                  patch_size=8))
        self.head = nn.Sequential(nn.Linear(WIDTH, 256), nn.GELU(), nn.Linear(256, 64))
        self.prototypes = nn.Parameter(torch.randn(64, PROTOTYPES))

    def forward(self, x: Float[Tensor, "n 3 h w"], masked: Bool[Tensor, "n p"] | None = None) -> Float[Tensor, "n l o"]:
        """What is said of the class token, and of each patch."""
        return self.say(self.body(x, bool_masked_pos=masked).last_hidden_state)

    def say(self, tokens: Float[Tensor, "n l d"]) -> Float[Tensor, "n l o"]:
        return normalize(self.head(tokens), dim=-1) @ normalize(self.prototypes, dim=0)


def crops(x: Float[Tensor, "n 3 h w"], least: float, most: float, size: int, generator: torch.Generator) -> Float[Tensor, "n 3 s s"]:
    """One random square crop of each picture, of `least` to `most` of its side, perhaps mirrored, with other colours."""
    n = len(x)
    side = least + (most - least) * torch.rand(n, generator=generator)
    centre = (torch.rand(n, 2, generator=generator) * 2 - 1) * (1 - side[:, None])
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    place = torch.zeros(n, 2, 3)
    place[:, 0, 0], place[:, 1, 1], place[:, :, 2] = side * mirror, side, centre
    found = grid_sample(x, affine_grid(place, [n, 3, size, size], align_corners=False), padding_mode="reflection", align_corners=False)
    # A random mixture of the channels near the identity turns hues; a gain and a shift change brightness and contrast.
    turn = torch.eye(3) + 0.35 * torch.randn(n, 3, 3, generator=generator)
    turn = turn / turn.sum(2, keepdim=True).clamp(min=0.3)
    gain = 0.7 + 0.6 * torch.rand(n, 1, 1, 1, generator=generator)
    shift = 0.2 * (torch.rand(n, 3, 1, 1, generator=generator) - 0.5)
    return ((torch.einsum("nij,njhw->nihw", turn, found) - 0.7) * gain + 0.7 + shift).clamp(0, 1)


def standard(x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    return (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(STD)[:, None, None]


def cross_entropy(said: Float[Tensor, "*n o"], target: Float[Tensor, "*n o"]) -> Float[Tensor, "*n"]:
    return -(target * log_softmax(said.float() / WARM, dim=-1)).sum(-1)


def main() -> dict:
    torch.manual_seed(RECIPE.seed)
    student, teacher, pictures = Student(), Student(), data.load()
    teacher.load_state_dict(student.state_dict())
    teacher.requires_grad_(False).eval()
    centre = torch.zeros(2, PROTOTYPES)  # of class tokens, of patches

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = pictures.batch(torch.randint(len(pictures), (RECIPE.batch,), generator=generator))
        views = torch.cat([standard(crops(x, 0.6, 1.0, 64, generator)) for _ in range(2)])
        local = torch.cat([standard(crops(x, 0.25, 0.5, 32, generator)) for _ in range(2)])
        masked = torch.rand(len(views), 64, generator=generator) < MASKED * (torch.rand(len(views), 1, generator=generator) < 0.7)
        with torch.no_grad():
            # The teacher is the student's average over time; it follows the step before.
            decay = min(RECIPE.average, (step + 1) / (step + 10))
            for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
                old.lerp_(new.detach(), 1 - decay)
            said = teacher(views).float()
            target = torch.cat([((said[:, :1] - centre[0]) / SHARP).softmax(2), ((said[:, 1:] - centre[1]) / SHARP).softmax(2)], 1)
            now = torch.stack([said[:, 0].mean(0), said[:, 1:].mean((0, 1))])
            centre.lerp_(now, 1 - CENTRE if step else 1.0)
        whole, parts = student(views, masked), student(local)[:, 0]
        n = len(x)
        other = target[:, 0].roll(n, 0)  # each view learns what the teacher says of the other
        terms = {"views": cross_entropy(whole[:, 0], other).mean(),
                 "parts": (cross_entropy(parts, target[:, 0]).mean() + cross_entropy(parts, other).mean()) / 2,
                 "patches": cross_entropy(whole[:, 1:][masked], target[:, 1:][masked]).mean()}
        return {"loss": terms["views"] + terms["parts"] + terms["patches"]} | {k: v.detach() for k, v in terms.items()}

    carried = {f"teacher.{k}": v for k, v in teacher.named_parameters()} | {"centre": centre}
    facts = train(student, loss, RECIPE, {k: v.data for k, v in carried.items()})
    export.save_half(student.body, FOLDER)
    about = {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64},
             "image_mean": MEAN, "image_std": STD, "do_resize": True, "do_center_crop": True, "do_normalize": True, "do_rescale": True,
             "resample": 3}
    (FOLDER / "preprocessor_config.json").write_text(json.dumps(about, indent=1) + "\n")
    export.note("dino", facts)
    export.sums()
    return facts
