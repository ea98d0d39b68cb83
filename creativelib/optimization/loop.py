"""The one loop: a concept makes embeddings, an objective judges them, the concept moves. Stop it with `break`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..concept import Concept, TokenConcept
from ..errors import InputError, at_least
from ..unclip.graphs import Replayed
from ..unclip.pipeline import Pipeline
from ..unclip.prior import Noise, NoiseSource, PriorSampling
from .objectives import Terms

# A total this far (in nats, or whatever the objective counts in) from where it began means that the run has exploded.
EXPLODED = 1e6

# What an objective is to the loop, and how it gets embeddings from a concept: called as `Concept.sample`.
Loss = Callable[[Tensor], Terms]
Draw = Callable[..., Tensor]


@dataclass(frozen=True, eq=False)
class OptimizerState:
    """What the loop remembers between steps, beside the concept: how many it has taken, and AdamW's moments by name."""

    index: int = 0
    moments: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Step:
    """A concept, n embeddings drawn from each of its k members, and what the objective says of them; nothing carries a graph.

    `concept` and `memory` are those before the move: a loop that begins with them repeats this step and goes on as this one does.
    """

    index: int
    concept: Concept
    z: Float[Tensor, "k n d"]
    terms: Terms
    optimizer_state: OptimizerState = field(default_factory=OptimizerState)


class Diverged(RuntimeError):
    """A value stopped being finite, or exploded. `last` is the last good step, None if there was none."""

    def __init__(self, message: str, last: Step | None) -> None:
        super().__init__(message)
        self.last = last


def optimize(
    pipe: Pipeline,
    concept: Concept,
    objective: Loss | Sequence[Loss],
    templates: Sequence[str] = ("a photo of a {}",),
    steps: int = 60,
    lr: float = 0.05,
    seed: int = 0,
    n: int = 8,
    sampling: PriorSampling = PriorSampling(),
    optimizer_state: OptimizerState | None = None,
    draw: Draw | None = None,
) -> Iterator[Step]:
    """Minimise an objective over k concepts with AdamW, all in one batch; yields each state before it is moved, the start first.

    `prompts` are templates, taken in turn; where what is wanted depends on the template, `objective` is a list with one for each. `lr` is
    the length of a step per coordinate in units of the concept's scale, so that one value serves models whose weights differ. The noise
    of a step depends on its number and, for concept i, on seed + i: each goes the same way as it would alone, and a run that begins with
    a step's concept and `memory` goes on from there to the same result. `draw` gives the embeddings that are looked at: by default
    the concept's own samples. Tensors are optimised in float32 and without weight decay, whose
    pull towards zero means nothing to a text encoder. Raises InputError for values out of range at once, and Diverged, with the last good
    step, when a value is no longer finite or has exploded.
    """
    if not templates or isinstance(templates, str):
        raise InputError(
            f"templates is {templates!r}; expected a list of at least one template with {{}}"
        )
    objectives = (
        list(objective) if isinstance(objective, Sequence) else [objective] * len(templates)
    )
    if len(objectives) != len(templates):
        raise InputError(
            f"objective is a list of {len(objectives)}; expected one objective, or one for each of {len(templates)} prompts"
        )
    at_least("steps", steps, 1)
    at_least("n", n, 1)
    if not lr > 0:
        raise InputError(f"lr is {lr}; expected a number above 0")
    return _steps(
        pipe,
        concept,
        objectives,
        templates,
        steps,
        lr,
        seed,
        n,
        sampling,
        optimizer_state or OptimizerState(),
        draw,
    )


def step_generator(seed: int, index: int) -> torch.Generator:
    """The randomness of one step of one concept."""
    # Mixed, not added: seeds are neighbours, and neighbours must not share their noises one step apart.
    return torch.Generator().manual_seed((seed * 1_000_003 + index * 7_919) % 2**63)


