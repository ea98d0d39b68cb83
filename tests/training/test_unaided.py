"""The CLIP that is told no factors differs from the bundled one in that alone."""

from dataclasses import asdict

import pytest

from creativelib.training.clip import FIRST, PARTS
from creativelib.training.unaided import without_labels


@pytest.mark.parametrize("stage", [FIRST, PARTS])
def test_only_the_labels_are_left_out(stage):
    plain = without_labels(stage)
    assert plain.read == 0 < stage.read and plain.wild == stage.wild
    changed = {name for name, value in asdict(plain.recipe).items() if value != asdict(stage.recipe)[name]}
    assert changed == {"name"}  # or its checkpoints would be taken for the bundled one's
