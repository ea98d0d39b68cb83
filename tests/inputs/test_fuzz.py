"""Thousands of random prompts and settings: each is accepted, or refused by InputError."""

import json
import random
from collections import Counter
from dataclasses import asdict, fields

import numpy as np

from creativelib.commands.creation import find_subject
from creativelib.conceptlab.evolution import MixConfig, check_weights
from creativelib.conceptlab.settings import LearnConfig
from creativelib.english import check_template, clean_text, clean_words, fill
from creativelib.errors import InputError
from creativelib.evaluation.protocol import Protocol
from creativelib.seeds import check_seed, mixed
from creativelib.semantica.corpus import Filter
from creativelib.semantica.folders import FolderConfig
from creativelib.steering.settings import SteerConfig
from creativelib.study.design import Study
from creativelib.study.simulation import Raters
from creativelib.unclip.prior import PriorSampling
from unhooked import make

PIECES = (
    *("a", "pet", "photo of a", "café", "cafe\u0301", "4k", "8K", "R2D2", "highly detailed", "_"),
    *("{}", "{", "}", "{red}", "{0}", "{{}}", "%", "%s", "%(x)d", "\\", "'", '"', ",", ", ", "."),
    *(" ", "  ", "\n", "\t", "\r\n", "\0", "\x1b", "\x7f", "\u2028", "\u200d", "\u202e", "\ufeff"),
    *("חתול", "قطة", "猫", "बिल्ली", "ß", "İ", "ſ", "ﬁ", "🐱", "👩\u200d🔬", "\ud800", "\U0010ffff"),
    *("x" * 50, "pet " * 20, "--word", "-1", "<script>", "; rm", "../..", "NaN", "None"),
)
NUMBERS = (
    *(0, 1, 2, 3, 5, 16, 48, 96, 0.5, 0.75, 1.5, -1, -0.5, 10**9, 2**32, 2**40, 2**63, 2**64),
    *(10**400, 10**5000, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"), -0.0),
    *(True, False, None, "4", "", "nan", 4j, b"4", [1], (), np.int64(4), np.float32(0.5)),
    *(np.float64("nan"), np.bool_(True), object()),
)
CONFIGS = (
    (SteerConfig, {}),
    (LearnConfig, {}),
    (MixConfig, {}),
    (PriorSampling, {}),
    (FolderConfig, {}),
    (Filter, {}),
    (Raters, {}),
    (Study, {"name": "class", "methods": ("a", "b"), "categories": ("pet",), "pictures": 4}),
    (Protocol, {"methods": ("a",), "categories": ("pet",), "seeds": 2, "pictures": 2}),
)


def random_text(rng: random.Random) -> str:
    return "".join(rng.choice(PIECES) + rng.choice(("", " ")) for _ in range(rng.randint(0, 6)))


def random_value(rng: random.Random) -> object:
    kind = rng.random()
    if kind < 0.7:
        return rng.choice(NUMBERS)
    if kind < 0.85:
        return random_text(rng)
    return [rng.choice((random_text(rng), rng.choice(NUMBERS))) for _ in range(rng.randint(0, 3))]


def test_prompts(pipe):
    rng = random.Random(0)
    counts: Counter[str] = Counter()
    for _ in range(3000):
        text = random_text(rng)
        word = rng.choice((None, None, "pet", random_text(rng)))
        try:
            subject = find_subject(pipe, text, word)
        except InputError as error:
            assert len(str(error).splitlines()) == 1 and len(str(error)) < 500
            counts["refused"] += 1
            continue
        check_template(subject.template)
        assert subject.word and fill(subject.template, subject.word) == clean_text("prompt", text)
        counts["accepted"] += 1
    print(f"\n{counts.total()} prompts: {dict(counts)}")
    assert counts["accepted"] > 300 and counts["refused"] > 300


def test_settings():
    rng = random.Random(1)
    counts: Counter[str] = Counter()
    for _ in range(4000):
        kind, needed = rng.choice(CONFIGS)
        names = [field.name for field in fields(kind) if field.name != "sampling"]
        chosen = {name: random_value(rng) for name in rng.sample(names, rng.choice((1, 1, 1, 2)))}
        try:
            config = make(kind, **needed | chosen)
        except InputError as error:
            assert len(str(error).splitlines()) == 1
            counts["refused"] += 1
            continue
        json.dumps(asdict(config), allow_nan=False)
        counts["accepted"] += 1
    print(f"\n{counts.total()} settings: {dict(counts)}")
    assert counts["accepted"] > 300 and counts["refused"] > 300


def test_seeds_weights_and_words():
    rng = random.Random(2)
    counts: Counter[str] = Counter()
    for _ in range(3000):
        value = random_value(rng)
        for check in (
            lambda value: mixed(check_seed(value)),
            lambda value: check_weights(value, 2),
            lambda value: clean_words("negatives", value),
        ):
            try:
                check(value)
            except InputError as error:
                assert len(str(error).splitlines()) == 1
                counts["refused"] += 1
            else:
                counts["accepted"] += 1
    print(f"\n{counts.total()} values: {dict(counts)}")
    assert counts["accepted"] > 100 and counts["refused"] > 1000
