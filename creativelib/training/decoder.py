"""The decoder: from a picture's embedding to the latents of a picture (`UNet2DConditionModel` as in Kandinsky 2.2).

It predicts the velocity (Salimans and Ho 2022) under a schedule that ends in pure noise (Lin et al. 2023), so that few
DDIM steps are enough. In 10 % of the cases the embedding is that of the empty picture, for guidance. Half of the output
channels, where Kandinsky's model predicts a variance, are not trained: DDIM does not read them.

Three further losses tell it what matters in a picture: the clean latents that it predicts are to be read like the true
ones (Berrada et al. 2024, a latent perceptual loss), are to say what the embedding says, and are to show the factors
that were drawn.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import mse_loss

from ..fitting.loop import Recipe, Run, train
from ..fitting.precision import compiled, fast_precision
from ..models.networks import encode_latents, save_half
from ..world.scenes import Scenes, sample_scenes
from . import clip, export, reader, vqmodel
from .data import placed
from .stream import SIDE, Lesson, Pool

RECIPE = Recipe(
    "decoder",
    steps=20_000,
    batch=1024,
    lr=1.5e-3,
    warmup=300,
    weight_decay=0.01,
    average=0.9985,
    seed=5,
    muon=4e-3,
)
READER = 0.12  # share of the minutes for the reader
DROP = 0.10
SAYS = 0.10
LIKE = 0.15
SHOWS = 0.08  # weights of the reader's embedding, of its features and of its factors
CLEAR = 750  # above this time a prediction is too blurred to be compared feature by feature
STEPS = 1000  # of the noise schedule


def build() -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIDE // vqmodel.SHRINK,
        in_channels=vqmodel.CHANNELS,
        out_channels=2 * vqmodel.CHANNELS,
        block_out_channels=(96, 192),
        layers_per_block=1,
        attention_head_dim=32,
        norm_num_groups=16,
        down_block_types=("DownBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=64,
        encoder_hid_dim=clip.DIM,
        encoder_hid_dim_type="image_proj",
        addition_embed_type="image",
        resnet_time_scale_shift="scale_shift",
    )


def scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=STEPS,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=0,
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )


def spread_times(n: int, generator: torch.Generator) -> Int[Tensor, " n"]:
    """One time in each n-th of the schedule: batches differ less than with independent times."""
    place = generator.device
    return (
        (torch.arange(n, device=place) + torch.rand(n, generator=generator, device=place))
        / n
        * STEPS
    ).long()


def alike(
    found: list[Tensor], true: list[Tensor], weight: Float[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Squared error of features in units of their variance, averaged over layers and weighted pictures."""
    pairs = zip(found, true, strict=True)
    errors = torch.stack(
        [(a.float() - b.float()).square().mean((1, 2, 3)) / b.float().var() for a, b in pairs]
    )
    return (errors.mean(0) * weight).sum() / weight.sum()


@dataclass(frozen=True)
class Guess:
    """error: of the velocity. latents: the predicted clean ones. told: True where the model knew the embedding."""

    error: Float[Tensor, ""]
    latents: Float[Tensor, "n c k k"]
    told: Bool[Tensor, " n"]


def guess(
    model: Any,
    latents: Float[Tensor, "n c k k"],
    z: Float[Tensor, "n d"],
    empty: Float[Tensor, "1 d"],
    alpha: Float[Tensor, " s"],
    t: Int[Tensor, " n"],
    generator: torch.Generator,
) -> Guess:
    """What the model predicts of latents at times t. `alpha`: the schedule's share of the signal's variance."""
    noise = torch.randn(latents.shape, generator=generator, device=latents.device)
    told = torch.rand(len(z), generator=generator, device=z.device) > DROP
    condition = torch.where(told[:, None], z, empty)
    signal = alpha[t].sqrt()[:, None, None, None]
    spread = (1 - alpha[t]).sqrt()[:, None, None, None]
    noisy = signal * latents + spread * noise
    v = model(
        noisy, t, encoder_hidden_states=None, added_cond_kwargs={"image_embeds": condition}
    ).sample
    v = v.chunk(2, 1)[0].float()
    return Guess(mse_loss(v, signal * noise - spread * latents), signal * noisy - spread * v, told)


def losses(
    found: Guess,
    latents: Float[Tensor, "n c k k"],
    target: Float[Tensor, "n d"],
    scenes: Scenes,
    t: Int[Tensor, " n"],
    eyes: reader.Reader,
) -> dict[str, Tensor]:
    """The error, and what the reader makes of the predicted latents; `target` are standardised embeddings."""
    with torch.no_grad():
        true = eyes.features(latents)
    features = eyes.features(found.latents)
    read = eyes.read(features[-1])
    told = found.told.float()
    says = (read.embedding - target).square().mean(1)
    shows = reader.misread(read.factors, scenes)
    terms = {
        "error": found.error,
        "says": (says * told).sum() / told.sum(),
        "like": alike(features, true, (t < CLEAR).float()),
        "shows": (shows * told).sum() / told.sum(),
    }
    total = terms["error"] + SAYS * terms["says"] + LIKE * terms["like"] + SHOWS * terms["shows"]
    return {"loss": total} | {k: v.detach() for k, v in terms.items()}


def rehearse(model: Any, alpha: Float[Tensor, " s"], device: torch.device) -> None:
    """One step with random latents that teaches nothing: it has the networks compiled, which takes a minute."""
    n = RECIPE.batch
    generator = torch.Generator(device).manual_seed(0)
    scenes = placed(sample_scenes(n, torch.Generator().manual_seed(0)), device)
    latents = torch.randn(
        n, vqmodel.CHANNELS, SIDE // vqmodel.SHRINK, SIDE // vqmodel.SHRINK, device=device
    )
    z = torch.randn(n, clip.DIM, device=device)
    t = spread_times(n, generator)
    with fast_precision(device.type):
        found = guess(model, latents, z, z[:1], alpha, t, generator)
        eyes = reader.Reader().to(device).requires_grad_(False)
        losses(found, latents, z, scenes, t, eyes)["loss"].backward()
    model.zero_grad()


def main(run: Run) -> dict:
    torch.manual_seed(RECIPE.seed)
    device = run.device
    noise_schedule = scheduler()
    alpha = noise_schedule.alphas_cumprod.to(device)
    model = build().to(device, memory_format=torch.channels_last)
    compiled(model, device)
    if run.after:
        rehearse(model, alpha, device)
        export.wait(run.after)
    vision = export.load_clip(device)[1]
    movq = export.load_movq(device)
    empty = export.empty_embedding(vision, SIDE)

    def see(
        pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
    ) -> dict[str, Tensor]:
        return {"latents": encode_latents(movq, pictures), "z": export.embed(vision, pictures)}

    pool = Pool(see, device, RECIPE.batch)
    mean = pool.all("z", 0).mean(0)
    std = pool.all("z", 0).std(0)

    def standard(z: Tensor) -> Tensor:
        return (z - mean) / std

    eyes, read = reader.fit(pool.draw, standard, device, run.part(READER))

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        lesson: Lesson = pool.draw(step + read["steps"], generator)
        latents = lesson.seen["latents"].float()
        t = spread_times(len(lesson), generator)
        found = guess(model, latents, lesson.seen["z"], empty, alpha, t, generator)
        return losses(found, latents, standard(lesson.seen["z"]), lesson.scenes, t, eyes)

    facts = {"reader": read, "decoder": train(model, loss, RECIPE, minutes=run.part(1 - READER))}
    save_half(model, export.DECODER / "unet")
    noise_schedule.save_pretrained(export.DECODER / "scheduler")
    export.note("decoder", facts)
    return facts
