"""The five programs of book/extend.md: they run as they stand, in few lines, and are typed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "book" / "extend.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
MOST_LINES = 15


def own_lines(program: str) -> list[str]:
    """Lines that do something: without imports, blank lines and docstrings."""
    lines = [line for line in program.splitlines() if line.strip()]
    return [line for line in lines if not re.match(r"from |import |\s*\"\"\"", line)]


def test_there_are_five():
    assert len(PROGRAMS) == 5


@pytest.mark.parametrize("number", range(5))
def test_a_program_is_short_and_runs(number: int, tmp_path: Path):
    program = PROGRAMS[number]
    assert len(own_lines(program)) < MOST_LINES
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_programs_are_typed(tmp_path: Path):
    """In pyright's strict mode, which reports every type that it cannot tell."""
    for number, program in enumerate(PROGRAMS):
        (tmp_path / f"program_{number}.py").write_text(f"# pyright: strict\n{program}")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(tmp_path)]
    done = subprocess.run(command, cwd=PAGE.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
