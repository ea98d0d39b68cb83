"""Schedulers of diffusers: which ones the prior and the decoders can be sampled with.

Folders of Kandinsky are often saved with another scheduler than the one they came with. Those named
here draw with a decoder what diffusers' own loops draw; others are refused.
"""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, whole

# A step of each is one call of the network. Solvers with two calls a step, such as Heun's, are not
# among them.
SCHEDULERS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "LCMScheduler",
    "UniPCMultistepScheduler",
    "UnCLIPScheduler",
)
PREDICTIONS = ("epsilon", "sample", "v_prediction")
# Those that take a variance from the network, which then predicts it beside the noise.
LEARNERS = ("DDPMScheduler", "UnCLIPScheduler")
LEARNED_VARIANCES = ("learned", "learned_range")


def check_decoder_scheduler(scheduler: Any) -> None:
    """Raise InputError for a scheduler that decoders cannot be sampled with."""
    name = type(scheduler).__name__
    if name not in SCHEDULERS:
        raise InputError(
            f"the decoder's scheduler is of class {name}; expected {', '.join(SCHEDULERS)}"
        )
    prediction = scheduler.config.prediction_type
    if prediction not in PREDICTIONS or scheduler.config.get("use_flow_sigmas"):
        raise InputError(
            f"the decoder's scheduler predicts {prediction!r} with use_flow_sigmas "
            f"{scheduler.config.get('use_flow_sigmas')}; expected {', '.join(PREDICTIONS)} without"
        )


def check_prior_scheduler(scheduler: Any) -> None:
    """Raise InputError for a scheduler whose steps are not those of all Kandinsky priors."""
    config = scheduler.config
    name = type(scheduler).__name__
    found = (name, config.get("prediction_type"), config.get("variance_type"))
    if found != ("UnCLIPScheduler", "sample", "fixed_small_log"):
        raise InputError(
            f"the prior's scheduler is of class {name} and predicts {found[1]!r} with a variance "
            f"of type {found[2]!r}; expected 'sample' and 'fixed_small_log' of an UnCLIPScheduler, "
            "as in all Kandinsky priors"
        )


def learns_variance(scheduler: Any) -> bool:
    """Tell if a scheduler takes its variance from the network.

    A scheduler made from another one's configuration may name a learned variance and ignore it.
    """
    learner = type(scheduler).__name__ in LEARNERS
    return learner and scheduler.config.variance_type in LEARNED_VARIANCES


def check_steps(scheduler: Any, steps: int) -> None:
    """Raise InputError for a number of steps that a scheduler cannot take."""
    whole("steps", steps, 1)
    name = type(scheduler).__name__
    # The UnCLIPScheduler divides by steps - 1.
    least = 2 if name == "UnCLIPScheduler" else 1
    most = scheduler.config.num_train_timesteps
    if name == "LCMScheduler":
        # A latent consistency model takes some of the steps that it was distilled with.
        most = scheduler.config.original_inference_steps
    if not least <= steps <= most:
        raise InputError(f"steps is {steps}; expected {least} to {most} for {name}")


def with_steps(scheduler: Any, steps: int, device: torch.device) -> Any:
    """Return a copy of a scheduler with its timesteps set.

    Raises InputError for a number of steps that it cannot take.
    """
    check_steps(scheduler, steps)
    scheduler = copy.deepcopy(scheduler)
    if type(scheduler).__name__ not in LEARNERS:
        # DPM-Solver would take a learned variance for a reason to drop the fourth channel.
        scheduler.register_to_config(variance_type=None)
    scheduler.set_timesteps(steps, device=device)
    return scheduler


def alpha_bar(scheduler: Any, index: int) -> Float[Tensor, ""]:
    """Return the share of the signal in the variance at a step, by the step's index."""
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is None:
        return scheduler.alphas_cumprod[scheduler.timesteps[index].cpu()]
    # These schedulers may stop between timesteps. Sigma is the noise beside a signal of 1.
    return 1 / (1 + sigmas[index] ** 2)
