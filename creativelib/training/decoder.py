"""The decoder: from a picture's embedding to the latents of a picture.

It is a `UNet2DConditionModel` as in Kandinsky 2.2. It predicts the velocity (Salimans and Ho 2022)
under a schedule that ends in pure noise (Lin et al. 2023), so few DDIM steps are enough. In 10 % of
the cases the embedding is that of the empty picture, for guidance. Half of the output channels, in
which Kandinsky's model predicts a variance, are not trained, since DDIM does not read them.

Three further losses weight what matters in a picture. The reader (see `reader`) looks at the
predicted clean latents. Its features have to equal those of the true latents (Berrada et al. 2024,
a latent perceptual loss), its embedding has to equal the given one, and its factors have to be
those that were drawn.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import mse_loss

from ..fitting.loop import Recipe, Run, train
from ..fitting.precision import compile_blocks, fast_precision
from ..models.networks import encode_latents, save_half
from ..seeds import seeded
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
DROP = 0.10  # share of embeddings replaced by that of the empty picture
SAYS = 0.10  # weight of the reader's embedding
LIKE = 0.15  # weight of its features
SHOWS = 0.08  # weight of its factors
CLEAR = 750  # from this time on, predictions are too blurred to compare their features
STEPS = 1000  # of the noise schedule


def build() -> Any:
    """Build an untrained decoder."""
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
    """Build the noise schedule."""
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
    """Draw one time in each n-th of the schedule.

    Batches then differ less than with independent times.
    """
    device = generator.device
    within = torch.rand(n, generator=generator, device=device)
    return ((torch.arange(n, device=device) + within) / n * STEPS).long()


def alike(
    found: list[Tensor], true: list[Tensor], weight: Float[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Compute the squared error of features in units of their variance.

    It is averaged over layers and, with the given weights, over pictures.
    """
    errors = []
    for a, b in zip(found, true, strict=True):
        squared = (a.float() - b.float()).square().mean((1, 2, 3))
        errors.append(squared / b.float().var())
    return (torch.stack(errors).mean(0) * weight).sum() / weight.sum()


@dataclass(frozen=True)
class Guess:
    """A prediction for noised latents."""

    # Mean squared error of the velocity.
    error: Float[Tensor, ""]
    # Predicted clean latents.
    latents: Float[Tensor, "n c k k"]
    # True where the model was given the embedding.
    conditioned: Bool[Tensor, " n"]


def guess(
    model: Any,
    latents: Float[Tensor, "n c k k"],
    z: Float[Tensor, "n d"],
    empty: Float[Tensor, "1 d"],
    alpha: Float[Tensor, " s"],
    t: Int[Tensor, " n"],
    generator: torch.Generator,
) -> Guess:
    """Noise latents up to times t and have the model predict the clean ones.

    `alpha` is the signal's share of the variance by time, `empty` the embedding that stands for no
    condition.
    """
    noise = torch.randn(latents.shape, generator=generator, device=latents.device)
    conditioned = torch.rand(len(z), generator=generator, device=z.device) > DROP
    condition = torch.where(conditioned[:, None], z, empty)
    signal = alpha[t].sqrt()[:, None, None, None]
    spread = (1 - alpha[t]).sqrt()[:, None, None, None]
    noisy = signal * latents + spread * noise
    v = model(
        noisy, t, encoder_hidden_states=None, added_cond_kwargs={"image_embeds": condition}
    ).sample
    v = v.chunk(2, 1)[0].float()
    return Guess(
        error=mse_loss(v, signal * noise - spread * latents),
        latents=signal * noisy - spread * v,
        conditioned=conditioned,
    )


def losses(
    found: Guess,
    latents: Float[Tensor, "n c k k"],
    target: Float[Tensor, "n d"],
    scenes: Scenes,
    t: Int[Tensor, " n"],
    net: reader.Reader,
) -> dict[str, Tensor]:
    """Compute the error and the reader's three losses of the predicted latents.

    `target` are standardized embeddings. Pictures without an embedding do not count for "says" and
    "shows".
    """
    with torch.no_grad():
        true = net.features(latents)
    features = net.features(found.latents)
    read = net.read(features[-1])
    conditioned = found.conditioned.float()
    says = (read.embedding - target).square().mean(1)
    shows = reader.misread(read.factors, scenes)
    terms = {
        "error": found.error,
        "says": (says * conditioned).sum() / conditioned.sum(),
        "like": alike(features, true, (t < CLEAR).float()),
        "shows": (shows * conditioned).sum() / conditioned.sum(),
    }
    total = terms["error"] + SAYS * terms["says"] + LIKE * terms["like"] + SHOWS * terms["shows"]
    return {"loss": total} | {k: v.detach() for k, v in terms.items()}


def rehearse(model: Any, alpha: Float[Tensor, " s"], device: torch.device) -> None:
    """Run one step with random latents to compile the networks, which takes a minute.

    It changes no weights.
    """
    n = RECIPE.batch
    side = SIDE // vqmodel.SHRINK
    generator = seeded(0, device)
    scenes = placed(sample_scenes(n, seeded(0)), device)
    latents = torch.randn(n, vqmodel.CHANNELS, side, side, device=device)
    z = torch.randn(n, clip.DIM, device=device)
    t = spread_times(n, generator)
    with fast_precision(device.type):
        found = guess(
            model=model, latents=latents, z=z, empty=z[:1], alpha=alpha, t=t, generator=generator
        )
        net = reader.Reader().to(device).requires_grad_(False)
        terms = losses(found=found, latents=latents, target=z, scenes=scenes, t=t, net=net)
        terms["loss"].backward()
    model.zero_grad()


def main(run: Run) -> dict:
    """Train the reader and then the decoder, and write the decoder."""
    torch.manual_seed(RECIPE.seed)
    device = run.device
    noise_schedule = scheduler()
    alpha = noise_schedule.alphas_cumprod.to(device)
    model = build().to(device, memory_format=torch.channels_last)
    compile_blocks(model, device)
    if run.after:
        rehearse(model, alpha, device)
        export.wait_for(run.after)
    vision = export.load_clip(device)[1]
    movq = export.load_movq(device)
    empty = export.empty_embedding(vision, SIDE)

    def prepare(
        pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
    ) -> dict[str, Tensor]:
        return {"latents": encode_latents(movq, pictures), "z": export.embed(vision, pictures)}

    pool = Pool(prepare, device, RECIPE.batch)
    mean = pool.all("z", 0).mean(0)
    std = pool.all("z", 0).std(0)

    def standardize(z: Tensor) -> Tensor:
        return (z - mean) / std

    net, read = reader.fit(
        draw=pool.draw, standardize=standardize, device=device, minutes=run.part(READER)
    )

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        lesson: Lesson = pool.draw(step + read["steps"], generator)
        latents = lesson.inputs["latents"].float()
        z = lesson.inputs["z"]
        t = spread_times(len(lesson), generator)
        found = guess(
            model=model, latents=latents, z=z, empty=empty, alpha=alpha, t=t, generator=generator
        )
        return losses(
            found=found,
            latents=latents,
            target=standardize(z),
            scenes=lesson.scenes,
            t=t,
            net=net,
        )

    facts = {"reader": read, "decoder": train(model, loss, RECIPE, minutes=run.part(1 - READER))}
    save_half(model, export.DECODER / "unet")
    noise_schedule.save_pretrained(export.DECODER / "scheduler")
    export.note("decoder", facts)
    return facts
