"""What Windows and macOS do otherwise than Linux. Their differences are looked for in the code."""

import ast
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKPOINTS = ROOT / "creativelib" / "checkpoints"
FOLDERS = ("creativelib", "benchmarks", "book")
# What Python lacks on Windows.
LINUX_MODULES = {"fcntl", "grp", "posix", "pwd", "resource", "termios"}
LINUX_NAMES = {
    "os": {
        "chown",
        "fork",
        "forkpty",
        "getegid",
        "geteuid",
        "getgid",
        "getloadavg",
        "getpgid",
        "getuid",
        "kill",
        "killpg",
        "mkfifo",
        "nice",
        "sched_getaffinity",
        "setsid",
        "statvfs",
        "sysconf",
        "uname",
        "wait",
    },
    "signal": {"SIGALRM", "SIGHUP", "SIGKILL", "SIGQUIT", "alarm", "pause", "setitimer"},
    "time": {"tzset"},
}

# Windows takes these for devices, with any ending.
RESERVED = {"aux", "con", "nul", "prn"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in range(10)
}


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            yield node, getattr(function, "attr", getattr(function, "id", ""))


def is_text(call: ast.Call, function: ast.expr) -> bool:
    """Check if a call of open(file, mode) or path.open(mode) is known to open a text file."""
    position = 1 if isinstance(function, ast.Name) else 0
    named = [each.value for each in call.keywords if each.arg == "mode"]
    mode = [*named, *call.args[position : position + 1], ast.Constant("r")][0]
    known = isinstance(mode, ast.Constant) and isinstance(mode.value, str)
    return known and not set(mode.value) - set("rwax+t")


def faults(tree: ast.AST) -> Iterator[int]:
    """Find lines that read or write text without an encoding, or write it without line ends."""
    for call, name in calls(tree):
        given = {each.arg for each in call.keywords}
        reads = name == "read_text" or (name == "open" and is_text(call, call.func))
        if (reads or name == "write_text") and "encoding" not in given:
            yield call.lineno
        if name == "write_text" and "newline" not in given:
            yield call.lineno


def linux_only(tree: ast.Module) -> Iterator[int]:
    """Find lines that need a name or, when a module is imported, a module that Windows lacks."""
    for node in tree.body:
        modules = []
        if isinstance(node, ast.Import):
            modules = [each.name for each in node.names]
        if isinstance(node, ast.ImportFrom):
            modules = [node.module]
        if LINUX_MODULES & set(modules):
            yield node.lineno
    for node in ast.walk(tree):
        named = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if named and node.attr in LINUX_NAMES.get(node.value.id, ()):
            yield node.lineno


def found(check) -> list[str]:
    return [
        f"{file.relative_to(ROOT)}:{line}"
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*.py"))
        for line in check(ast.parse(file.read_text(encoding="utf-8")))
    ]


def test_text_files_are_utf_8_with_unix_line_ends():
    """Write `encoding="utf-8"`, and `newline="\\n"` where a file is written."""
    assert found(faults) == []


def test_nothing_needs_linux():
    assert found(linux_only) == []


def test_such_lines_are_found():
    bad = (
        "file.read_text()",
        "file.write_text(text, encoding='utf-8')",
        "file.write_text(text, newline='')",
        "open(file)",
        "open(file, 'w')",
        "file.open()",
        "file.open('a')",
        "file.open(mode='r')",
    )
    good = (
        "file.read_text(encoding='utf-8')",
        "file.write_text(text, encoding='utf-8', newline='\\n')",
        "open(file, 'rb')",
        "file.open('ab')",
        "file.open(mode='r+b')",
        "Image.open(file)",
        "file.open(encoding='utf-8')",
    )
    assert [line for line in bad if not list(faults(ast.parse(line)))] == []
    assert [line for line in good if list(faults(ast.parse(line)))] == []
    bad = ("import resource", "from fcntl import flock", "os.sysconf(1)", "signal.SIGKILL")
    good = ("import os", "def f():\n    import resource", "os.cpu_count()")
    assert [line for line in bad if not list(linux_only(ast.parse(line)))] == []
    assert [line for line in good if list(linux_only(ast.parse(line)))] == []


def git(*words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True)
    return done.stdout.decode().strip("\0\n").split("\0")


def test_every_system_can_hold_the_files_names():
    """No reserved names, no signs that Windows refuses, no two that differ in their case alone."""
    names = git("ls-files", "-z")
    wrong = [
        name
        for name in names
        if set(name) & set('<>:"|?*\\')
        or any(part.endswith((".", " ")) for part in name.split("/"))
        or any(part.split(".")[0].lower() in RESERVED for part in name.split("/"))
    ]
    assert wrong == []
    assert len({name.lower() for name in names}) == len(names)


@pytest.mark.parametrize("stack", sorted(file.parent.name for file in CHECKPOINTS.glob("*/sha*")))
def test_git_leaves_the_bytes_of_bundled_files_alone(stack):
    """With other line ends, as Git writes them on Windows, they would count as damaged."""
    sums = CHECKPOINTS / stack / "sha256.json"
    names = [f"creativelib/checkpoints/{stack}/{name}" for name in json.loads(sums.read_bytes())]
    fields = git("check-attr", "-z", "text", "--", *names)
    assert set(fields[2::3]) == {"unset"}
    assert not any("\\" in name for name in names)
