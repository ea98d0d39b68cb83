"""The picture autoencoder: a `VQModel` used without quantisation, as Kandinsky 2.2 uses its MoVQ (`force_not_quantize`).

Encoder and decoder are trained together; then the encoder is frozen, its latents scaled to unit variance (folded into the
1x1 convolutions around the latent), and the decoder goes on alone.
"""

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from . import data, export
from .loop import Recipe, train

TOGETHER = Recipe("vqmodel", steps=5600, batch=16, lr=2e-3, warmup=100, weight_decay=0.0, seed=2)
DECODER = Recipe("vqmodel-decoder", steps=6000, batch=16, lr=1.2e-3, warmup=100, weight_decay=0.0, seed=3)
CHANNELS = 8  # with four, thin outlines and small parts blurred
NOISE = 0.08  # of the latents' unit scale: what the decoder forgives the diffusion model


def build() -> Any:
    from diffusers import VQModel

    return VQModel(down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
                   block_out_channels=(24, 48, 96), layers_per_block=1, latent_channels=CHANNELS, vq_embed_dim=CHANNELS,
                   num_vq_embeddings=8, norm_num_groups=8, mid_block_add_attention=False)


def error(output: Tensor, picture: Tensor) -> Tensor:
    """Squared and absolute error in [-1, 1] units, and of 4x4 means, which carry the colours."""
    output, picture = output.float(), picture.float()
    coarse = avg_pool2d(output, 4) - avg_pool2d(picture, 4)
    return (output - picture).square().mean() + 0.2 * (output - picture).abs().mean() + coarse.square().mean()


def fold_scale(model, mean: Tensor, std: Tensor) -> None:
    """Give latents zero mean and unit variance without changing any reconstruction."""
    with torch.no_grad():
        weight, bias = model.quant_conv.weight, model.quant_conv.bias
        weight.div_(std[:, None, None, None])
        bias.sub_(mean).div_(std)
        after = model.post_quant_conv
        after.bias.add_(after.weight[:, :, 0, 0] @ mean)
        after.weight.mul_(std[None, :, None, None])


def main() -> dict:
    torch.manual_seed(TOGETHER.seed)
    pictures, model = data.load(), build()
    model.quantize.requires_grad_(False)  # the code book is not used

    def decode(z: Tensor, generator: torch.Generator) -> Tensor:
        return model.decoder(model.post_quant_conv(z + NOISE * torch.randn(z.shape, generator=generator)))

    def batch(recipe: Recipe, generator: torch.Generator) -> Tensor:
        return pictures.batch(torch.randint(len(pictures), (recipe.batch,), generator=generator)) * 2 - 1

    def together(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = batch(TOGETHER, generator)
        z = model.encode(x).latents.float()
        moments = z.mean((0, 2, 3)).square().mean() + (z.std((0, 2, 3)) - 1).square().mean()
        e = error(decode(z, generator), x)
        return {"loss": e + 0.02 * moments, "error": e.detach()}

    facts = {"together": train(model, together, TOGETHER)}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        z = torch.cat([model.encode(batch(TOGETHER, generator)).latents for _ in range(64)])
    fold_scale(model, z.mean((0, 2, 3)), z.std((0, 2, 3)))
    for part in (model.encoder, model.quant_conv):  # rounded as they will be shipped
        part.half().float().requires_grad_(False)

    def alone(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = batch(DECODER, generator)
        with torch.no_grad():
            z = model.encode(x).latents.float()
        e = error(decode(z, generator), x)
        return {"loss": e}

    # Written once now, so that the diffusion model can start on the frozen latents, and again at the end.
    export.save_half(copy.deepcopy(model), export.DECODER / "movq")
    facts["decoder"] = train(model, alone, DECODER)
    export.save_half(model, export.DECODER / "movq")
    export.note("vqmodel", facts)
    return facts
