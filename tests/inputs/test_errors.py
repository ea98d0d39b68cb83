"""The shared checks of numbers, lists and names, and the configurations that call them."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from creativelib.conceptlab.evolution import MixConfig
from creativelib.conceptlab.settings import LearnConfig
from creativelib.errors import (
    InputError,
    above,
    at_least,
    finite,
    flag,
    inside,
    listed,
    nearest,
    one_of,
    share,
    shown,
    whole,
    within,
)
from creativelib.evaluation.protocol import Protocol
from creativelib.semantica.folders import FolderConfig
from creativelib.steering.settings import SteerConfig
from creativelib.study.design import Study
from creativelib.study.simulation import Raters
from creativelib.unclip.conditions import PartialStart
from creativelib.unclip.prior import PriorSampling
from unhooked import change, make

NO_NUMBERS = (
    float("nan"),
    float("inf"),
    -float("inf"),
    True,
    False,
    "4",
    "",
    None,
    [4],
    (4,),
    {},
    b"4",
    4j,
    10**400,
    10**5000,
    np.float64("nan"),
    np.bool_(True),
    torch.tensor([1.0, 2.0]),
)
STUDY = Study(name="class", methods=("a", "b"), categories=("pet",), pictures=2)
PROTOCOL = Protocol(("a",), ("pet",), seeds=1, pictures=1)
CONFIGS = [
    SteerConfig(),
    LearnConfig(),
    MixConfig(),
    FolderConfig(),
    PriorSampling(),
    Raters(),
    STUDY,
    PROTOCOL,
    PartialStart(torch.zeros(1, 1, 2)),
]
NUMBERS = [
    (config, field.name)
    for config in CONFIGS
    for field in dataclasses.fields(config)
    if type(getattr(config, field.name)) in (int, float)
]
# Numbers below 0 that are refused, where some are allowed: a cosine, and a dial below its middle.
BELOW_ZERO = {"low": (-1.5,), "dial": ()}
TEXTS = [
    (config, field.name)
    for config in CONFIGS
    for field in dataclasses.fields(config)
    if type(getattr(config, field.name)) is str
]
LISTS = [
    (config, field.name)
    for config in CONFIGS
    for field in dataclasses.fields(config)
    if type(getattr(config, field.name)) is tuple
]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=shown)
def test_what_only_looks_like_a_number_is_refused(value):
    for check, limits in (
        (finite, ()),
        (at_least, (0,)),
        (above, (0,)),
        (inside, (0, 10)),
        (within, (0, 10)),
        (share, ()),
        (whole, (0, 10)),
    ):
        with pytest.raises(InputError, match="^width is .*; expected"):
            check("width", value, *limits)


def test_numbers_in_range_are_pythons_own():
    for value in (4, np.int64(4), np.int32(4), torch.tensor(4)):
        assert whole("n", value, 4, 4) == 4 and type(whole("n", value, 0)) is int
    for value in (0.5, np.float32(0.5), np.float64(0.5), torch.tensor(0.5)):
        found = [
            finite("x", value),
            at_least("x", value, 0.5),
            above("x", value, 0),
            inside("x", value, 0, 1),
            within("x", value, 0.5, 0.5),
            share("x", value),
        ]
        assert found == [0.5] * 6 and {type(each) for each in found} == {float}


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda: whole("n", 0, 1), "n is 0; expected 1 or more"),
        (lambda: whole("n", 10**9, 1), "n is 1000000000; expected at most 1000000"),
        (lambda: whole("n", 10**80, 1), "n is 1000.*; expected at most"),
        (lambda: whole("n", 1.5, 1), "n is 1.5; expected a whole number, 1 or more"),
        (lambda: at_least("x", -0.1, 0), "x is -0.1; expected 0 or more"),
        (lambda: above("x", 0, 0), "x is 0; expected a number above 0"),
        (lambda: inside("x", 1.0, 0, 1), "x is 1.0; expected a number between 0 and 1"),
        (lambda: within("x", 1.5, 0, 1), r"x is 1.5; expected a number in \[0, 1\]"),
        (lambda: share("x", 0), r"x is 0; expected a share in \(0, 1\]"),
        (lambda: flag("on", "no"), "on is 'no'; expected True or False"),
        (lambda: listed("words", "cat"), "words is 'cat'; expected a list"),
        (lambda: listed("words", {"cat": 1}), "words is .*; expected a list"),
        (lambda: listed("words", 3), "words is 3; expected a list"),
        (lambda: listed("words", []), r"words is \[\]; expected a list of at least 1"),
        (
            lambda: one_of("kind", "subjct", ["subject", "feature"]),
            "kind is 'subjct'; expected one of subject, feature; did you mean 'subject'?",
        ),
        (lambda: one_of("kind", None, ["subject"]), "kind is None; expected one of subject$"),
    ],
)
def test_messages_name_argument_value_and_what_was_expected(check, words):
    with pytest.raises(InputError, match=words):
        check()


def test_messages_are_one_short_line():
    for value in ("a\nb\0c", "x" * 10**6, 10**10_000, torch.zeros(3, 3), ["cat"] * 1000):
        assert len(shown(value)) <= 80 and len(shown(value).splitlines()) == 1
    assert nearest("Pett", ["pet"]) == "; did you mean 'pet'?" and nearest(7, ["pet"]) == ""


@pytest.mark.parametrize(("config", "name"), NUMBERS, ids=lambda each: str(each)[:24])
def test_every_number_of_every_configuration_is_checked(config, name):
    for value in (*NO_NUMBERS, *BELOW_ZERO.get(name, (-1.5, -1))):
        with pytest.raises(InputError):
            change(config, **{name: value})


@pytest.mark.parametrize(("config", "name"), TEXTS, ids=lambda each: str(each)[:24])
def test_every_text_of_every_configuration_is_checked(config, name):
    for value in ("", " ", "\0", None, 3, ["subject"]):
        with pytest.raises(InputError, match=f"{name} is "):
            change(config, **{name: value})


@pytest.mark.parametrize(("config", "name"), LISTS, ids=lambda each: str(each)[:24])
def test_every_list_of_every_configuration_is_checked(config, name):
    for value in ("a photo of a {}", (), None, 3, ("",), (None,), {"a": 1}):
        with pytest.raises(InputError, match=f"{name} is "):
            change(config, **{name: value})


def test_numpys_numbers_become_pythons_which_json_can_hold():
    sampling = make(PriorSampling, guidance=np.float32(2))
    config = make(SteerConfig, concepts=np.int64(2), dial=np.float32(1.5), sampling=sampling)
    assert json.loads(json.dumps(dataclasses.asdict(config)))["dial"] == 1.5
    widths = (np.int64(48), np.int64(96))
    assert json.dumps(dataclasses.asdict(make(FolderConfig, seed=np.int64(3), channels=widths)))


def test_limits_that_follow_from_the_method():
    for guidance in (0, 0.5, 0.999, -2.0):
        with pytest.raises(InputError, match="guidance is"):
            PriorSampling(guidance=guidance)
    assert PriorSampling(guidance=1).guidance == 1
    with pytest.raises(InputError, match="steps is 1001; expected at most 1000"):
        PriorSampling(steps=1001)
    with pytest.raises(InputError, match="concepts is 1001; expected at most 1000"):
        SteerConfig(concepts=1001)
    with pytest.raises(InputError, match="channels is"):
        FolderConfig(channels=(0, 0))
    with pytest.raises(InputError, match="seeds is 1000000000; expected at most"):
        dataclasses.replace(PROTOCOL, seeds=10**9)
