"""The picture autoencoder: a `VQModel` used without quantisation, as Kandinsky 2.2 uses its MoVQ (`force_not_quantize`).

Encoder and decoder are trained together; then the encoder is frozen, its latents scaled to unit variance (folded into
the 1x1 convolutions around the latent), and the decoder goes on alone.
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
SHARE = 0.9  # of the minutes, for the first stage
CHANNELS = 8  # with four, thin outlines and small parts blurred
SHRINK = 8  # pixels of a picture's side for one of the latents'
NOISE = 0.08  # of the latents' unit scale: what the decoder forgives the diffusion model


def build() -> Any:
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


def see(
    pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
) -> dict[str, Tensor]:
    return {"pixels": in_bytes(pictures)}


def error(output: Tensor, picture: Tensor) -> Tensor:
    """Squared and absolute error in [-1, 1] units, and squared error of 8x8 means, which carry the colours."""
    output = output.float()
    picture = picture.float()
    coarse = avg_pool2d(output, SHRINK) - avg_pool2d(picture, SHRINK)
    return (
        (output - picture).square().mean()
        + 0.3 * (output - picture).abs().mean()
        + coarse.square().mean()
    )


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
    device = run.device
    torch.manual_seed(TOGETHER.seed)
    model = build().to(device)
    model.quantize.requires_grad_(False)  # the code book is not used
    pool = Pool(see, device, TOGETHER.batch)

    def decode(z: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(z.shape, generator=generator, device=generator.device)
        return model.decoder(model.post_quant_conv(z + NOISE * noise))

    def batch(step: int, generator: torch.Generator) -> Tensor:
        pixels = pool.draw(step, generator).seen["pixels"]
        return as_picture(pixels) * 2 - 1

    def encode(x: Tensor) -> Tensor:
        return model.quant_conv(model.encoder(x)).float()

    def together(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = batch(step, generator)
        z = encode(x)
        moments = z.mean((0, 2, 3)).square().mean() + (z.std((0, 2, 3)) - 1).square().mean()
        e = error(decode(z, generator), x)
        return {"loss": e + 0.02 * moments, "error": e.detach()}

    facts = {"together": train(model, together, TOGETHER, minutes=run.part(SHARE))}
    start = facts["together"]["steps"]
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        z = torch.cat([encode(batch(start, generator)) for _ in range(64)])
    fold_scale(model, z.mean((0, 2, 3)), z.std((0, 2, 3)))
    for part in (model.encoder, model.quant_conv):  # rounded as they will be shipped
        part.half().float().requires_grad_(False)

    def alone(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = batch(start + step, generator)
        with torch.no_grad():
            z = encode(x)
        return {"loss": error(decode(z, generator), x)}

    # Written once now, so that the diffusion model can start on the frozen latents, and again at the end.
    save_half(copy.deepcopy(model), export.DECODER / "movq")
    export.tell("vqmodel")
    facts["decoder"] = train(model, alone, DECODER, minutes=run.part(1 - SHARE))
    save_half(model, export.DECODER / "movq")
    export.note("vqmodel", facts)
    return facts
