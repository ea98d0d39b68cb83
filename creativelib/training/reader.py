"""A reader for the decoder's training: from latents to the embedding and the factors of a picture.

The squared error of a diffusion model counts every latent alike, so a pet's ears weigh as little as
the ground below it. The reader is trained on CLIP's embeddings and on the factors that were drawn.
It is used in training alone and not bundled. It shares nothing with the oracles, which look at
pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, silu

from ..fitting.loop import Recipe, train
from ..world.oracle import of_category, slots
from ..world.scenes import Scenes
from . import clip, vqmodel
from .data import visible_factors
from .stream import SIDE, Lesson

RECIPE = Recipe(
    "reader", steps=3000, batch=1024, lr=2e-3, warmup=100, weight_decay=0.02, seed=9, muon=3e-3
)
# Largest deviation of the noise added to latents of unit scale. The predictions that the reader
# looks at later are not clean.
NOISE = 0.5
PLACES = SIDE // vqmodel.SHRINK // 2  # side of the last features


class Block(nn.Module):
    """A residual block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.convs[0](silu(self.norms[0](x)))
        return x + self.convs[1](silu(self.norms[1](hidden)))


@dataclass(frozen=True)
class Read:
    """The reader's output for n pictures."""

    # Standardized by the training set's mean and deviation.
    embedding: Float[Tensor, "n d"]
    # Logits of every value of every factor, see `world.oracle.slots`.
    factors: Float[Tensor, "n v"]


class Reader(nn.Module):
    """A network from latents (n, c, k, k) to four layers of features and from those to `Read`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(vqmodel.CHANNELS, 96, 3, 1, 1), nn.SiLU())
        self.blocks = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(96, 160, 4, 2, 1), Block(160)), Block(160), Block(160)]
        )
        self.neck = nn.Sequential(
            nn.GroupNorm(8, 160),
            nn.SiLU(),
            nn.Conv2d(160, 48, 1),
            nn.Flatten(),
            nn.Linear(48 * PLACES**2, 384),
            nn.SiLU(),
        )
        self.embedding = nn.Linear(384, clip.DIM)
        self.factors = nn.Linear(384, int(slots().max()))

    def features(self, latents: Float[Tensor, "n c k k"]) -> list[Tensor]:
        """Compute the four layers of features."""
        found = [self.stem(latents)]
        for block in self.blocks:
            found.append(block(found[-1]))
        return found

    def read(self, feature: Float[Tensor, "n c p p"]) -> Read:
        """Read the embedding and the factors off the last features."""
        neck = self.neck(feature)
        return Read(self.embedding(neck).float(), self.factors(neck).float())


def misread(factors: Float[Tensor, "n v"], scenes: Scenes) -> Float[Tensor, " n"]:
    """Compute the mean cross-entropy of each picture's visible factors, in nats."""
    logits = of_category(factors, scenes.category)
    target = visible_factors(scenes)
    each = cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-1, reduction="none")
    return each.view(target.shape).sum(1) / (target >= 0).sum(1)


def fit(
    draw: Callable[[int, torch.Generator], Lesson],
    standardize: Callable[[Tensor], Tensor],
    device: torch.device,
    minutes: float | None = None,
) -> tuple[Reader, dict]:
    """Train a reader, and return it frozen with the facts of its training.

    A reader that was trained before comes from its checkpoint. `draw` returns lessons with
    "latents" and "z"; `standardize` standardizes embeddings.
    """
    torch.manual_seed(RECIPE.seed)
    net = Reader().to(device).to(memory_format=torch.channels_last)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        lesson = draw(step, generator)
        x = lesson.inputs["latents"].float()
        amount = NOISE * torch.rand(len(x), 1, 1, 1, generator=generator, device=device)
        noise = torch.randn(x.shape, generator=generator, device=device)
        read = net.read(net.features(x + amount * noise)[-1])
        embedding = (read.embedding - standardize(lesson.inputs["z"])).square().mean()
        factors = misread(read.factors, lesson.scenes).mean()
        return {
            "loss": embedding + factors,
            "embedding": embedding.detach(),
            "factors": factors.detach(),
        }

    facts = train(net, loss, RECIPE, minutes=minutes)
    return net.requires_grad_(False), facts
