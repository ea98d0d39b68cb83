"""The semantic pullback: decode a few pictures and ask a VQA whether they still show what they are meant to."""

import torch
from jaxtyping import Float
from torch import Tensor

from .pipeline import Pipeline
from .vqa import Vqa, is_a


def still_is(pipe: Pipeline, vqa: Vqa, z: Float[Tensor, "k n d"], word: str, seed: int = 0) -> Float[Tensor, " k"]:
    """The share of a concept's embeddings whose picture the VQA says yes to, asked "is this a {word}?"."""
    k, n, _ = z.shape
    with torch.no_grad():
        pictures = pipe.decode(z, generator=[torch.Generator().manual_seed(seed + i) for i in range(k)])
        answers = vqa.ask(pictures.flatten(0, 1), is_a(word))
    return torch.tensor([answer == "yes" for answer in answers]).view(k, n).float().mean(1)
