"""The one loop: a concept makes embeddings, an objective judges them, the concept moves.

It is a generator: stop it with `break`, plot between its steps.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..concept import Concept, TokenConcept
from ..concept.base import MOST_CONCEPTS
from ..errors import InputError, above, listed, whole
from ..seeds import LARGEST, first_seed, mixed
from ..sharing import gpu_turn, with_gradients
from ..unclip.graphs import Replayed
from ..unclip.pipeline import Pipeline
from ..unclip.prior import Noise, NoiseSource, PriorSampling
from .objectives import Terms

# A total this far (in nats, or whatever the objective counts in) from where it began means that the
# run has exploded.
EXPLODED = 1e6
# What AdamW remembers of a tensor.
ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")

State = TypeVar("State")
# What an objective is to the loop.
Loss = Callable[[Tensor], Terms]
# How the loop gets embeddings from a concept; called like `Concept.sample`.
Draw = Callable[..., Tensor]


@dataclass(frozen=True, eq=False)
class OptimizerState:
    """What the loop remembers between steps, beside the concept."""

    # Steps taken.
    index: int = 0
    # AdamW's moments, by names like "vectors.exp_avg".
    moments: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Step:
    """One step of k concepts; nothing carries a graph.

    `concept` and `optimizer_state` are those before the move: a loop that starts from them repeats
    this step and continues as this one does.
    """

    index: int
    concept: Concept
    # n embeddings drawn from each concept.
    z: Float[Tensor, "k n d"]
    # The objective's values for these embeddings.
    terms: Terms
    optimizer_state: OptimizerState = field(default_factory=OptimizerState)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Embeddings of k concepts, their objective, and its gradient for each optimized tensor."""

    z: Float[Tensor, "k n d"]
    terms: Terms
    gradients: Sequence[Tensor | None]


class Diverged(RuntimeError):
    """A value stopped being finite, or exploded. `last` is the last good step, None if none was."""

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
    """Minimize an objective over k concepts with AdamW; yield each state before it is moved.

    objective: one for all templates, or a list with one for each.
    templates: prompts with {} in the concept's place, taken in turn.
    steps: the loop's length, counted from the concept's start.
    lr: length of a step per coordinate, in units of the concept's scale, so that one value serves
        models whose weights differ.
    seed: the noise of a step depends on its number and, for concept i, on seed + i. Each concept
        goes as it would alone.
    n: embeddings drawn from each concept at a step.
    optimizer_state: a step's, to continue from that step to the same result.
    draw: gives the embeddings that are judged; by default the concept's own samples.

    Tensors are optimized in float32 and without weight decay, whose pull towards zero means nothing
    to a text encoder. It works in every mode of torch, and the tensors of its steps are normal
    ones. Raises InputError for values out of range at once, and Diverged when a value is no longer
    finite or has exploded.
    """
    templates = listed("templates", templates)
    objectives = [objective] * len(templates) if callable(objective) else list(objective)
    if len(objectives) != len(templates):
        raise InputError(
            f"objective is a list of {len(objectives)}; expected one objective, or one for each of "
            f"the {len(templates)} templates"
        )
    whole("steps", steps, 1)
    whole("n", n, 1)
    whole("seed", seed, 0, first_seed(LARGEST) + MOST_CONCEPTS)
    above("lr", lr, 0)
    states = _steps(
        pipe=pipe,
        concept=concept,
        objectives=objectives,
        templates=templates,
        steps=steps,
        lr=lr,
        seed=seed,
        n=n,
        sampling=sampling,
        state=optimizer_state or OptimizerState(),
        draw=draw,
    )
    return with_gradients(states)


