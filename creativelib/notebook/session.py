"""Set up a notebook: fixed threads and seeds, small figures, and a line about the machine."""

import os
import random
from typing import Any

DPI = 100
JPEG_QUALITY = 85
THREADS = 2


def setup(seed: int = 0) -> None:
    """Make a notebook's results repeatable, and print the machine it runs on.

    Fixes the seeds of Python, NumPy and torch, and torch's threads: OMP_NUM_THREADS of them, or at
    most 2, because sums over other numbers of threads round differently. Figures with pictures are
    stored as JPEG, which takes a seventh of PNG's size; plots are stored as PNG. Raises InputError
    for a seed that is not from 0 to 2**63 - 1.
    """
    import numpy as np
    import torch

    from ..seeds import UNMIXED, check_seed, mixed

    seed = mixed(check_seed(seed))
    random.seed(seed)
    # Other libraries draw from NumPy's global generator.
    np.random.seed(seed % UNMIXED)  # noqa: NPY002
    torch.manual_seed(seed)
    threads = os.environ.get("OMP_NUM_THREADS", min(THREADS, os.cpu_count() or 1))
    torch.set_num_threads(int(threads))
    _store_small_figures()
    print(machine())


def machine() -> str:
    """Describe the device, its memory in GB and the versions that matter, in one line.

    Tests of the notebooks ignore lines that begin like this one (tests/sanitize.cfg).
    """
    import psutil
    import torch

    from .. import __version__

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        device = properties.name
        memory = properties.total_memory
    else:
        device = f"CPU, threads: {torch.get_num_threads()}"
        memory = psutil.virtual_memory().total
    return (
        f"device: {device}, memory: {memory / 1e9:.0f} GB; torch {torch.__version__}, "
        f"creativelib {__version__}"
    )


def can_run(name: str) -> bool:
    """Check if this machine can load a model that needs a GPU, and download the model if it can.

    If not, print what is missing. Raises InputError for a name that is not in
    `models.names.MODELS`.
    """
    import torch

    from ..errors import InputError, one_of
    from ..models.location import locate
    from ..models.names import MODELS

    one_of("name", name, MODELS)
    model = MODELS[name]
    missing = ""
    if not torch.cuda.is_available():
        missing = "and this machine has none"
    elif torch.cuda.get_device_properties(0).total_memory < 1e9 * model.memory:
        missing = (
            f"and this one has {torch.cuda.get_device_properties(0).total_memory / 1e9:.0f} GB"
        )
    if missing:
        print(
            f"{model.about} needs a GPU with {model.memory:.0f} GB, {missing}: its cells do nothing"
        )
        return False
    try:
        locate(name)
    except InputError as error:
        print(f"{error}: its cells do nothing")
        return False
    return True


def _store_small_figures() -> None:
    """Set how a running notebook stores figures; do nothing outside of notebooks."""
    import matplotlib
    from IPython.core.getipython import get_ipython
    from IPython.core.pylabtools import print_figure
    from matplotlib.figure import Figure
    from matplotlib_inline import backend_inline

    shell: Any = get_ipython()
    if shell is None:
        return
    matplotlib.rcParams["figure.dpi"] = DPI
    # The inline backend sets formats of its own when it is switched on, so ours are set afterwards.
    backend_inline._enable_matplotlib_integration()
    formats = shell.display_formatter.formatters

    def png(figure: Figure) -> str | bytes | None:
        if _has_pictures(figure):
            return None
        return print_figure(figure, "png", base64=True)

    def jpeg(figure: Figure) -> str | bytes | None:
        if not _has_pictures(figure):
            return None
        return print_figure(figure, "jpeg", base64=True, pil_kwargs={"quality": JPEG_QUALITY})

    formats["image/png"].for_type(Figure, png)
    formats["image/jpeg"].for_type(Figure, jpeg)


def _has_pictures(figure: Any) -> bool:
    return any(axes.images for axes in figure.axes)
