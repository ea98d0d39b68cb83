"""The one loop: a concept makes embeddings, an objective judges them, the concept moves. Stop it with `break`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from .concept import TokenConcept
from .errors import InputError, at_least
from .objectives import Terms
from .pipeline import Pipeline


@dataclass(frozen=True, eq=False)
class Step:
    """A concept, n embeddings drawn from each of its k vectors, and what the objective says of them; nothing carries a graph."""

    index: int
    concept: TokenConcept
    z: Float[Tensor, "k n d"]
    terms: Terms


class Diverged(RuntimeError):
    """A value stopped being finite. `last` is the last good step, None if there was none."""

    def __init__(self, message: str, last: Step | None) -> None:
        super().__init__(message)
        self.last = last


def optimize(pipe: Pipeline, concept: TokenConcept, objective: Callable[[Tensor], Terms], prompts: Sequence[str] = ("a photo of a {}",),
             steps: int = 60, lr: float = 0.05, seed: int = 0, n: int = 8, prior_steps: int = 5, guidance: float = 1.0) -> Iterator[Step]:
    """Minimise an objective over a concept's k vectors with AdamW, all in one batch; yields each state before it is moved, the start first.

    `prompts` are templates, taken in turn. `lr` is the length of a step per coordinate in units of the concept's scale, so that one value
    serves models whose token tables differ. Vector i draws its n noises from a generator of its own, seeded with seed + i: it goes the
    same way as it would alone. Vectors are optimised in float32 and without weight decay, whose pull towards zero means nothing to a text
    encoder. Raises InputError for values out of range at once, and Diverged, with the last good step, when a value is no longer finite.
    """
    if not prompts or isinstance(prompts, str):
        raise InputError(f"prompts is {prompts!r}; allowed is a list of at least one template with {{}}")
    at_least("steps", steps, 1)
    at_least("n", n, 1)
    at_least("prior_steps", prior_steps, 2)
    if not lr > 0:
        raise InputError(f"lr is {lr}; allowed is a number above 0")
    return _steps(pipe, concept, objective, prompts, steps, lr, seed, n, prior_steps, guidance)


def _steps(pipe: Pipeline, concept: TokenConcept, objective: Callable[[Tensor], Terms], prompts: Sequence[str], steps: int, lr: float,
           seed: int, n: int, prior_steps: int, guidance: float) -> Iterator[Step]:
    vectors = concept.vectors.detach().float().clone().requires_grad_()
    optimizer = torch.optim.AdamW([vectors], lr=lr * concept.scale, weight_decay=0)
    generators = [torch.Generator().manual_seed(seed + i) for i in range(len(vectors))]
    last = None
    for index in range(steps):
        with torch.enable_grad():  # whoever takes the steps may sit in no_grad
            cond = replace(concept, vectors=vectors).condition(pipe, prompts[index % len(prompts)])
            z = pipe.sample_prior(cond, n, generator=generators, guidance=guidance, steps=prior_steps)
            terms = objective(z)
            optimizer.zero_grad()
            terms.total.sum().backward()
        checked = {"total": terms.total, **terms.named, "gradient": vectors.grad}
        broken = [name for name, value in checked.items() if not value.isfinite().all()]
        if broken:
            raise Diverged(f"step {index}: {', '.join(broken)} not finite; a smaller lr than {lr} may help", last)
        last = Step(index, replace(concept, vectors=vectors.detach().clone()), z.detach(),
                    Terms(terms.total.detach(), {name: value.detach() for name, value in terms.named.items()}))
        yield last
        optimizer.step()
