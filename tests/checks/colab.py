"""Run chapters as Colab does, in a fresh environment with Colab's packages; for `make colab`.

    .venv-colab/bin/python tests/checks/colab.py notebooks/00-a-first-look.ipynb ...

The first cell installs the last commit of this checkout, which git takes for the repository's
address. Afterwards every package has to be the one that Colab gave, except those in `MAY_GO`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
# peft refuses Colab's torchao, and nothing here needs one.
MAY_GO = {"torchao"}


def versions() -> dict[str, str]:
    """List the environment's packages with their versions."""
    return {found.metadata["Name"]: found.version for found in distributions()}


def colab_environment(folder: Path) -> dict[str, str]:
    """Return environment variables as on Colab, where nothing but git leads to this checkout.

    Every Python imports `google.colab` at its start, as Colab's kernel does: an empty one, made
    below `folder`.
    """
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    module = folder / "modules" / "google" / "colab"
    module.mkdir(parents=True)
    (module / "__init__.py").touch()
    (folder / "modules" / "sitecustomize.py").write_text("import google.colab\n")
    hidden = ("GIT_", "JUPYTER_", "IPYTHON", "PYTHON", "VIRTUAL_ENV", "CONDA_", "MPLBACKEND")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return inherited | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(folder / "modules"),
        "COLAB_RELEASE_TAG": "make-colab",
        "IPYTHONDIR": str(folder / "ipython"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": pyproject["project"]["urls"]["Repository"],
        "GIT_TERMINAL_PROMPT": "0",
        "HF_HUB_OFFLINE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "TQDM_DISABLE": "1",
    }


def execute(notebook: Path, environment: dict[str, str]) -> None:
    """Run a notebook in its folder. Raises CalledProcessError if a cell fails."""
    nbconvert = ["-m", "nbconvert", "--to", "notebook", "--execute", "--inplace"]
    options = ["--ExecutePreprocessor.timeout=600", notebook.name]
    command = [sys.executable, *nbconvert, *options]
    subprocess.run(command, cwd=notebook.parent, env=environment, check=True)


def main(notebooks: list[Path]) -> None:
    """Run notebooks and compare packages. Exits with a message if one of Colab's has changed."""
    before = versions()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        environment = colab_environment(folder)
        content = folder / "content"
        content.mkdir()
        for notebook in notebooks:
            started = time.monotonic()
            execute(Path(shutil.copy(notebook, content)), environment)
            print(f"{notebook.stem}: {time.monotonic() - started:.0f} s", flush=True)
    after = versions()
    kept = before.keys() - MAY_GO
    changed = [
        f"{name} {before[name]} -> {after.get(name)}"
        for name in sorted(kept)
        if after.get(name) != before[name]
    ]
    if changed:
        sys.exit("the first cell has changed what Colab has: " + ", ".join(changed))
    added = sorted(f"{name} {after[name]}" for name in after.keys() - before.keys())
    gone = sorted(before.keys() - after.keys())
    print(f"added: {', '.join(added)}\nremoved: {', '.join(gone) or 'nothing'}")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
