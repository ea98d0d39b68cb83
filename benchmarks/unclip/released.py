"""ConceptLab's step as its authors released it, on diffusers' classes: the reference for ours.

Source: github.com/kfirgoldberg/ConceptLab, training/coach.py. The step is for one concept, in the
loop's order:

1. The whole token table is a parameter.
2. The prompt and the empty one are encoded, padded to 77 tokens.
3. The prior takes five guided steps, the two prompts in one batch.
4. The second text encoder encodes the constraints' texts anew.
5. Every similarity is read from the GPU for the log.
6. AdamW moves the whole table, and all rows but one are put back.

Three things are faster than in the original: attention is PyTorch's fused one, the sampler's
numbers need no copies to the GPU, and nothing is printed.
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
    """The released model's networks and the ids of its texts, on the device of the loop."""

    # Networks in the precision that the loop computes in.
    text_encoder: Any
    prior: Any
    scheduler: Any
    # Text encoder of the constraints.
    second: Any
    # The prompt and the empty text, for the first text encoder.
    ids: Tensor
    mask: Tensor
    # The positive constraint in row 0, then m negative ones, for the second text encoder.
    constraint_ids: Tensor
    constraint_mask: Tensor
    # Id of the concept's token in the prompt.
    token: int


def released_step(
    parts: Parts, cached: bool = False, one_vector: bool = False
) -> Callable[[], float]:
    """Make a function that takes one step and returns the loss.

    If `cached` is set, the constraints are encoded once. If `one_vector` is set, only the concept's
    row is optimized, and each text is pooled at its own end.
    """
    table = parts.text_encoder.get_input_embeddings()
    dtype = parts.prior.dtype
    device = parts.ids.device
    original = table.weight.detach().float().clone()
    rows = nn.Parameter(original[parts.token][None].clone() if one_vector else original.clone())
    optimizer = torch.optim.AdamW([rows], lr=LR, weight_decay=DECAY)
    ends = (parts.ids == parts.ids.max()).int().argmax(1)

    def look_up(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not one_vector:
            return nn.functional.embedding(inputs[0], rows).to(dtype)
        return torch.where((inputs[0] == parts.token)[..., None], rows.to(dtype), output)

    def constraints() -> Tensor:
        with torch.no_grad():
            positive = parts.second(parts.constraint_ids[:1], parts.constraint_mask[:1])[0]
            negative = parts.second(parts.constraint_ids[1:], parts.constraint_mask[1:])[0]
        return normalize(torch.cat([positive, negative]), dim=-1)

    once = constraints() if cached else None

    def step() -> float:
        hook = table.register_forward_hook(look_up)
        try:
            output = parts.text_encoder(parts.ids)
        finally:
            hook.remove()
        hidden = output.last_hidden_state
        pooled_at = ends if one_vector else ends[:1]
        index = torch.arange(len(hidden), device=device)
        pooled = parts.text_encoder.text_projection(hidden[index, pooled_at])
        parts.scheduler.set_timesteps(STEPS, device=device)
        z = torch.randn(1, parts.prior.config.embedding_dim, device=device)
        times = parts.scheduler.timesteps
        for i, t in enumerate(times):
            x0_pred = parts.prior(
                torch.cat([z, z]).to(dtype),
                timestep=t,
                proj_embedding=pooled,
                encoder_hidden_states=hidden,
                attention_mask=parts.mask,
            ).predicted_image_embedding
            guided = x0_pred[1:] + GUIDANCE * (x0_pred[:1] - x0_pred[1:])
            following = times[i + 1] if i + 1 < STEPS else None
            z = parts.scheduler.step(guided.float(), t, z, prev_timestep=following).prev_sample
        unit = normalize(parts.prior.post_process_latents(z), dim=-1)
        cosines = (once if once is not None else constraints()).float() @ unit[0]
        # Read for the log, as in the original.
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
                others = torch.arange(len(rows), device=device) != parts.token
                rows[others] = original[others]
        return loss.item()

    return step
