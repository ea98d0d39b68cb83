"""The state of a steering run: frozen, saved at any step, and resumed to the same result."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..concept import Concept
from ..optimization.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from ..optimization.loop import OptimizerState, Step

RUNNING = 0
PASSED = 1
STOPPED = 2


@dataclass(frozen=True, eq=False)
class SteerState:
    """k concepts being steered."""

    # The loop continues from these two.
    concept: Concept
    optimizer_state: OptimizerState
    # Each concept as it was when a check last found it valid; before any check, the start.
    valid: Concept
    # What the run will return.
    result: Concept
    # Median surprisal of the samples at the first step, in nats: the side that a concept came from.
    began: Float[Tensor, " k"]
    # Median surprisal of the result's samples, in nats.
    surprisal: Float[Tensor, " k"]
    # The same of `valid`.
    valid_surprisal: Float[Tensor, " k"]
    # RUNNING, PASSED (see `Target.reached`) or STOPPED (by a check).
    status: Int[Tensor, " k"]
    # Weight of the anchor relative to `SteerConfig.anchor`.
    anchor_scale: Float[Tensor, " k"]
    # Share of pictures that still were of the category at the last check; NaN before any.
    valid_share: Float[Tensor, " k"]
    # Concepts that the last check found invalid; the next step rolls them back.
    rejected: Bool[Tensor, " k"]
    # Time that checks took.
    check_seconds: float = 0.0
    # Whether nothing is left to do.
    ended: bool = False
    # The last step taken; None in a run just begun or read from a file.
    step: Step | None = None

    @classmethod
    def begin(cls, concept: Concept) -> "SteerState":
        """Start a run at concepts."""
        k = len(concept)
        nothing = torch.full((k,), torch.nan)
        return cls(
            concept=concept,
            optimizer_state=OptimizerState(),
            valid=concept,
            result=concept,
            began=nothing,
            surprisal=nothing,
            valid_surprisal=nothing,
            status=torch.zeros(k, dtype=torch.long),
            anchor_scale=torch.ones(k),
            valid_share=nothing,
            rejected=torch.zeros(k, dtype=torch.bool),
        )

    @property
    def done(self) -> bool:
        """Whether every concept has passed or was stopped."""
        return bool((self.status != RUNNING).all())

    def save(self, file: Path, about: Mapping[str, object]) -> None:
        """Write the state and what the run is `about`, so that no other run resumes from it.

        A crash leaves the old file.
        """
        state = Checkpoint(
            concepts={name: getattr(self, name) for name in _CONCEPTS},
            optimizer_state=self.optimizer_state,
            rows={name: getattr(self, name) for name in _ROWS},
            facts={"check_seconds": self.check_seconds, "ended": self.ended},
        )
        write_checkpoint(file, state, about)

    @classmethod
    def load(cls, file: Path, start: Concept, about: Mapping[str, object]) -> "SteerState":
        """Read what `save` wrote; `start` is a concept of the same kind and size.

        Raises InputError for a file of another run.
        """
        state = read_checkpoint(file, _CONCEPTS, start, about)
        return cls(
            optimizer_state=state.optimizer_state, **state.concepts, **state.rows, **state.facts
        )

    def at(self, step: Step) -> "SteerState":
        """Return the state in which the loop would repeat this step."""
        return replace(self, concept=step.concept, optimizer_state=step.optimizer_state, step=step)

    def roll_back(self) -> "SteerState":
        """Reset rejected concepts to their last valid state, and AdamW's moments of them to 0."""

        def reset(name: str, value: Tensor) -> Tensor:
            if name.endswith(".step"):
                return value
            rows = self.rejected.to(value.device).view(-1, *[1] * (value.ndim - 1))
            return torch.where(rows, 0.0, value)

        old = self.optimizer_state
        moments = {name: reset(name, value) for name, value in old.moments.items()}
        return replace(
            self,
            concept=self.valid.where(self.rejected, self.concept),
            optimizer_state=OptimizerState(old.index, moments),
            rejected=torch.zeros_like(self.rejected),
        )


_CONCEPTS = ("concept", "valid", "result")
_ROWS = (
    "began",
    "surprisal",
    "valid_surprisal",
    "status",
    "anchor_scale",
    "valid_share",
    "rejected",
)
