"""A workbench: the models that make and judge, what was learned on it, and what that took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..density import Density
from ..sharing import normal_tensors
from ..unclip.pipeline import Pipeline, load
from ..vision.judge import Judge
from ..vision.vqa import BlipVqa, Vqa
from ..world.oracle import Oracle
from .counting import counted
from .scores import Reference

# Categories and runs that a workbench remembers.
CACHED = 64


@dataclass(frozen=True)
class Cost:
    """What work takes."""

    seconds: float = 0.0
    # Forward passes of the prior and of the decoder, see `counting`.
    prior: int = 0
    decoder: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            seconds=self.seconds + other.seconds,
            prior=self.prior + other.prior,
            decoder=self.decoder + other.decoder,
        )

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(
            seconds=self.seconds - other.seconds,
            prior=self.prior - other.prior,
            decoder=self.decoder - other.decoder,
        )


class Workbench:
    """What makes and what judges, loaded once. What belongs to a category is made once, too.

    It keeps an account of what work takes, so it serves one thread at a time.
    """

    def __init__(
        self, pipe: Pipeline, judge: Judge, oracle: Oracle, second_oracle: Oracle, vqa: Vqa
    ) -> None:
        self.pipe, self.evaluations = counted(pipe)
        self.judge = judge
        self.oracle = oracle
        self.second_oracle = second_oracle
        self.vqa = vqa
        # Charged beyond what was done, see `learned` and `free`.
        self.credit = Cost()
        self._references = lru_cache(CACHED)(self._reference)
        self._results = lru_cache(CACHED)(self._learned)

    @classmethod
    def load(cls, model: str | Path = "menagerie", device: str = "cpu") -> "Workbench":
        """Load the bundled models and judges."""
        return cls(
            pipe=load(model, device),
            judge=Judge.load(),
            oracle=Oracle.load(),
            second_oracle=Oracle.load("mix"),
            vqa=BlipVqa.load(),
        )

    def spent(self) -> Cost:
        """Return what was spent up to now; only differences mean something."""
        counts = self.evaluations
        return Cost(time.monotonic(), counts.prior, counts.decoder) + self.credit

    @contextmanager
    def free(self) -> Iterator[None]:
        """Charge nothing for what is done here: it belongs to a category, and is done once."""
        before = self.spent()
        yield
        self.credit += before - self.spent()

    def reference(self, word: str) -> Reference:
        """Return what runs on a category are compared with."""
        with self.free():
            return self._references(word)

    def density(self, word: str) -> Density:
        """Return what is typical of a category, as its reference has it."""
        return self.reference(word).density

    def learned(self, learn: Callable[["Workbench", str, int], Any], word: str, seed: int) -> Any:
        """Return what a function learns of a category with a seed.

        It learns once and is charged each time, as if each of the methods that share what is
        learned had learned alone.
        """
        before = self.spent()
        result, cost = self._results(learn, word, seed)
        self.credit += before + cost - self.spent()
        return result

    @normal_tensors()
    def _reference(self, word: str) -> Reference:
        return Reference.of(self.pipe, self.judge, word)

    @normal_tensors()
    def _learned(
        self, learn: Callable[["Workbench", str, int], Any], word: str, seed: int
    ) -> tuple[Any, Cost]:
        before = self.spent()
        result = learn(self, word, seed)
        return result, self.spent() - before
