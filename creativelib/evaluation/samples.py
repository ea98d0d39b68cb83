"""What a method draws: image embeddings and their pictures."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load, save_file
from torch import Tensor

from ..errors import InputError
from ..files import atomic_write
from ..pictures import save_gallery
from ..unclip.pipeline import Pipeline


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Image embeddings and the pictures decoded from them."""

    z: Float[Tensor, "n d"]
    pictures: Float[Tensor, "n 3 h w"]

    def __repr__(self) -> str:
        n, _, h, w = self.pictures.shape
        return f"Samples({n} pictures of {w} x {h}, embeddings of {self.z.shape[1]})"

    def save(self, folder: str | Path) -> None:
        """Write embeddings, pictures and a gallery into a folder, which is created."""
        folder = Path(folder)
        tensors = {"z": self.z, "pictures": self.pictures}
        copies = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        with atomic_write(folder / "samples.safetensors") as part:
            save_file(copies, part)
        save_gallery({"samples": self.pictures}, folder / "gallery.png")

    @classmethod
    def load(cls, folder: str | Path) -> "Samples":
        """Read what `save` wrote. Raises InputError for a folder without samples."""
        file = Path(folder) / "samples.safetensors"
        if not file.is_file():
            raise InputError(
                f"folder is {str(folder)!r}, which has no samples.safetensors; expected a folder "
                "that Samples.save wrote"
            )
        return cls(**load(file.read_bytes()))


def decoded(pipe: Pipeline, z: Float[Tensor, "k n d"], *, generator: torch.Generator) -> Samples:
    """Decode embeddings of k groups to samples, group by group."""
    pictures = pipe.decode(z, generator=generator)
    return Samples(z.flatten(0, 1), pictures.flatten(0, 1))
