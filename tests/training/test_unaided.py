"""The CLIP without labels of factors differs from the bundled one in that alone."""

from dataclasses import asdict

from creativelib.training.clip import PLAN
from creativelib.training.unaided import without_labels


def test_only_the_labels_are_left_out():
    plain = without_labels(PLAN)
    assert plain.read == 0 < PLAN.read
    changed = {name for name, value in asdict(plain).items() if value != asdict(PLAN)[name]}
    assert changed == {"read", "recipe"}
    recipe = asdict(PLAN.recipe)
    changed = {name for name, value in asdict(plain.recipe).items() if value != recipe[name]}
    assert changed == {"name"}  # for a checkpoint of its own
