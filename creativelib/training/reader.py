"""A reader for the decoder's second stage: from latents to the embedding and the factors of the picture that they stand for.

The squared error of a diffusion model counts every latent alike, so a pet's ears weigh as little as the ground below it. The reader
knows what CLIP looks at and what the world drew. It is used in training alone and not bundled; it shares nothing with the oracles,
which look at pixels.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, silu

from ..world.oracle import of_category, slots
from ..world.scenes import Scenes
from . import clip, vqmodel
from .data import visible_factors
from .loop import Recipe, train

RECIPE = Recipe("reader", steps=2400, batch=64, lr=2e-3, warmup=160, weight_decay=0.02, seed=9)
NOISE = 0.5  # the most that is added to latents of unit scale: what it reads later is not clean


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.convs[1](silu(self.norms[1](self.convs[0](silu(self.norms[0](x))))))


@dataclass(frozen=True)
class Read:
    """embedding: standardised by the training set's mean and deviation. factors: logits of every value, see `world.oracle.slots`."""

    embedding: Float[Tensor, "n d"]
    factors: Float[Tensor, "n v"]


class Reader(nn.Module):
    """Latents (n, c, 16, 16) to three layers of features, and from the last of them to a `Read`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(vqmodel.CHANNELS, 64, 3, 1, 1), nn.SiLU())
        self.blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(64, 128, 4, 2, 1), Block(128)), Block(128)])
        self.neck = nn.Sequential(nn.GroupNorm(8, 128), nn.SiLU(), nn.Conv2d(128, 32, 1), nn.Flatten(), nn.Linear(2048, 256), nn.SiLU())
        self.embedding, self.factors = nn.Linear(256, clip.DIM), nn.Linear(256, int(slots().max()))

    def features(self, latents: Float[Tensor, "n c 16 16"]) -> list[Tensor]:
        found = [self.stem(latents)]
        for block in self.blocks:
            found.append(block(found[-1]))
        return found

    def read(self, feature: Float[Tensor, "n c 8 8"]) -> Read:
        neck = self.neck(feature)
        return Read(self.embedding(neck).float(), self.factors(neck).float())


def misread(read: Read, scenes: Scenes) -> Float[Tensor, ""]:
    """Cross-entropy of the visible factors, in nats."""
    logits = of_category(read.factors, scenes.category)
    return cross_entropy(logits.flatten(0, 1), visible_factors(scenes).flatten(), ignore_index=-1)


def fit(latents: Float[Tensor, "n c 16 16"], target: Float[Tensor, "n d"], scenes: Scenes) -> tuple[Reader, dict]:
    """A frozen reader of the training set's latents, and the facts of its training; from its checkpoint if it was trained before."""
    torch.manual_seed(RECIPE.seed)
    net = Reader().to(memory_format=torch.channels_last)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(latents), (RECIPE.batch,), generator=generator)
        x = latents[rows].float()
        much = NOISE * torch.rand(len(x), 1, 1, 1, generator=generator)
        read = net.read(net.features(x + much * torch.randn(x.shape, generator=generator))[-1])
        embedding, factors = (read.embedding - target[rows]).square().mean(), misread(read, scenes[rows])
        return {"loss": embedding + factors, "embedding": embedding.detach(), "factors": factors.detach()}

    facts = train(net, loss, RECIPE)
    return net.requires_grad_(False), facts
