"""The steps of a prior's sampling, laid out beforehand: the same as UnCLIPScheduler's, but with noise that is given, and without a word
from the CPU on the way, so that many of them can be recorded as one CUDA graph."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .errors import InputError

# One source of all noise, or one for each of k conditions.
Generators = torch.Generator | Sequence[torch.Generator]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Noise of unit scale, drawn beforehand for sampling to take in place of generators: the start's, then one for each step but the
    last."""

    noise: Float[Tensor, "s k n d"]

    @classmethod
    def draw(cls, generator: Generators, steps: int, k: int, n: int, d: int, device: torch.device) -> "Drawn":
        """In the order in which diffusers' Kandinsky prior draws. Raises InputError unless generators number 1 or k."""
        from diffusers.utils.torch_utils import randn_tensor

        rows = for_rows(generator, k, n)
        where = (rows if isinstance(rows, torch.Generator) else rows[0]).device
        parts = [randn_tensor((k * n, d), generator=rows, device=where, dtype=torch.float32) for _ in range(steps)]
        return cls(torch.stack(parts).view(steps, k, n, d).to(device))


# Where sampling takes its noise from.
Noise = Generators | Drawn


def for_rows(generator: Generators, k: int, n: int) -> torch.Generator | list[torch.Generator]:
    """A generator for each of k * n rows. Raises InputError unless generators number 1 or k."""
    if isinstance(generator, torch.Generator):
        return generator
    if len(generator) != k:
        raise InputError(f"generator is a list of {len(generator)}; allowed is one generator, or one for each of the {k} conditions")
    return [own for own in generator for _ in range(n)]


@dataclass(frozen=True, eq=False)
class Steps:
    """Timesteps from noise to nothing, and of each step what it takes of the predicted clean embedding, of where it stands, and of new
    noise (DDPM, arXiv 2006.11239, equation 7). `limit` bounds predicted values; `kept` is the schedule's alpha-bar.

    Numbers lie on the CPU, where multiplying by them costs a GPU nothing; `times` are on the device.
    """

    times: Sequence[Tensor]
    clean: Sequence[Tensor]
    stay: Sequence[Tensor]
    fresh: Sequence[Tensor | None]
    kept: Sequence[Tensor]
    limit: float | None

    @classmethod
    def of(cls, scheduler: Any, steps: int, device: torch.device) -> "Steps":
        """What an UnCLIPScheduler does in so many steps. Raises InputError for one that predicts noise or learns variances."""
        config = scheduler.config
        if config.prediction_type != "sample" or config.variance_type != "fixed_small_log":
            raise InputError(f"the prior's scheduler predicts {config.prediction_type!r} with a variance of type {config.variance_type!r}; "
                             "allowed are 'sample' and 'fixed_small_log', as in all Kandinsky priors")
        scheduler = copy.deepcopy(scheduler)
        scheduler.set_timesteps(steps)
        whole, times = scheduler.alphas_cumprod, scheduler.timesteps.tolist()
        clean, stay, fresh = [], [], []
        for t, previous in zip(times, [*times[1:], -1], strict=True):
            here, there = whole[t], whole[previous] if previous >= 0 else scheduler.one
            near = previous == t - 1
            beta = scheduler.betas[t] if near else 1 - here / there
            alpha = scheduler.alphas[t] if near else 1 - beta
            clean.append(there ** 0.5 * beta / (1 - here))
            stay.append(alpha ** 0.5 * (1 - there) / (1 - here))
            fresh.append(scheduler._get_variance(t, previous) if t > 0 else None)
        return cls(list(scheduler.timesteps.to(device)), clean, stay, fresh, [whole[t] for t in times],
                   config.clip_sample_range if config.clip_sample else None)

    def step(self, index: int, clean: Float[Tensor, "c d"], z: Float[Tensor, "c d"], noise: Float[Tensor, "c d"]) -> Float[Tensor, "c d"]:
        """From one timestep to the next."""
        bounded = clean if self.limit is None else clean.clamp(-self.limit, self.limit)
        mean, spread = self.clean[index] * bounded + self.stay[index] * z, self.fresh[index]
        return mean if spread is None else mean + spread * noise

    def cover(self, index: int, clean: Float[Tensor, "c d"], noise: Float[Tensor, "c d"]) -> Float[Tensor, "c d"]:
        """A clean embedding with the noise of a timestep."""
        kept = self.kept[index]
        return kept ** 0.5 * clean + (1 - kept) ** 0.5 * noise
