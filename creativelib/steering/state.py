"""Where a steering run stands, as one frozen state that can be saved at any step and gone on from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..concept import Concept
from ..optimization.checkpoint import read_state, write_state
from ..optimization.loop import OptimizerState, Step

RUNNING = 0
PASSED = 1
STOPPED = 2


@dataclass(frozen=True, eq=False)
class SteerState:
    """k concepts on their way.

    `concept` and `memory` are what the loop goes on from. `valid` holds each concept as it was when a check last found it valid, at first
    the start; `kept` what the run will return. `surprisal` is the kept concepts' median in nats, `pull` the anchor's weight relative to
    the settings', `status` RUNNING, PASSED (the goal) or STOPPED (by a check). `share` is the last check's share of pictures that still
    were of the category, NaN before any; `turned` are those it found invalid, which the next step sets back. `ended`: there is
    nothing left to do. `step` is the last step taken, None in a run just begun or read from a file.
    """

    concept: Concept
    optimizer_state: OptimizerState
    valid: Concept
    result: Concept
    surprisal: Float[Tensor, " k"]
    valid_surprisal: Float[Tensor, " k"]
    status: Int[Tensor, " k"]
    anchor_scale: Float[Tensor, " k"]
    valid_share: Float[Tensor, " k"]
    rejected: Bool[Tensor, " k"]
    check_seconds: float = 0.0
    ended: bool = False
    step: Step | None = None

    @classmethod
    def begin(cls, concept: Concept) -> "SteerState":
        k = len(concept)
        nothing = torch.full((k,), torch.nan)
        return cls(
            concept,
            OptimizerState(),
            concept,
            concept,
            nothing,
            nothing,
            torch.zeros(k, dtype=torch.long),
            torch.ones(k),
            nothing,
            torch.zeros(k, dtype=torch.bool),
        )

    @property
    def done(self) -> bool:
        return bool((self.status != RUNNING).all())

    def save(self, file: Path, about: Mapping[str, object]) -> None:
        """Write the state, and what the run is `about` so that no other run goes on from it. A crash leaves the old file."""
        write_state(
            file,
            {part: getattr(self, part) for part in _PARTS},
            self.optimizer_state,
            {name: getattr(self, name) for name in _ROWS},
            {"check_seconds": self.check_seconds, "ended": self.ended},
            about,
        )

    @classmethod
    def load(cls, file: Path, start: Concept, about: Mapping[str, object]) -> "SteerState":
        """Read what `save` wrote; `start` is a concept of the same kind and size. Raises InputError for a file of another run."""
        concepts, memory, rows, facts = read_state(file, _PARTS, start, about)
        return cls(optimizer_state=memory, **concepts, **rows, **facts)

    def at(self, step: Step) -> "SteerState":
        """The state in which the loop would repeat this step."""
        return replace(self, concept=step.concept, optimizer_state=step.optimizer_state, step=step)

    def roll_back(self) -> "SteerState":
        """The state with the turned concepts as they were when last valid, and without the loop's memory of them."""

        def fresh(name: str, value: Tensor) -> Tensor:
            rows = self.rejected.to(value.device)
            return (
                value
                if name.endswith(".step")
                else torch.where(rows.view(-1, *[1] * (value.ndim - 1)), 0.0, value)
            )

        memory = OptimizerState(
            self.optimizer_state.index,
            {name: fresh(name, value) for name, value in self.optimizer_state.moments.items()},
        )
        return replace(
            self,
            concept=self.valid.where(self.rejected, self.concept),
            optimizer_state=memory,
            rejected=torch.zeros_like(self.rejected),
        )


_PARTS = ("concept", "valid", "result")
_ROWS = ("surprisal", "valid_surprisal", "status", "anchor_scale", "valid_share", "rejected")
