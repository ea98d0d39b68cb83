"""What the notebooks' first cell does beyond pip where it installs this package, as on Colab."""

import importlib
import subprocess
import sys
from importlib import util

_PEFT_ACCEPTS = "from peft.import_utils import is_torchao_available; is_torchao_available()"


def drop_refused_torchao() -> None:
    """Uninstall torchao if peft refuses to work beside it.

    Colab brings a torchao that is too old for peft, which then raises ImportError for every LoRA.
    Nothing here uses torchao, and peft does without. peft is asked in another process: in this one,
    libraries would remember that torchao is there. Raises CalledProcessError if pip fails.
    """
    if util.find_spec("torchao") is None:
        return
    if subprocess.run([sys.executable, "-c", _PEFT_ACCEPTS], capture_output=True).returncode == 0:
        return
    command = [sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", "torchao"]
    subprocess.run(command, check=True)
    importlib.invalidate_caches()
