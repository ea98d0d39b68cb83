"""The examples in docstrings run."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import creativelib

# These would start a training.
SCRIPTS = ("creativelib.training.__main__",)
MODULES = [
    module.name
    for module in pkgutil.walk_packages(creativelib.__path__, "creativelib.")
    if module.name not in SCRIPTS
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str):
    failed, _ = doctest.testmod(import_module(name))
    assert failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in MODULES for test in finder.find(import_module(name)) if test.examples]
    assert len(found) >= 5
