"""Semantica: variations of pictures, learned from pictures that stood on one page.

    semantica = Semantica.load()
    varied = semantica.vary(pictures, 8, generator=generator)  # (k, m, 3, h, w) -> (k, 8, 3, h, w)

A diffusion model denoises one picture of a page (Kumar et al., arXiv 2405.14857). By
cross-attention it looks at a frozen encoder's tokens of other pictures of that page. It learns to
keep the features that a page's pictures share and to invent the others. The paper shows one other
picture. Here one to four are shown, so that the model can see which features they share (see
`training.semantica`).

Time is continuous, from 0 (clean) to 1 (noise); the network predicts the clean latents.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InputError, nearest, shown, whole, within
from ..files import make_writable, write_json
from ..models.folders import check_inside, read_config, read_part
from ..models.location import bundled
from ..models.names import BUNDLED_STACKS
from ..models.networks import describe_weights, load_frozen, save_half, usable_device
from ..models.parts import COUNTING_UNET, VQ
from ..pictures import check_pictures
from ..sharing import gpu_turn
from ..unclip.prior import GUIDANCE_RANGE
from ..vision.encoders import ENCODERS, Encoder

BATCH_PICTURES = 32  # pictures denoised at once
NETWORKS = {"menagerie": "semantica/pairs", "control": "semantica/control"}
CARD = "semantica.json"


@dataclass(frozen=True, eq=False)
class Level:
    """Shares of signal and noise in a noised picture at a time; their squares sum to 1."""

    signal: Tensor
    noise: Tensor


def level(t: Float[Tensor, "..."]) -> Level:
    """Compute the cosine schedule in continuous time (Nichol and Dhariwal, arXiv 2102.09672)."""
    angle = t * torch.pi / 2
    return Level(angle.cos(), angle.sin())


# Takes noised latents, times, and True to show the pictures or False to show nothing. Returns the
# clean latents.
Denoise = Callable[[Tensor, Tensor, bool], Tensor]


def denoise(
    unet: Any,
    x: Float[Tensor, "n c h w"],
    t: Float[Tensor, " n"],
    tokens: Float[Tensor, "n l d"],
    count: Int[Tensor, " n"],
) -> Float[Tensor, "n c h w"]:
    """Predict the clean latents from noised ones, given the tokens of `count` pictures.

    With a count of 0 the tokens are replaced by zeros. The network needs the count because
    attention is an average: that of four pictures that agree equals that of one. A count above the
    largest in training is treated as that one. The network counts time in thousandths, as its
    embedding of times expects.
    """
    most = unet.config.num_class_embeds - 1
    visible = tokens * (count > 0)[:, None, None]
    return unet(x, 1000 * t, visible, class_labels=count.clamp(max=most)).sample


def sample(
    predict: Denoise, noise: Float[Tensor, "n c h w"], steps: int = 20, guidance: float = 1.0
) -> Float[Tensor, "n c h w"]:
    """Run DDIM (arXiv 2010.02502) from pure noise to clean latents.

    With a guidance above 1, each step moves away from the prediction with nothing shown.
    """
    x = noise
    times = torch.linspace(1, 0, steps + 1).tolist()
    for now, then in zip(times[:-1], times[1:], strict=True):
        t = torch.full((len(x),), now, device=x.device, dtype=x.dtype)
        clean = predict(x, t, True)
        if guidance > 1:
            blind = predict(x, t, False)
            clean = blind + guidance * (clean - blind)
        before = level(torch.tensor(now))
        after = level(torch.tensor(then))
        x = after.signal * clean + after.noise * (x - before.signal * clean) / before.noise
    return x


def save_network(unet: Any, folder: Path, card: dict[str, Any]) -> None:
    """Write the folder that `Semantica.load` reads, and leave the network in float16.

    The card names the encoder ("encoder") and the autoencoder ("movq"): bundled ones, or folders
    below this one, see `save_parts`. Other entries are notes.
    """
    # Without its card, a folder in which this was interrupted is none.
    (folder / CARD).unlink(missing_ok=True)
    save_half(unet, folder)
    write_json(folder / CARD, card, indent=1)


def save_parts(folder: Path, encoder: Encoder, movq: Any, names: dict[str, str]) -> dict[str, str]:
    """Write an encoder and an autoencoder into a model's folder, and return their names there.

    `names` are those of the card. Bundled parts keep their names and are not written.
    """
    found = dict(names)
    if names["encoder"] not in ENCODERS:
        encoder.save(folder / "encoder")
        found["encoder"] = "encoder"
    if names["movq"] not in BUNDLED_STACKS:
        movq.save_pretrained(folder / "movq")
        found["movq"] = "movq"
    return found


@dataclass(frozen=True, eq=False)
class Semantica:
    """A trained denoiser with its encoder and autoencoder."""

    # Encoder whose tokens the network looks at.
    encoder: Encoder
    # Denoiser of latents, a UNet2DConditionModel.
    unet: Any
    # Autoencoder that turns the latents into pictures, a VQModel.
    movq: Any
    # Content of semantica.json; None for a model that was not loaded from a folder.
    card: dict[str, Any] | None = None

    @classmethod
    def load(
        cls, name_or_path: str | Path = "menagerie", device: str | torch.device = "cpu"
    ) -> "Semantica":
        """Load a bundled model or a folder, in float32.

        "menagerie" is the bundled model, "control" its control, which learned to reconstruct the
        picture shown. A folder is one that `save`, `semantica.folders` or `training.semantica`
        wrote. Raises InputError for an unknown name or device, for damaged files, and for a folder
        whose parts are neither bundled nor in it.
        """
        from diffusers import UNet2DConditionModel, VQModel

        if str(name_or_path) in NETWORKS:
            folder = bundled(NETWORKS[str(name_or_path)])
        else:
            folder = Path(name_or_path)
        if not (folder / CARD).is_file():
            raise InputError(
                f"semantica is {str(name_or_path)!r}; expected {', '.join(NETWORKS)} "
                f"or a folder with {CARD}{nearest(str(name_or_path), NETWORKS)}"
            )
        card = read_config(folder / CARD, folder)
        read_part(folder, COUNTING_UNET)
        place = usable_device(device)
        # A bundled stack's name stands for its autoencoder, and its encoders go with that.
        stack = "menagerie"
        if card.get("movq") in BUNDLED_STACKS:
            stack = card["movq"]
            autoencoder = bundled("decoder/movq", stack)
        else:
            autoencoder = _own_part(folder, "movq", card, BUNDLED_STACKS)
            read_part(autoencoder, VQ)
        source = card.get("encoder")
        if source not in tuple(ENCODERS):
            source = _own_part(folder, "encoder", card, tuple(ENCODERS))
        encoder = Encoder.load(source, place, stack=stack)
        return cls(
            encoder=encoder,
            unet=load_frozen(UNet2DConditionModel, folder, place),
            movq=load_frozen(VQModel, autoencoder, place),
            card=card,
        )

    def __repr__(self) -> str:
        config = self.unet.config
        # Every block of the autoencoder but the last halves the side.
        side = config.sample_size * 2 ** (len(self.movq.config.block_out_channels) - 1)
        return (
            "Semantica\n"
            f"  encoder:  {self.encoder.name}\n"
            f"  network:  {describe_weights(self.unet)}\n"
            f"  latents:  {config.in_channels} x {config.sample_size} x {config.sample_size}\n"
            f"  pictures: {side} x {side} pixels"
        )

    def save(self, folder: str | Path) -> None:
        """Write the network in float16 and its card to a folder, which is created if needed.

        `load` reads the folder. An encoder and an autoencoder that are not bundled are written
        beside the network. The model itself is left as it is. Raises InputError if it was not
        loaded from a folder, since its parts then have no names, and if the folder cannot be
        written.
        """
        if self.card is None:
            raise InputError("card is None; expected a model from Semantica.load")
        target = Path(folder)
        make_writable("folder", target)
        names = {name: self.card[name] for name in ("encoder", "movq")}
        card = self.card | save_parts(target, self.encoder, self.movq, names)
        save_network(copy.deepcopy(self.unet), target, card)

    def vary(
        self,
        pictures: Float[Tensor, "k m 3 h w"],
        n: int,
        *,
        generator: torch.Generator,
        guidance: float = 1.0,
        steps: int = 20,
    ) -> Float[Tensor, "k n 3 hh ww"]:
        """Draw n pictures for each of k sets of m pictures in [0, 1], as if from the same page.

        With m = 1 they are variations of one picture. Raises InputError unless n, m, steps and
        guidance are at least 1, and for pictures that are not floats in [0, 1]. A guidance of 1 is
        none.
        """
        check_pictures(pictures, "k m 3 h w")
        k, m = pictures.shape[:2]
        for name, value in {"n": n, "pictures per set": m, "steps": steps}.items():
            whole(name, value, 1)
        within("guidance", guidance, *GUIDANCE_RANGE)
        encoded = self.encoder.encode(pictures.flatten(0, 1))
        tokens = encoded.tokens.unflatten(0, (k, m)).flatten(1, 2)
        config = self.unet.config
        noise = torch.randn(
            k * n,
            config.in_channels,
            config.sample_size,
            config.sample_size,
            generator=generator,
            device=generator.device,
        ).to(self.unet.device)
        owner = torch.arange(k, device=noise.device).repeat_interleave(n)
        parts = [
            self._draw(noise=x, tokens=tokens[rows], m=m, steps=steps, guidance=guidance)
            for x, rows in zip(
                noise.split(BATCH_PICTURES), owner.split(BATCH_PICTURES), strict=True
            )
        ]
        return torch.cat(parts).unflatten(0, (k, n))

    def _draw(
        self,
        noise: Float[Tensor, "r c h w"],
        tokens: Float[Tensor, "r l d"],
        m: int,
        steps: int,
        guidance: float,
    ) -> Tensor:
        count = torch.full((len(noise),), m, device=noise.device)

        def predict(x: Tensor, t: Tensor, shown: bool) -> Tensor:
            return denoise(self.unet, x=x, t=t, tokens=tokens, count=count * shown)

        with gpu_turn(noise.device):
            latents = sample(predict, noise=noise, steps=steps, guidance=guidance)
            decoded = self.movq.decode(latents, force_not_quantize=True).sample
        return (decoded * 0.5 + 0.5).clamp(0, 1)


def _own_part(folder: Path, name: str, card: dict[str, Any], bundled_names: Sequence[str]) -> Path:
    """Return the folder of a part that lies in the model's folder, where its card says."""
    value = card.get(name)
    part = folder / value if isinstance(value, str) and value else None
    if part is None or not part.is_dir():
        raise InputError(
            f"file {str(folder / CARD)!r} names {shown(value)} as its {name}; expected "
            f"{', '.join(bundled_names)}, or a folder beside it"
        )
    check_inside(part, folder)
    return part
