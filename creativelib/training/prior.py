"""The diffusion prior: from a caption to a picture's embedding (Ramesh et al. 2022, section 2.2).

It is a `PriorTransformer`. It is trained on many wild pictures, as CLIP and the decoder are;
otherwise it could not compose parts that no species has together. "A pet" still gives typical pets:
among the pictures with a bare caption, only as many are wild as in the true distribution. In 10 %
of the cases the empty prompt replaces the caption, for guidance.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import mse_loss

from ..fitting.loop import Recipe, Run, train
from ..fitting.precision import compile_blocks, fast_precision
from ..models.networks import save_half
from ..world.scenes import Scenes
from . import clip, export, tokenizer
from .stream import Pool, one_caption

RECIPE = Recipe(
    "prior",
    steps=12_000,
    batch=1024,
    lr=1.5e-3,
    warmup=200,
    weight_decay=0.01,
    average=0.998,
    seed=4,
    muon=3e-3,
)
DROP = 0.10  # share of captions that are dropped
STEPS = 1000  # of the noise schedule


def build(mean: Tensor, std: Tensor) -> Any:
    """Build an untrained prior for embeddings of this mean and deviation."""
    from diffusers import PriorTransformer

    prior = PriorTransformer(
        num_attention_heads=6,
        attention_head_dim=32,
        num_layers=4,
        embedding_dim=clip.DIM,
        num_embeddings=tokenizer.LENGTH,
        additional_embeddings=4,
    )
    prior.clip_mean.data.copy_(mean[None])
    prior.clip_std.data.copy_(std[None])
    prior.clip_mean.requires_grad_(False)
    prior.clip_std.requires_grad_(False)
    return prior


def scheduler() -> Any:
    """Build the noise schedule."""
    from diffusers import UnCLIPScheduler

    return UnCLIPScheduler(
        num_train_timesteps=STEPS,
        prediction_type="sample",
        variance_type="fixed_small_log",
        clip_sample=True,
        clip_sample_range=10.0,
    )


def shortened(ids: Int[Tensor, "n l"], end: int) -> Int[Tensor, "n m"]:
    """Truncate captions to the length of a prompt, as the tokenizer does.

    The last token is then the end of the text.
    """
    short = ids[:, : tokenizer.LENGTH].clone()
    short[:, -1] = end
    return short


def attention_mask(ids: Int[Tensor, "n l"], end: int) -> Tensor:
    """Return (n, l) True up to the first end of the text, as the tokenizer's attention mask is."""
    ended = (ids == end).int().cumsum(1)
    return (ended == 0) | ((ended == 1) & (ids == end))


def main(run: Run) -> dict:
    """Train the prior on the bundled CLIP's embeddings and write it."""
    torch.manual_seed(RECIPE.seed)
    device = run.device
    export.wait_for(run.after)
    text, vision, words = export.load_clip(device)
    end = words.eos_token_id
    blank = words([""], padding="max_length", max_length=tokenizer.LENGTH, return_tensors="pt")
    empty = blank.input_ids.to(device)

    def prepare(
        pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
    ) -> dict[str, Tensor]:
        return {"z": export.embed(vision, pictures), "ids": ids.short()}

    pool = Pool(prepare, device, RECIPE.batch)
    z = pool.all("z", 0)
    mean = z.mean(0)
    std = z.std(0)
    noise_schedule = scheduler()
    alpha = noise_schedule.alphas_cumprod.to(device)  # the signal's share of the variance
    model = build(mean, std).to(device)
    compile_blocks(model, device)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        lesson = pool.draw(step, generator)
        ids = shortened(one_caption(lesson.inputs["ids"], generator), end)
        keep = torch.rand(len(ids), generator=generator, device=device) > DROP
        ids = torch.where(keep[:, None], ids, empty)
        with torch.no_grad(), fast_precision(device.type):
            encoded = text(ids)
        x = (lesson.inputs["z"] - mean) / std
        t = torch.randint(STEPS, (len(x),), generator=generator, device=device)
        noise = torch.randn(x.shape, generator=generator, device=device)
        signal = alpha[t][:, None]
        noisy = signal.sqrt() * x + (1 - signal).sqrt() * noise
        guess = model(
            noisy,
            timestep=t,
            proj_embedding=encoded.text_embeds,
            encoder_hidden_states=encoded.last_hidden_state,
            attention_mask=attention_mask(ids, end),
        )
        return {"loss": mse_loss(guess.predicted_image_embedding.float(), x)}

    facts = train(model, loss, RECIPE, minutes=run.minutes)
    save_half(model, export.PRIOR / "prior")
    noise_schedule.save_pretrained(export.PRIOR / "scheduler")
    export.note("prior", facts)
    return facts