def _steps(
    pipe: Pipeline,
    concept: Concept,
    objectives: Sequence[Loss],
    templates: Sequence[str],
    steps: int,
    lr: float,
    seed: int,
    n: int,
    sampling: PriorSampling,
    optimizer_state: OptimizerState,
    draw: Draw | None,
) -> Iterator[Step]:
    moving = {
        name: value.detach().float().clone().requires_grad_()
        for name, value in concept.tensors.items()
    }
    optimizer = torch.optim.AdamW(list(moving.values()), lr=lr * concept.scale, weight_decay=0)
    _restore(optimizer, moving, optimizer_state)
    last = None
    first = None
    k = len(concept)
    # What is drawn for texts takes its noise from the same place at every step, so that steps can be replayed.
    fixed = draw is None and isinstance(concept, TokenConcept)
    noise = Noise(
        torch.zeros(sampling.steps, k, n, pipe.prior.config.embedding_dim, device=pipe.device)
    )

    def look(
        template: str, objective: Loss, source: NoiseSource
    ) -> tuple[Tensor, Terms, list[Tensor | None]]:
        with torch.enable_grad():  # whoever takes the steps may sit in no_grad
            z = (draw or _samples)(
                concept.with_tensors(moving), pipe, template, n, noise=source, sampling=sampling
            )
            terms = objective(z)
            gradients = gradients_of(terms.total, z, list(moving.values()), pipe.dtype)
        return (
            z.detach(),
            Terms(
                terms.total.detach(), {name: value.detach() for name, value in terms.named.items()}
            ),
            gradients,
        )

    # A network that takes turns on the GPU comes back to another place in its memory, and a recording would read the old one.
    where = pipe.device if pipe.offloader is None else torch.device("cpu")
    looks = [
        Replayed(partial(look, *each, noise), where)
        for each in zip(templates, objectives, strict=True)
    ]
    for index in range(optimizer_state.index, steps):
        generators = [step_generator(seed + i, index) for i in range(k)]
        turn = index % len(templates)
        if fixed:
            noise.noise.copy_(
                Noise.draw(
                    generators, sampling.steps, k, n, noise.noise.shape[-1], pipe.device
                ).noise
            )
            z, terms, gradients = looks[turn]()
        else:
            z, terms, gradients = look(templates[turn], objectives[turn], generators)
        total = terms.total.clone()
        first = total if first is None else first
        _check(index, lr, terms, gradients, first, last)
        for value, gradient in zip(moving.values(), gradients, strict=True):
            value.grad = gradient
        last = Step(
            index,
            concept.with_tensors({name: value.detach().clone() for name, value in moving.items()}),
            z.clone(),
            Terms(total, {name: value.clone() for name, value in terms.named.items()}),
            OptimizerState(index, _moments(optimizer, moving)),
        )
        yield last
        optimizer.step()


def _samples(concept: Concept, pipe: Pipeline, template: str, n: int, **how: Any) -> Tensor:
    return concept.sample(pipe, template, n, **how)


def gradients_of(
    total: Float[Tensor, " k"], z: Float[Tensor, "k n d"], moving: list[Tensor], dtype: torch.dtype
) -> list[Tensor | None]:
    """Of the sum of totals. On the way back through networks in float16 a gradient in nats would overflow, and a small one round to zero:
    each concept's goes there with 1 as its largest value, and gets its size back afterwards (loss scaling, arXiv 1710.03740, with a scale
    that needs no search)."""
    if dtype != torch.float16:
        return list(torch.autograd.grad(total.sum(), moving, allow_unused=True))
    (slope,) = torch.autograd.grad(total.sum(), z, retain_graph=True)
    size = slope.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(slope.dtype).tiny)
    found = torch.autograd.grad(z, moving, slope / size, allow_unused=True)
    return [None if g is None else g * size.view(-1, *[1] * (g.ndim - 1)) for g in found]


def _check(
    index: int,
    lr: float,
    terms: Terms,
    gradients: Sequence[Tensor | None],
    first: Tensor,
    last: Step | None,
) -> None:
    """Raise Diverged for values that are not finite, or far from where the run began. A GPU is asked once."""
    checked = {
        "total": terms.total,
        **terms.named,
        "gradient": torch.cat([g.flatten() for g in gradients if g is not None]),
    }
    near = ((terms.total - first).abs() <= EXPLODED).all()
    finite = torch.stack([*(value.isfinite().all() for value in checked.values()), near]).tolist()
    broken = [name for name, good in zip(checked, finite, strict=False) if not good]
    if broken:
        raise Diverged(
            f"step {index}: {', '.join(broken)} not finite; a smaller lr than {lr} may help", last
        )
    if not finite[-1]:
        raise Diverged(
            f"step {index}: the total went from {first.max():.4g} to {terms.total.max():.4g}; a smaller lr than {lr} may help",
            last,
        )


def _moments(optimizer: torch.optim.Optimizer, moving: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        f"{name}.{kind}": optimizer.state[value][kind].clone()
        for name, value in moving.items()
        if value in optimizer.state
        for kind in ("step", "exp_avg", "exp_avg_sq")
    }


def _restore(
    optimizer: torch.optim.Optimizer, moving: dict[str, Tensor], optimizer_state: OptimizerState
) -> None:
    for name, value in moving.items() if optimizer_state.moments else ():
        optimizer.state[value] = {
            kind: optimizer_state.moments[f"{name}.{kind}"].clone()
            for kind in ("step", "exp_avg", "exp_avg_sq")
        }
