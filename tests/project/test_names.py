"""The names of before are gone, in code and in prose."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLD = (
    # modules
    r"creativelib[./](zoo|loading|recipes|runs|spaces|states|studio|measured|settle|optimize|check)\b",
    r"\b(zoo|studio|measured|witnesses|recipes|states|settle|optimize|check)\.py\b",
    r"\bzoo\.MODELS\b",
    # functions
    r"\b(noise_for|still_is|above_floor|for_rows|sent_through|space_of|prior_edit)\b",
    r"\b(encode|spaces)\.see\b|\bencoder\.see\(",
    r"\b(latent|recipes)\.invert\b|\bimport invert\b",
    r"\bimport (learning|steering|measured|runs|aim|shifts|newest|survival|push|probe|better)\b",
    r"\bmeasured\(\"",
    # classes
    r"\b(Located|Sampled|Studio|Lab)\b|\bDrawn[(.]",
    r"\bimport .*\b(Near|Spread|Words|Collected|Aim|Memory|Learning|Seen|Stages|Edit|Select)\b",
    # arguments, fields and constants
    r"\b(forbidden|coming|also)=(?!=)",
    r"\b(on_no|clamps)\b *[=:]|config\.agree\b",
    r"\bLearnConfig\([^)]*\b(every|asked|largest)=",
    r"\bSteerConfig\([^)]*\b(baseline|prior_steps)=",
    r"\.(aim|about\(\)|moved\(|set_back|turned)\b",
    r"\bprior_steps\b",
    r"\b(HARDEST|GLIMPSE|AGAIN)\b",
    r"[^_A-Z](DEFAULTS|STYLE)\b *=",
)
SUFFIXES = (".py", ".ipynb", ".md", ".toml")


def lines() -> list[tuple[str, str]]:
    """Every line of every tracked text, but for this list."""
    command = ["git", "ls-files"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split() if name.endswith(SUFFIXES)]
    names = [name for name in names if name != "tests/project/test_names.py"]
    return [(name, line) for name in names for line in (ROOT / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def text() -> list[tuple[str, str]]:
    return lines()


@pytest.mark.parametrize("old", OLD)
def test_an_old_name_is_gone(text: list[tuple[str, str]], old: str):
    pattern = re.compile(old)
    found = [
        f"{name}: {line.strip()[:120]}"
        for name, line in text
        if pattern.search(line) and "image/" not in line[:40]
    ]
    assert found == []
