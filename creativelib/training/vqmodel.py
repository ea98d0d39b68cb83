"""The picture autoencoder: a `VQModel` used without quantization.

Kandinsky 2.2 uses its MoVQ in the same way (`force_not_quantize`). Encoder and decoder are trained
together. Then the encoder is frozen, its latents are scaled to unit variance (folded into the 1x1
convolutions around the latent), and the decoder alone is trained further.
"""

import copy
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..fitting.loop import Recipe, Run, train
from ..models.networks import save_half
from ..pictures import as_picture, in_bytes
from ..seeds import seeded
from ..world.scenes import Scenes
from . import export
from .stream import Pool

TOGETHER = Recipe(
    "vqmodel",
    steps=12_000,
    batch=64,
    lr=2e-3,
    warmup=200,
    weight_decay=0.0,
    average=0.998,
    seed=2,
    muon=3e-3,
)
DECODER = Recipe(
    "vqmodel-decoder",
    steps=6_000,
    batch=64,
    lr=1.2e-3,
    warmup=100,
    weight_decay=0.0,
    average=0.998,
    seed=3,
    muon=2e-3,
)
SHARE = 0.9  # share of the minutes for the first stage
CHANNELS = 8  # of the latents; with four, thin outlines and small parts blurred
SHRINK = 8  # ratio of a picture's side to that of its latents
MEASURED = 64  # batches from which the scale of the latents is measured
# Deviation of the noise added to latents of unit scale, so that the decoder tolerates errors of the
# diffusion model.
NOISE = 0.08


def build() -> Any:
    """Build an untrained autoencoder."""
    from diffusers import VQModel

    return VQModel(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(24, 48, 96, 128),
        layers_per_block=1,
        latent_channels=CHANNELS,
        vq_embed_dim=CHANNELS,
        num_vq_embeddings=8,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )


def prepare(
    pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
) -> dict[str, Tensor]:
    """Return the pixels in bytes."""
    return {"pixels": in_bytes(pictures)}


def error(output: Tensor, picture: Tensor) -> Tensor:
    """Compute the error of pictures in [-1, 1].

    It is the sum of the squared error, 0.3 times the absolute error, and the squared error of 8x8
    means, which carry the colors.
    """
    output = output.float()
    picture = picture.float()
    coarse = avg_pool2d(output, SHRINK) - avg_pool2d(picture, SHRINK)
    squared = (output - picture).square().mean()
    absolute = (output - picture).abs().mean()
    return squared + 0.3 * absolute + coarse.square().mean()


def fold_scale(model: Any, mean: Tensor, std: Tensor) -> None:
    """Give latents zero mean and unit variance without changing any reconstruction."""
    with torch.no_grad():
        weight = model.quant_conv.weight
        bias = model.quant_conv.bias
        weight.div_(std[:, None, None, None])
        bias.sub_(mean).div_(std)
        after = model.post_quant_conv
        after.bias.add_(after.weight[:, :, 0, 0] @ mean)
        after.weight.mul_(std[None, :, None, None])


def main(run: Run) -> dict:
    """Train the autoencoder in both stages and write it."""
    device = run.device
    torch.manual_seed(TOGETHER.seed)
    model = build().to(device)
    model.quantize.requires_grad_(False)  # the code book is not used
    pool = Pool(prepare, device, TOGETHER.batch)

    def decode(z: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(z.shape, generator=generator, device=generator.device)
        return model.decoder(model.post_quant_conv(z + NOISE * noise))

    def batch(step: int, generator: torch.Generator) -> Tensor:
        pixels = pool.draw(step, generator).inputs["pixels"]
        return as_picture(pixels) * 2 - 1

    def encode(x: Tensor) -> Tensor:
        return model.quant_conv(model.encoder(x)).float()

    def together(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = batch(step, generator)
        z = encode(x)
        mean = z.mean((0, 2, 3)).square().mean()
        moments = mean + (z.std((0, 2, 3)) - 1).square().mean()
        reconstruction = error(decode(z, generator), x)
        return {"loss": reconstruction + 0.02 * moments, "error": reconstruction.detach()}

    facts = {"together": train(model, together, TOGETHER, minutes=run.part(SHARE))}
    start = facts["together"]["steps"]
    generator = seeded(0, device)
    with torch.no_grad():
        z = torch.cat([encode(batch(start, generator)) for _ in range(MEASURED)])
    fold_scale(model, z.mean((0, 2, 3)), z.std((0, 2, 3)))
    # Rounded to float16, as they are shipped.
    for part in (model.encoder, model.quant_conv):
        part.half().float().requires_grad_(False)

    def alone(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = batch(start + step, generator)
        with torch.no_grad():
            z = encode(x)
        return {"loss": error(decode(z, generator), x)}

    # Written now, so the diffusion model can start on the frozen latents, and again at the end.
    save_half(copy.deepcopy(model), export.DECODER / "movq")
    export.mark_ready("vqmodel")
    facts["decoder"] = train(model, alone, DECODER, minutes=run.part(1 - SHARE))
    save_half(model, export.DECODER / "movq")
    export.note("vqmodel", facts)
    return facts
