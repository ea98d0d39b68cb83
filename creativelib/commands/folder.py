"""The folder of a run: a hash of what went in, and the report of a run that came to its end.

A folder belongs to one run, see `files.claim`. The same arguments resume an interrupted run, and a
finished one is left as it is.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def digest(*tensors: Tensor) -> str:
    """Return a short hash of tensors' values."""
    parts = [each.detach().cpu().contiguous().flatten().view(torch.uint8) for each in tensors]
    return hashlib.sha256(torch.cat(parts).numpy().tobytes()).hexdigest()[:12]


def finished(out: Path) -> dict[str, Any] | None:
    """Return the report in a folder if it and all pictures are there, or else None.

    The report is written last.
    """
    try:
        report = json.loads((out / "report.json").read_bytes())
        files = ["gallery.png", *(row["file"] for row in report["pictures"])]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return report if all((out / file).is_file() for file in files) else None
