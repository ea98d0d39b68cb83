"""The bundled models with less work: rougher pictures, and small references to compare with."""

from collections.abc import Callable
from dataclasses import fields
from functools import partial

import pytest
import torch

from creativelib.evaluation import scores
from creativelib.evaluation.scores import Reference
from creativelib.evaluation.workbench import Workbench
from creativelib.steering.settings import SteerConfig
from creativelib.unclip.pipeline import Pipeline
from creativelib.vision.judge import Judge
from creativelib.world.oracle import Oracle

SMALL = SteerConfig(baseline_samples=120)


class Rough(Pipeline):
    """Two steps without guidance decode to something like a picture."""

    decode_defaults = (1.0, 2)


class Brisk(Pipeline):
    """Half of the steps without guidance decode to pictures that are still those of a category."""

    decode_defaults = (1.0, 5)


class Cat:
    """A VQA that sees a cat in everything."""

    def ask(self, pictures: torch.Tensor, question: str) -> list[str]:
        return ["cat"] * len(pictures)


def alike(pipe: Pipeline, kind: type[Pipeline]) -> Pipeline:
    return kind(**{field.name: getattr(pipe, field.name) for field in fields(pipe)})


@pytest.fixture(scope="session")
def brisk(menagerie: Pipeline) -> Pipeline:
    return alike(menagerie, Brisk)


@pytest.fixture(scope="session")
def rough(menagerie: Pipeline) -> Pipeline:
    return alike(menagerie, Rough)


@pytest.fixture(scope="session")
def refer() -> Callable[..., Reference]:
    """Give a function that makes references of fewer pictures."""

    def made(pipe: Pipeline, judge: Judge, seen: int, floor: int) -> Reference:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scores, "SEEN", seen)
            patch.setattr(scores, "FLOOR_SIZE", floor)
            patch.setattr(scores, "fit_baseline", partial(scores.fit_baseline, config=SMALL))
            return Reference.of(pipe, judge, "pet")

    return made


@pytest.fixture(scope="session")
def bench(rough: Pipeline, refer: Callable[..., Reference]) -> Workbench:
    """Load the bundled models but the VQA, with a reference of pets alone."""
    oracle = Oracle.load()
    judge = Judge.load()
    made = Workbench(rough, judge, oracle, oracle, Cat())
    pets = refer(made.pipe, judge, seen=24, floor=8)
    made._references = {"pet": pets}.__getitem__
    return made
