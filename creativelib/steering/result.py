"""What a steering run returns, in memory and on disk."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from jaxtyping import Bool, Float
from safetensors.torch import load, save_file
from torch import Tensor

from ..concept import Concept
from ..concept import load as load_concept
from ..density import Density
from ..density import load as load_density
from ..errors import InputError
from ..files import atomic_write, write_json
from ..unclip.pipeline import Pipeline
from .state import PASSED, STOPPED, SteerState
from .target import Target, dial_of, rarity_target


@dataclass(frozen=True, eq=False, repr=False)
class SteerResult:
    """k steered concepts."""

    concept: Concept
    # The density they were steered under.
    density: Density
    target: Target
    # Each concept's median surprisal, in nats.
    surprisal: Float[Tensor, " k"]
    # Whether it came near enough to the target, see `Target.reached`.
    passed: Bool[Tensor, " k"]
    # Whether a check ended its run before.
    stopped: Bool[Tensor, " k"]
    # Steps taken.
    steps: int
    # Time that checks took.
    check_seconds: float

    @property
    def dial(self) -> Float[Tensor, " k"]:
        """Where each concept ended, in units of the dial."""
        return dial_of(self.density, self.surprisal)

    def __repr__(self) -> str:
        surprisals = ", ".join(f"{value:.1f}" for value in self.surprisal.tolist())
        dials = ", ".join(f"{value:.2f}" for value in self.dial.tolist())
        return (
            f"SteerResult({len(self.concept)} concepts of {self.concept.word!r} in "
            f"{self.steps} steps)\n"
            f"  surprisal {surprisals} nats (typical {self.density.quantile(0.5):.1f}, "
            f"target {self.target.surprisal:.1f})\n"
            f"  on the dial {dials}\n"
            f"  passed {int(self.passed.sum())}, stopped by a check {int(self.stopped.sum())}"
        )

    def save(self, folder: str | Path) -> None:
        """Write the result into a folder, which is created.

        steering.json comes last: without it, `load` says that the folder holds no result.
        """
        folder = Path(folder)
        (folder / "steering.json").unlink(missing_ok=True)
        self.concept.save(folder)
        self.density.save(folder / "density.safetensors")
        rows = {"surprisal": self.surprisal, "passed": self.passed, "stopped": self.stopped}
        with atomic_write(folder / "steering.safetensors") as part:
            save_file(rows, part)
        facts = {
            "target": asdict(self.target),
            "steps": self.steps,
            "check_seconds": self.check_seconds,
        }
        write_json(folder / "steering.json", facts)

    @classmethod
    def load(cls, folder: str | Path, pipe: Pipeline) -> "SteerResult":
        """Read what `save` wrote. Raises InputError for a folder without a steering result."""
        folder = Path(folder)
        if not (folder / "steering.json").is_file():
            raise InputError(
                f"folder is {str(folder)!r}, which has no steering.json; expected a folder that "
                "SteerResult.save wrote"
            )
        facts = json.loads((folder / "steering.json").read_text(encoding="utf-8"))
        return cls(
            concept=load_concept(folder, pipe),
            density=load_density(folder / "density.safetensors"),
            target=Target(**facts["target"]),
            steps=facts["steps"],
            check_seconds=facts["check_seconds"],
            **load((folder / "steering.safetensors").read_bytes()),
        )


def result_of(state: SteerState, density: Density, dial: float) -> SteerResult:
    """Return what a run has found so far."""
    return SteerResult(
        concept=state.result,
        density=density,
        target=rarity_target(density, dial),
        surprisal=state.surprisal,
        passed=state.status == PASSED,
        stopped=state.status == STOPPED,
        steps=state.step.index if state.step else state.optimizer_state.index,
        check_seconds=state.check_seconds,
    )
