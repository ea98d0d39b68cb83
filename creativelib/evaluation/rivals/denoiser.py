"""The prior one step at a time, for rivals that act between its steps.

`Pipeline.sample_prior` takes all steps in one go, and its hooks see clean predictions. Rivals that
look at the noised samples, or change the prompt on the way, write the loop themselves:

    denoiser = Denoiser.of(pipe, steps=10)
    for index in range(10):
        x0 = denoiser.predict(x, denoiser.schedule.timesteps[index], cond)
        x = denoiser.schedule.step(index, x0, x, noise[index])
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...errors import inside
from ...sharing import gpu_turn
from ...unclip.batches import in_batches
from ...unclip.conditions import TextCondition, aligned
from ...unclip.pipeline import Pipeline
from ...unclip.prior import EMBEDDING_ROWS, Noise, PriorSchedule, predict_x0


@dataclass(frozen=True, eq=False)
class Level:
    """How much noise embeddings carry: the network's timestep, and the share of the signal."""

    t: Int[Tensor, ""]
    alpha_bar: Float[Tensor, ""]


@dataclass(frozen=True, eq=False)
class Probe:
    """Noised samples of one step, and how what is predicted from them is put to the test."""

    # In the prior's own units.
    x: Float[Tensor, "n d"]
    # Their timestep.
    t: Int[Tensor, ""]
    # To which predictions are noised again.
    level: Level
    # The condition that they are reconstructed with.
    cond: TextCondition


@dataclass(frozen=True, eq=False)
class Denoiser:
    """A pipeline's prior and the steps of one sampling.

    Embeddings are in the prior's own units, in which each coordinate has about unit variance.
    """

    pipe: Pipeline
    schedule: PriorSchedule

    @classmethod
    def of(cls, pipe: Pipeline, steps: int) -> "Denoiser":
        """Lay out the steps. Raises InputError for more than the prior was trained with."""
        return cls(pipe, PriorSchedule.of(pipe.prior_scheduler, steps, pipe.device))

    def level(self, share: float) -> Level:
        """Return the level at a share of all timesteps, from 0, clean, to 1, noise.

        Raises InputError for a share that is not between them.
        """
        inside("level", share, 0, 1)
        alpha_bars = self.pipe.prior_scheduler.alphas_cumprod
        t = int(share * len(alpha_bars))
        return Level(torch.tensor(t, device=self.pipe.device), alpha_bars[t])

    def draw(
        self, generator: torch.Generator, n: int, skip: int = 0
    ) -> Iterator[Float[Tensor, "n d"]]:
        """Draw the noise that `Pipeline.sample_prior` would: of the start, then of each step.

        The last step adds none and gets that of the step before. The first `skip` steps get none.
        """
        steps = len(self.schedule.timesteps) - skip
        d = self.pipe.prior.config.embedding_dim
        drawn = Noise.draw(generator, steps, 1, n, d, self.pipe.device).noise[:, 0]
        parts = drawn.to(self.pipe.latent_dtype)
        return iter([*parts, parts[-1]])

    def predict(
        self,
        x: Float[Tensor, "n d"],
        t: Int[Tensor, ""],
        cond: TextCondition,
        *,
        guidance: float = 1.0,
        negative: TextCondition | None = None,
    ) -> Float[Tensor, "n d"]:
        """Predict clean embeddings for one condition, or one for each; differentiable.

        `negative` is what guidance above 1 leads away from, and needed for it.
        """
        cond, away = aligned(cond, negative or cond)
        k = len(cond.pooled)
        owner = torch.arange(len(x), device=x.device) % k
        predict = partial(
            predict_x0,
            network=self.pipe.prior,
            t=t,
            cond=cond,
            negative=away,
            guidance=guidance,
        )
        with gpu_turn(self.pipe.device):
            return in_batches(predict, EMBEDDING_ROWS, x, owner)

    def minority_score(
        self,
        probe: Probe,
        x0: Float[Tensor, "n d"],
        noised: Float[Tensor, "n d"],
        noise: Float[Tensor, "n d"],
    ) -> Float[Tensor, " n"]:
        """Return how badly predictions are reconstructed: high where the prior knows few such.

        `noised` is what is noised and predicted anew: the predictions x0, or a copy of them that
        takes no gradient. The papers' score (Um et al., ICLR 2024, arXiv 2301.12334) is LPIPS
        between pictures. Here it is the distance between embeddings, in the prior's own units.
        """
        alpha_bar = probe.level.alpha_bar
        again = alpha_bar**0.5 * noised + (1 - alpha_bar) ** 0.5 * noise
        return (x0 - self.predict(again, probe.level.t, probe.cond)).norm(dim=-1)

    def embeddings(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return embeddings in CLIP's units."""
        return (x * self.pipe.prior.clip_std + self.pipe.prior.clip_mean).float()
