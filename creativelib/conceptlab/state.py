"""Where a ConceptLab run stands, as one frozen state."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from jaxtyping import Bool, Int
from torch import Tensor

from ..concept import Concept
from ..optimization.checkpoint import read_state, write_state
from ..optimization.loop import OptimizerState, Step
from .answers import ADDED, Answer


@dataclass(frozen=True, eq=False)
class LearnState:
    """k concepts being learned. `concept` and `memory` are what the loop goes on from, `negatives` each concept's own list, `history`
    all answers so far. `kept` is what the run will return, `quiet` how many questions in a row brought a concept nothing new, `finished`
    whether these were enough to leave it as it is. `asked_at` is the step of the last question, `ask_seconds` what questions took. `step`
    is the last step taken, None in a run just begun or read."""

    concept: Concept
    optimizer_state: OptimizerState
    result: Concept
    negatives: tuple[tuple[str, ...], ...]
    questions_without_news: Int[Tensor, " k"]
    finished: Bool[Tensor, " k"]
    history: tuple[Answer, ...] = ()
    asked_at: int = 0
    ask_seconds: float = 0.0
    ended: bool = False
    step: Step | None = None

    def save(self, file: Path, about: Mapping[str, object]) -> None:
        """Write the state, and what the run is `about` so that no other run goes on from it. A crash leaves the old file."""
        facts = {
            "negatives": self.negatives,
            "history": [asdict(answer) for answer in self.history],
            "asked_at": self.asked_at,
            "ask_seconds": self.ask_seconds,
            "ended": self.ended,
        }
        write_state(
            file,
            {"concept": self.concept, "result": self.result},
            self.optimizer_state,
            {"questions_without_news": self.questions_without_news, "finished": self.finished},
            facts,
            about,
        )

    @classmethod
    def load(cls, file: Path, start: Concept, about: Mapping[str, object]) -> "LearnState":
        """Read what `save` wrote; `start` is a concept of the same kind and size. Raises InputError for a file of another run."""
        concepts, memory, rows, facts = read_state(file, ("concept", "result"), start, about)
        facts["negatives"] = tuple(map(tuple, facts["negatives"]))
        facts["history"] = tuple(Answer(**answer) for answer in facts["history"])
        return cls(optimizer_state=memory, **concepts, **rows, **facts)

    def at(self, step: Step) -> "LearnState":
        """The state in which the loop would repeat this step."""
        return replace(
            self,
            concept=step.concept,
            optimizer_state=step.optimizer_state,
            step=step,
            result=self.result.where(self.finished, step.concept),
        )

    def added(self, found: Sequence[Answer], patience: int, seconds: float) -> "LearnState":
        """The state after a question to which each concept that is not finished got one answer."""
        lists = [list(words) for words in self.negatives]
        quiet = self.questions_without_news.clone()
        for answer in found:
            new = answer.verdict == ADDED
            quiet[answer.concept] = 0 if new else quiet[answer.concept] + 1
            lists[answer.concept] += [answer.word] if new else []
        return replace(
            self,
            negatives=tuple(map(tuple, lists)),
            questions_without_news=quiet,
            finished=quiet >= patience,
            history=(*self.history, *found),
            asked_at=self.optimizer_state.index,
            ask_seconds=self.ask_seconds + seconds,
        )
