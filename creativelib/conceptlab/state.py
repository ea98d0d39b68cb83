"""The state of a ConceptLab run, and what it returns."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ..concept import Concept
from ..concept import load as load_concept
from ..errors import InputError
from ..files import write_json
from ..optimization.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from ..optimization.loop import OptimizerState, Step
from ..unclip.pipeline import Pipeline
from .answers import ADDED, Answer


@dataclass(frozen=True, eq=False)
class LearnState:
    """k concepts being learned."""

    # The loop continues from these two.
    concept: Concept
    optimizer_state: OptimizerState
    # What the run will return.
    result: Concept
    # Each concept's own list.
    negatives: tuple[tuple[str, ...], ...]
    # How many questions in a row brought a concept no new negative.
    questions_without_news: Int[Tensor, " k"]
    # Whether these were enough to leave it as it is.
    finished: Bool[Tensor, " k"]
    # All answers so far.
    history: tuple[Answer, ...] = ()
    # Step of the last question.
    asked_at: int = 0
    # Time that questions took.
    ask_seconds: float = 0.0
    # Whether nothing is left to do.
    ended: bool = False
    # The last step taken; None in a run just begun or read from a file.
    step: Step | None = None

    @classmethod
    def begin(cls, concept: Concept, negatives: Sequence[str]) -> "LearnState":
        """Start a run at concepts that share these negatives."""
        k = len(concept)
        return cls(
            concept=concept,
            optimizer_state=OptimizerState(),
            result=concept,
            negatives=(tuple(negatives),) * k,
            questions_without_news=torch.zeros(k, dtype=torch.long),
            finished=torch.zeros(k, dtype=torch.bool),
        )

    def save(self, file: Path, about: Mapping[str, object]) -> None:
        """Write the state and what the run is `about`, so that no other run resumes from it.

        A crash leaves the old file.
        """
        facts = {
            "negatives": self.negatives,
            "history": [asdict(answer) for answer in self.history],
            "asked_at": self.asked_at,
            "ask_seconds": self.ask_seconds,
            "ended": self.ended,
        }
        state = Checkpoint(
            concepts={name: getattr(self, name) for name in _CONCEPTS},
            optimizer_state=self.optimizer_state,
            rows={name: getattr(self, name) for name in _ROWS},
            facts=facts,
        )
        write_checkpoint(file, state, about)

    @classmethod
    def load(cls, file: Path, start: Concept, about: Mapping[str, object]) -> "LearnState":
        """Read what `save` wrote; `start` is a concept of the same kind and size.

        Raises InputError for a file of another run.
        """
        state = read_checkpoint(file, _CONCEPTS, start, about)
        facts = dict(state.facts)
        facts["negatives"] = tuple(map(tuple, facts["negatives"]))
        facts["history"] = tuple(Answer(**answer) for answer in facts["history"])
        return cls(optimizer_state=state.optimizer_state, **state.concepts, **state.rows, **facts)

    def at(self, step: Step) -> "LearnState":
        """Return the state in which the loop would repeat this step."""
        return replace(
            self,
            concept=step.concept,
            optimizer_state=step.optimizer_state,
            step=step,
            result=self.result.where(self.finished, step.concept),
        )

    def added(self, answers: Sequence[Answer], patience: int, seconds: float) -> "LearnState":
        """Add the answers of one question, one for each concept that is not finished."""
        lists = [list(words) for words in self.negatives]
        quiet = self.questions_without_news.clone()
        for answer in answers:
            if answer.verdict == ADDED:
                lists[answer.concept].append(answer.word)
                quiet[answer.concept] = 0
            else:
                quiet[answer.concept] += 1
        return replace(
            self,
            negatives=tuple(map(tuple, lists)),
            questions_without_news=quiet,
            finished=quiet >= patience,
            history=(*self.history, *answers),
            asked_at=self.optimizer_state.index,
            ask_seconds=self.ask_seconds + seconds,
        )


@dataclass(frozen=True, eq=False, repr=False)
class LearnResult:
    """k learned concepts."""

    concept: Concept
    # The negatives that each concept ended with.
    negatives: tuple[tuple[str, ...], ...]
    # All answers.
    history: tuple[Answer, ...]
    # Steps taken.
    steps: int
    # Time that questions took.
    ask_seconds: float

    def __repr__(self) -> str:
        words = ", ".join(self.negatives[0][:6]) or "none"
        more = f" and {len(self.negatives[0]) - 6} more" if len(self.negatives[0]) > 6 else ""
        return (
            f"LearnResult({len(self.concept)} concepts of {self.concept.word!r} in "
            f"{self.steps} steps)\n"
            f"  negatives of the first: {words}{more}\n"
            f"  {len(self.history)} answers in {self.ask_seconds:.0f} s"
        )

    def save(self, folder: str | Path) -> None:
        """Write the result into a folder, which is created.

        learning.json comes last: without it, `load` says that the folder holds no result.
        """
        folder = Path(folder)
        (folder / "learning.json").unlink(missing_ok=True)
        self.concept.save(folder)
        facts = {
            "negatives": self.negatives,
            "history": [asdict(answer) for answer in self.history],
            "steps": self.steps,
            "ask_seconds": self.ask_seconds,
        }
        write_json(folder / "learning.json", facts)

    @classmethod
    def load(cls, folder: str | Path, pipe: Pipeline) -> "LearnResult":
        """Read what `save` wrote. Raises InputError for a folder without learned concepts."""
        folder = Path(folder)
        if not (folder / "learning.json").is_file():
            raise InputError(
                f"folder is {str(folder)!r}, which has no learning.json; expected a folder that "
                "LearnResult.save wrote"
            )
        facts = json.loads((folder / "learning.json").read_text(encoding="utf-8"))
        return cls(
            concept=load_concept(folder, pipe),
            negatives=tuple(map(tuple, facts["negatives"])),
            history=tuple(Answer(**answer) for answer in facts["history"]),
            steps=facts["steps"],
            ask_seconds=facts["ask_seconds"],
        )


_CONCEPTS = ("concept", "result")
_ROWS = ("questions_without_news", "finished")
