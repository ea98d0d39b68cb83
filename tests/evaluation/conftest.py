"""A workbench with the bundled models whose references are small and whose pictures are rough."""

from dataclasses import fields

import pytest

from creativelib.evaluation import scores
from creativelib.evaluation.workbench import Workbench
from creativelib.unclip.pipeline import Pipeline
from creativelib.vision.judge import Judge
from creativelib.vision.vqa import BlipVqa
from creativelib.world.oracle import Oracle


class Rough(Pipeline):
    """Two steps without guidance decode to something like a picture."""

    decode_defaults = (1.0, 2)


@pytest.fixture(scope="session")
def bench(menagerie: Pipeline) -> Workbench:
    """Load the bundled models, and make the reference of one category."""
    pipe = Rough(**{field.name: getattr(menagerie, field.name) for field in fields(menagerie)})
    oracle = Oracle.load()
    made = Workbench(pipe, Judge.load(), oracle, oracle, BlipVqa.load())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "SEEN", 24)
        patch.setattr(scores, "FLOOR_SIZE", 8)
        made.reference("pet")
    return made
