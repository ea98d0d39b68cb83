"""Rules of the code that ruff has no check for."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import creativelib

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "creativelib"
FOLDERS = ("creativelib", "benchmarks", "book", "tests")


def sources(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Parse every Python file in folders of the repository."""
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield file, ast.parse(file.read_text(encoding="utf-8"))


def is_swap(target: ast.Tuple, value: ast.Tuple) -> bool:
    """Check for `a, b = b, a` with two plain names."""
    names = [
        [each.id for each in side.elts if isinstance(each, ast.Name)] for side in (target, value)
    ]
    return len(target.elts) == len(value.elts) == len(names[0]) == 2 and names[1] == names[0][::-1]


def faults(tree: ast.Module) -> Iterator[int]:
    """Find the lines with more than one assignment."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        target = node.targets[0]
        value = node.value
        tuples = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
        if len(node.targets) > 1 or (tuples and not is_swap(target, value)):
            yield node.lineno


def test_one_assignment_a_line():
    found = [
        f"{file.relative_to(ROOT)}:{line}"
        for file, tree in sources(*FOLDERS)
        for line in faults(tree)
    ]
    assert found == []


def test_faults_are_found():
    bad = ("a, b = 1, 2", "a = b = 1", "a, b = b, a + 1", "a, b.c = b.c, a", "a, b, c = c, b, a")
    good = ("a, b = b, a", "a, b = f()", "a = 1, 2", "a, b = (f(x) for x in c)")
    assert [line for line in bad if not list(faults(ast.parse(line)))] == []
    assert [line for line in good if list(faults(ast.parse(line)))] == []


def test_imports_go_down():
    """The layers are in pyproject.toml."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_has_the_name_of_a_function_in_it():
    """Otherwise `from package import name` would mean either."""
    found = []
    for file, tree in sources("creativelib"):
        module = file.parent.name if file.stem == "__init__" else file.stem
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if module in functions:
            found.append(str(file.relative_to(ROOT)))
    assert found == []


def typed_homes() -> dict[str, str]:
    """Read the imports for type checkers in creativelib/__init__.py: modules by public name."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    homes = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom) and node.level == 1 and node.module is not None
        for name in node.names:
            # `import name as name` marks a public name for type checkers.
            assert name.asname == name.name
            homes[name.name] = node.module
    return homes


def test_public_names_are_the_same_for_type_checkers():
    assert typed_homes() == creativelib._HOMES


def test_every_public_name_resolves():
    for name, home in creativelib._HOMES.items():
        value = getattr(creativelib, name)
        assert value is getattr(import_module(f"creativelib.{home}"), name), name
    assert set(creativelib._HOMES) <= set(dir(creativelib))


def test_no_public_name_is_that_of_a_module():
    """After an import of the module, the name would stand for the module."""
    modules = {file.stem for file in PACKAGE.glob("*.py")}
    packages = {folder.name for folder in PACKAGE.iterdir() if folder.is_dir()}
    assert creativelib._HOMES.keys() & (modules | packages) == set()
