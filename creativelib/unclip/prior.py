"""The diffusion prior: from a text's condition to image embeddings (DALL-E 2, arXiv 2204.06125).

The schedule is laid out beforehand. Its steps are those of diffusers' UnCLIPScheduler, but with
noise that is given and without a question to the GPU on the way, so that a whole sampling can be
recorded as one CUDA graph.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InputError, check_fields, whole, within
from .batches import in_batches
from .conditions import PartialStart, TextCondition, aligned, routed_twin
from .graphs import short_attention
from .schedulers import check_prior_scheduler, check_steps
from .twins import twin

# Embeddings sent through the network at once. Bounds memory and changes no result.
EMBEDDING_ROWS = 256

# Most denoising steps: networks know a thousand timesteps, and more would repeat some.
MOST_STEPS = 1000
# Classifier-free guidance: 1 is none. Below, a picture would half ignore its prompt.
GUIDANCE_RANGE = (1, 1000)

# One source of all noise, or one for each of k conditions.
Generators = torch.Generator | Sequence[torch.Generator]
# (x0_pred (k, n, d), progress from 0 to 1) -> modified x0_pred.
DenoisedFn = Callable[[Tensor, float], Tensor]
# (x0_pred (k, n, d), progress) -> the indices (k, m) of the samples that go on, at most n. One that
# comes twice goes on as two.
ResampleFn = Callable[[Tensor, float], Tensor]
# (k conditions, progress) -> the k conditions of this step.
ConditionFn = Callable[[TextCondition, float], TextCondition]


@dataclass(frozen=True)
class PriorSampling:
    """Settings of one sampling from a prior.

    Raises InputError for fewer than 2 steps (the scheduler divides by steps - 1) or more than 1000,
    and for a guidance below 1: in the papers' formula it would half ignore the prompt, in diffusers
    it is none at all.
    """

    # Classifier-free guidance away from the empty prompt; 1 is none. Above 1, samples vary less and
    # keep more of a prompt that asks for several things at once (benchmarks/models/bundled.py).
    guidance: float = 1.0
    # Denoising steps.
    steps: int = 5

    def __post_init__(self) -> None:
        check_fields(self, within, {"guidance": GUIDANCE_RANGE})
        check_fields(self, whole, {"steps": (2, MOST_STEPS)})


@dataclass(frozen=True, eq=False)
class Noise:
    """Unit noise, drawn beforehand: that of the start, then one part for each step but the last."""

    noise: Float[Tensor, "s k n d"]

    @classmethod
    def draw(
        cls, generator: Generators, steps: int, k: int, n: int, d: int, device: torch.device
    ) -> "Noise":
        """Draw noise in the order in which diffusers' Kandinsky prior does.

        Raises InputError unless generators number 1 or k.
        """
        from diffusers.utils.torch_utils import randn_tensor

        rows = expand_generators(generator, k, n)
        first = rows if isinstance(rows, torch.Generator) else rows[0]
        parts = [
            randn_tensor((k * n, d), generator=rows, device=first.device, dtype=torch.float32)
            for _ in range(steps)
        ]
        return cls(torch.stack(parts).view(steps, k, n, d).to(device))


# What sampling takes its noise from.
NoiseSource = Generators | Noise


def expand_generators(
    generator: Generators, k: int, n: int
) -> torch.Generator | list[torch.Generator]:
    """Repeat k generators for the n samples of each. Raises InputError unless there are 1 or k."""
    if isinstance(generator, torch.Generator):
        return generator
    if len(generator) != k:
        raise InputError(
            f"generator is a list of {len(generator)}; expected one generator, or one for each of "
            f"the {k} conditions"
        )
    return [own for own in generator for _ in range(n)]


@dataclass(frozen=True, eq=False)
class PriorSchedule:
    """Coefficients of every step from noise to a clean embedding (DDPM, arXiv 2006.11239, eq. 7).

    A step takes x_t to x0_coef * x0_pred + xt_coef * x_t + sigma * noise. The coefficients lie on
    the CPU, where multiplying by them costs a GPU nothing; the timesteps lie on the device.
    """

    timesteps: Sequence[Tensor]
    x0_coef: Sequence[Tensor]
    xt_coef: Sequence[Tensor]
    # None at the last step, which adds no noise.
    sigma: Sequence[Tensor | None]
    alpha_bar: Sequence[Tensor]
    # Predictions are clipped to [-limit, limit].
    limit: float | None

    @classmethod
    def of(cls, scheduler: Any, steps: int, device: torch.device) -> "PriorSchedule":
        """Lay out an UnCLIPScheduler's steps.

        Raises InputError for another scheduler, for one that predicts noise or learns variances,
        and for more steps than it was trained with.
        """
        check_prior_scheduler(scheduler)
        check_steps(scheduler, steps)
        config = scheduler.config
        scheduler = copy.deepcopy(scheduler)
        scheduler.set_timesteps(steps)
        alpha_bars = scheduler.alphas_cumprod
        times = scheduler.timesteps.tolist()
        x0_coef = []
        xt_coef = []
        sigma = []
        for t, previous in zip(times, [*times[1:], -1], strict=True):
            here = alpha_bars[t]
            there = alpha_bars[previous] if previous >= 0 else scheduler.one
            adjacent = previous == t - 1
            beta = scheduler.betas[t] if adjacent else 1 - here / there
            alpha = scheduler.alphas[t] if adjacent else 1 - beta
            x0_coef.append(there**0.5 * beta / (1 - here))
            xt_coef.append(alpha**0.5 * (1 - there) / (1 - here))
            sigma.append(scheduler._get_variance(t, previous) if t > 0 else None)
        return cls(
            timesteps=list(scheduler.timesteps.to(device)),
            x0_coef=x0_coef,
            xt_coef=xt_coef,
            sigma=sigma,
            alpha_bar=[alpha_bars[t] for t in times],
            limit=config.clip_sample_range if config.clip_sample else None,
        )

    def step(
        self,
        index: int,
        x0_pred: Float[Tensor, "c d"],
        x_t: Float[Tensor, "c d"],
        noise: Float[Tensor, "c d"],
    ) -> Float[Tensor, "c d"]:
        """Take one step, from one timestep to the next."""
        x0_pred = x0_pred if self.limit is None else x0_pred.clamp(-self.limit, self.limit)
        mean = self.x0_coef[index] * x0_pred + self.xt_coef[index] * x_t
        sigma = self.sigma[index]
        return mean if sigma is None else mean + sigma * noise

    def add_noise(
        self, index: int, x0: Float[Tensor, "c d"], noise: Float[Tensor, "c d"]
    ) -> Float[Tensor, "c d"]:
        """Noise clean embeddings to the level of a step."""
        alpha_bar = self.alpha_bar[index]
        return alpha_bar**0.5 * x0 + (1 - alpha_bar) ** 0.5 * noise


def sample_embeddings(
    network: Any,
    schedule: PriorSchedule,
    cond: TextCondition,
    negative: TextCondition,
    noise: Noise,
    *,
    guidance: float = 1.0,
    start: PartialStart | None = None,
    denoised_fn: DenoisedFn | None = None,
    resample_fn: ResampleFn | None = None,
    condition_fn: ConditionFn | None = None,
) -> Float[Tensor, "k n d"]:
    """Denoise from noise to n image embeddings for each of k conditions.

    `network` is a PriorTransformer, `negative` what guidance leads away from. The embeddings are
    differentiable in the condition. See `Pipeline.sample_prior` for the other arguments.
    """
    steps = len(schedule.timesteps)
    _, k, n, _ = noise.noise.shape
    dtype = torch.promote_types(network.dtype, torch.float32)
    mean = network.clip_mean
    std = network.clip_std

    def embeddings(x: Tensor) -> Float[Tensor, "k n d"]:
        return (x * std + mean).float().view(k, n, -1)

    parts = noise.noise.to(dtype)
    x_t = parts[0].flatten(0, 1)
    first = 0
    if start is not None:
        first = start.first_step(steps)
        x0 = (start.z.to(x_t).expand(k, n, -1).flatten(0, 1) - mean) / std
        x_t = schedule.add_noise(first, x0, x_t)
    owner = torch.arange(k * n, device=x_t.device) // n
    cond, negative = aligned(cond, negative)
    predict = partial(predict_x0, network=network, negative=negative, guidance=guidance)
    for index in range(first, steps):
        progress = index / (steps - 1)
        now = cond if condition_fn is None else condition_fn(cond, progress)
        at_t = partial(predict, t=schedule.timesteps[index], cond=now)
        x0_pred = in_batches(at_t, EMBEDDING_ROWS, x_t, owner)
        if denoised_fn is not None:
            wanted = denoised_fn(embeddings(x0_pred), progress)
            x0_pred = ((wanted.flatten(0, 1) - mean) / std).to(x0_pred)
        if resample_fn is not None:
            chosen = resample_fn(embeddings(x0_pred), progress)
            rows = (chosen + torch.arange(k, device=x_t.device)[:, None] * n).flatten()
            x0_pred = x0_pred[rows]
            x_t = x_t[rows]
            n = chosen.shape[1]
            owner = torch.arange(k * n, device=x_t.device) // n
        # The last step adds no noise, so it needs none of its own.
        part = parts[min(index - first + 1, len(parts) - 1), :, :n]
        x_t = schedule.step(index, x0_pred, x_t, part.flatten(0, 1))
    return embeddings(x_t)


def predict_x0(
    x_t: Float[Tensor, "c d"],
    owner: Int[Tensor, " c"],
    *,
    network: Any,
    t: Tensor,
    cond: TextCondition,
    negative: TextCondition,
    guidance: float,
) -> Float[Tensor, "c d"]:
    """Predict clean embeddings; row i belongs to condition owner[i].

    Padding between the longest text and the network's own tokens is left out. Its mask silences it
    anyway: the same values, three times as fast.
    """
    adapters = cond.adapters
    guided = guidance > 1
    if adapters is not None:
        network = adapters.prior
    x_t = x_t.to(network.dtype)
    if guided:
        sources = (negative, cond)
        inputs = torch.cat([x_t, x_t])
    else:
        sources = (cond,)
        inputs = x_t
    pooled = torch.cat([source.pooled[owner] for source in sources])
    tokens = torch.cat([source.tokens[owner] for source in sources])
    mask = torch.cat([source.mask[owner] for source in sources])
    shortened = _shortened(network, cond.used)
    if adapters is None:
        own = twin(network, shortened)
    else:
        names = [adapters.names[i] for i in owner.tolist()]
        own = routed_twin(adapters, shortened, names * len(sources))
    with short_attention(x_t.device):
        output = own(inputs, t, pooled, tokens, mask)
    x0_pred = output.predicted_image_embedding
    if not guided:
        return x0_pred
    away, wanted = x0_pred.split(len(x_t))
    return away + guidance * (wanted - away)


def _shortened(network: Any, used: int) -> dict[str, Tensor]:
    """Cut the network's positions and causal mask to texts of `used` tokens."""
    positions = network.positional_embedding
    length = used + network.config.additional_embeddings
    # Positions between the longest text and the network's own are left out. The beginning of a
    # causal mask is a causal mask.
    own = positions[:, network.config.num_embeddings :]
    return {
        "positional_embedding": torch.cat([positions[:, :used], own], 1),
        "causal_attention_mask": network.causal_attention_mask[:, :length, :length],
    }