def step_generator(seed: int, index: int) -> torch.Generator:
    """Return the randomness of one step of one concept."""
    # Mixed, not added: seeds are neighbors, and neighbors must not share their noise one step
    # apart.
    return torch.Generator().manual_seed((mixed(seed) * 1_000_003 + index * 7_919) % 2**63)


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
    state: OptimizerState,
    draw: Draw | None,
) -> Iterator[Step]:
    k = len(concept)
    moving = {
        name: value.detach().float().clone().requires_grad_()
        for name, value in concept.tensors.items()
    }
    optimizer = torch.optim.AdamW(list(moving.values()), lr=lr * concept.scale, weight_decay=0)
    _restore(optimizer, moving, state)
    # A text concept takes its noise from the same place at every step, so that steps can be
    # replayed.
    replayable = draw is None and isinstance(concept, TokenConcept)
    d = pipe.prior.config.embedding_dim
    buffer = Noise(torch.zeros(sampling.steps, k, n, d, device=pipe.device))

    def evaluate(template: str, objective: Loss, noise: NoiseSource) -> Evaluation:
        current = concept.with_tensors(moving)
        sample = partial(draw, current) if draw is not None else current.sample
        # Networks that take turns on the device stay until the gradient has passed them.
        with gpu_turn(pipe.device):
            z = sample(pipe, template, n, noise=noise, sampling=sampling)
            terms = objective(z)
            gradients = gradients_of(terms.total, z, list(moving.values()), pipe.dtype)
        return Evaluation(z.detach(), _detached(terms), gradients)

    # A network that takes turns on the GPU comes back to another place in its memory, and a
    # recording would read the old one.
    device = pipe.device if pipe.offloader is None else torch.device("cpu")
    replays = [
        Replayed(partial(evaluate, template, objective, buffer), device)
        for template, objective in zip(templates, objectives, strict=True)
    ]
    last = None
    first = None
    for index in range(state.index, steps):
        generators = [step_generator(seed + i, index) for i in range(k)]
        turn = index % len(templates)
        if replayable:
            drawn = Noise.draw(generators, sampling.steps, k, n, d, pipe.device)
            buffer.noise.copy_(drawn.noise)
            found = replays[turn]()
        else:
            found = evaluate(templates[turn], objectives[turn], generators)
        terms = _cloned(found.terms)
        first = terms.total if first is None else first
        _check(index, lr, terms, found.gradients, first, last)
        for value, gradient in zip(moving.values(), found.gradients, strict=True):
            value.grad = gradient
        tensors = {name: value.detach().clone() for name, value in moving.items()}
        last = Step(
            index=index,
            concept=concept.with_tensors(tensors),
            z=found.z.clone(),
            terms=terms,
            optimizer_state=OptimizerState(index, _moments(optimizer, moving)),
        )
        yield last
        optimizer.step()


def drain(
    states: Iterable[State],
    total: int,
    title: str,
    describe: Callable[[State], Mapping[str, object]],
    *,
    progress: bool,
) -> State:
    """Run a recipe to its end and return its last state.

    If the run diverges, its last good state is returned; Diverged is raised if there is none.
    `progress` shows a bar of `total` steps with what `describe` says of a state.
    """
    last = None
    with tqdm(states, total=total, desc=title, disable=not progress) as bar:
        try:
            for last in bar:
                bar.set_postfix(describe(last), refresh=False)
        except Diverged:
            if last is None:
                raise
    assert last is not None, "a recipe yields at least once"
    return last


def gradients_of(
    total: Float[Tensor, " k"], z: Float[Tensor, "k n d"], moving: list[Tensor], dtype: torch.dtype
) -> list[Tensor | None]:
    """Differentiate the sum of totals with respect to the moving tensors.

    On the way back through networks in float16 a gradient in nats would overflow, and a small one
    round to zero. Each concept's travels with 1 as its largest value and gets its size back
    afterwards (loss scaling, arXiv 1710.03740, with a scale that needs no search).
    """
    if dtype != torch.float16:
        return list(torch.autograd.grad(total.sum(), moving, allow_unused=True))
    (slope,) = torch.autograd.grad(total.sum(), z, retain_graph=True)
    size = slope.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(slope.dtype).tiny)
    scaled = torch.autograd.grad(z, moving, slope / size, allow_unused=True)
    return [None if g is None else g * size.view(-1, *[1] * (g.ndim - 1)) for g in scaled]


def _check(
    index: int,
    lr: float,
    terms: Terms,
    gradients: Sequence[Tensor | None],
    first: Tensor,
    last: Step | None,
) -> None:
    """Raise Diverged for values that are not finite, or far from the start. Asks a GPU once."""
    flat = torch.cat([g.flatten() for g in gradients if g is not None])
    checked = {"total": terms.total, **terms.named, "gradient": flat}
    near = ((terms.total - first).abs() <= EXPLODED).all()
    finite = torch.stack([*(value.isfinite().all() for value in checked.values()), near]).tolist()
    broken = [name for name, good in zip(checked, finite, strict=False) if not good]
    advice = f"a smaller lr than {lr} may help"
    if broken:
        raise Diverged(f"step {index}: {', '.join(broken)} not finite; {advice}", last)
    if not finite[-1]:
        change = f"from {first.max():.4g} to {terms.total.max():.4g}"
        raise Diverged(f"step {index}: the total went {change}; {advice}", last)


def _detached(terms: Terms) -> Terms:
    named = {name: value.detach() for name, value in terms.named.items()}
    return Terms(terms.total.detach(), named)


def _cloned(terms: Terms) -> Terms:
    named = {name: value.clone() for name, value in terms.named.items()}
    return Terms(terms.total.clone(), named)


def _moments(optimizer: torch.optim.Optimizer, moving: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        f"{name}.{part}": optimizer.state[value][part].clone()
        for name, value in moving.items()
        if value in optimizer.state
        for part in ADAM_STATE
    }


def _restore(
    optimizer: torch.optim.Optimizer, moving: Mapping[str, Tensor], state: OptimizerState
) -> None:
    if not state.moments:
        return
    for name, value in moving.items():
        parts = {part: state.moments[f"{name}.{part}"].clone() for part in ADAM_STATE}
        optimizer.state[value] = parts
