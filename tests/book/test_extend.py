"""The five programs of book/extend.md: they run as they stand, in few lines, and are typed."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from creativelib.evaluation import scores

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
@pytest.mark.filterwarnings("ignore::creativelib.metrics.intervals.FewPicturesWarning")
def test_a_program_is_short_and_runs(
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """They run in one process, so that the libraries are loaded once for all five."""
    assert len(own_lines(PROGRAMS[number])) < MOST_LINES
    # The table's own figures compare with 456 pictures, which would take a minute.
    monkeypatch.setattr(scores, "SEEN", 12)
    monkeypatch.setattr(scores, "FLOOR_SIZE", 16)
    monkeypatch.setattr(scores, "FLOOR_SAMPLES", 1)
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "program.py"
    program.write_text(PROGRAMS[number], encoding="utf-8")
    runpy.run_path(str(program), run_name="program")
    assert capsys.readouterr().out.strip()


def test_programs_are_typed(tmp_path: Path):
    """In pyright's strict mode, which reports every type that it cannot tell."""
    for number, program in enumerate(PROGRAMS):
        (tmp_path / f"program_{number}.py").write_text(f"# pyright: strict\n{program}")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(tmp_path)]
    done = subprocess.run(command, cwd=PAGE.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
