"""ConceptLab's step as its authors released it (github.com/kfirgoldberg/ConceptLab, training/coach.py), on diffusers' classes: what ours is
measured against.

Of one concept at a time, in the loop's order: the whole token table is a parameter; the prompt and the empty one are encoded, padded to 77
tokens; the prior takes five guided steps, the two prompts in one batch; the constraints' texts are encoded anew by the second text encoder;
every similarity is read from the GPU for the log; AdamW moves the whole table; all rows but one are put back. What is kinder here than
there: attention is PyTorch's fused one, the sampler's numbers need no copies to the GPU, and nothing is printed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

GUIDANCE = 4.0
STEPS = 5
LR = 1e-4
DECAY = 1e-2
CEILING = 0.28
FLOOR = 0.2


@dataclass
class Parts:
    """The released model's networks, in the precision that the loop computes in, and the ids of its texts: of the prompt and the empty one
    for the first text encoder, of the constraints for the second, one row for the positive and m for the negatives."""

    text_encoder: Any
    prior: Any
    scheduler: Any
    second: Any
    ids: Tensor
    mask: Tensor
    constraint_ids: Tensor
    constraint_mask: Tensor
    place: int  # the concept's id, which stands in the prompt


def released_step(
    parts: Parts, cached: bool = False, one_vector: bool = False
) -> Callable[[], float]:
    """The step as a function that takes it and gives the loss. `cached`: the constraints are encoded once; `one_vector`: nothing but the
    concept's row is optimised, and pooled at each text's own end."""
    table = parts.text_encoder.get_input_embeddings()
    dtype = parts.prior.dtype
    device = parts.ids.device
    original = table.weight.detach().float().clone()
    rows = nn.Parameter(original[parts.place][None].clone() if one_vector else original.clone())
    optimizer = torch.optim.AdamW([rows], lr=LR, weight_decay=DECAY)
    ends = (parts.ids == parts.ids.max()).int().argmax(1)

    def look_up(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not one_vector:
            return nn.functional.embedding(inputs[0], rows).to(dtype)
        return torch.where((inputs[0] == parts.place)[..., None], rows.to(dtype), output)

    def constraints() -> Tensor:
        with torch.no_grad():
            one = parts.second(parts.constraint_ids[:1], parts.constraint_mask[:1])[0]
            several = parts.second(parts.constraint_ids[1:], parts.constraint_mask[1:])[0]
        return normalize(torch.cat([one, several]), dim=-1)

    once = constraints() if cached else None

    def step() -> float:
        hook = table.register_forward_hook(look_up)
        try:
            said = parts.text_encoder(parts.ids)
        finally:
            hook.remove()
        hidden = said.last_hidden_state
        at = ends if one_vector else ends[:1]
        pooled = parts.text_encoder.text_projection(
            hidden[torch.arange(len(hidden), device=device), at]
        )
        parts.scheduler.set_timesteps(STEPS, device=device)
        z = torch.randn(1, parts.prior.config.embedding_dim, device=device)
        times = parts.scheduler.timesteps
        for i, t in enumerate(times):
            clean = parts.prior(
                torch.cat([z, z]).to(dtype),
                timestep=t,
                proj_embedding=pooled,
                encoder_hidden_states=hidden,
                attention_mask=parts.mask,
            ).predicted_image_embedding
            guided = clean[1:] + GUIDANCE * (clean[:1] - clean[1:])
            z = parts.scheduler.step(
                guided.float(), t, z, prev_timestep=times[i + 1] if i + 1 < STEPS else None
            ).prev_sample
        unit = normalize(parts.prior.post_process_latents(z), dim=-1)
        cosines = (once if once is not None else constraints()).float() @ unit[0]
        for value in cosines:
            value.item()
        positive = 1 - cosines[0].clamp_max(CEILING)
        negative = cosines[1:].clamp_min(FLOOR)
        loss = 0.5 * (negative.mean() + negative.max()) + positive
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if not one_vector:
            with torch.no_grad():
                others = torch.arange(len(rows), device=device) != parts.place
                rows[others] = original[others]
        return loss.item()

    return step
