"""Count how often a pipeline's prior and decoder are evaluated.

pipe, evaluations = counted(pipe)
pipe.decode(z, generator=generator)
evaluations.decoder
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ..unclip.pipeline import Pipeline
from ..unclip.twins import twin


@dataclass
class Evaluations:
    """Forward passes so far, one for each row of a batch.

    With classifier-free guidance a sample is two rows.
    """

    prior: int = 0
    decoder: int = 0


def counted(pipe: Pipeline) -> tuple[Pipeline, Evaluations]:
    """Return a pipeline that draws what this one draws and counts, and its counts.

    Counted are the prior and the decoder's denoiser, the prior also where adapters change it.
    Gradients are not: a step that learns takes a backward pass besides. Nor are steps that a GPU
    replays as CUDA graphs, of which Python sees nothing. The given pipeline counts nothing.
    """
    found = Evaluations()

    # Plain functions: adapters copy the prior with its hooks, and a copied function still counts
    # here, where a copied object would count for itself.
    def note_prior(network: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.prior += len(inputs[0])

    def note_decoder(network: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.decoder += len(inputs[0])

    decoder = replace(pipe.decoder, unet=_hooked(pipe.decoder.unet, note_decoder))
    return replace(pipe, prior=_hooked(pipe.prior, note_prior), decoder=decoder), found


def _hooked(network: Any, note: Callable[[nn.Module, tuple[Any, ...]], None]) -> Any:
    own = twin(network, {})
    # A twin shares its network's hooks, and the network serves other threads.
    vars(own)["_forward_pre_hooks"] = OrderedDict(vars(network)["_forward_pre_hooks"])
    own.register_forward_pre_hook(note)
    return own
