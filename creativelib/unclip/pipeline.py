"""An unCLIP stack: text to condition, condition to embedding, embedding to picture, and back.

`Pipeline` is a facade. The sampling itself is in `prior` and `decoders`. Nothing here switches
gradients off: the weights are frozen, so a graph is built only where the input asks for one.
Nothing here changes a network or leaves anything in one: threads may share a pipeline.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..english import LONGEST
from ..errors import InputError, listed, shown, whole, within
from ..models.location import locate
from ..models.networks import default_dtype, usable_device
from ..pictures import Preprocess, check_pictures, fit_picture
from ..sharing import Remembered, gpu_turn, normal_tensors
from .batches import in_batches
from .conditions import PartialStart, Spliced, TextCondition, TokenIds
from .decoders import PICTURE_ROWS, Decoder, sample_latents
from .graphs import short_attention
from .loading import load_parts
from .offload import Offloader
from .prior import (
    GUIDANCE_RANGE,
    ConditionFn,
    DenoisedFn,
    Generators,
    Noise,
    NoiseSource,
    PriorSampling,
    PriorSchedule,
    ResampleFn,
    expand_generators,
    sample_embeddings,
)
from .schedulers import check_steps
from .twins import twin

# Guidance and steps that decoders are sampled with by default. The bundled one needs few steps; the
# others get diffusers' own guidance.
BUNDLED_DECODING = (2.0, 10)
OTHER_DECODING = (4.0, 25)
# Tokenized prompts and schedules that a pipeline remembers.
CACHED_PROMPTS = 1024
CACHED_SCHEDULES = 16


@dataclass(frozen=True, eq=False, repr=False)
class Pipeline:
    """A loaded stack, see `load`. Embeddings leave it in float32 and unnormalized.

    Pictures are in [0, 1]. What goes from step to step, and what is optimized, is in float32.

    Threads may share a pipeline, each with generators of its own: each gets what it gets alone. On
    a GPU they take turns. Methods work in every mode of torch; what they return in inference mode
    are normal tensors, so that it can be part of a gradient later.
    """

    name: str
    # Changes when the model's files change.
    fingerprint: str
    # Whether the model was trained on the Menagerie, whose probabilities are known.
    has_truth: bool
    # Commits that the files were downloaded from, by repository.
    revisions: Mapping[str, str]
    device: torch.device
    # Of the networks' weights.
    dtype: torch.dtype
    tokenizer: Any
    text_encoder: Any
    image_encoder: Any
    preprocess: Preprocess
    # A PriorTransformer and its UnCLIPScheduler.
    prior: Any
    prior_scheduler: Any
    decoder: Decoder
    # If set, the networks take turns on the device.
    offloader: Offloader | None = None

    def __repr__(self) -> str:
        networks = (self.text_encoder, self.image_encoder, self.prior, *self.decoder.networks)
        weights = sum(p.numel() for network in networks for p in network.parameters())
        d = self.prior.config.embedding_dim
        side = self.decoder.side
        where = f"{self.device}, {str(self.dtype).removeprefix('torch.')}"
        truth = "known" if self.has_truth else "unknown"
        return (
            f"Pipeline({self.name!r}: {weights / 1e6:,.0f} M weights on {where})\n"
            f"  embeddings of {d}, pictures of {side} x {side}, true probabilities {truth}\n"
            f"  text -> encode_text -> sample_prior -> decode -> picture -> encode_images"
        )

    @property
    def token_table(self) -> Float[Tensor, "v w"]:
        """The text encoder's input embedding of every token."""
        with self._at_work("prior"):
            return self.text_encoder.get_input_embeddings().weight

    @property
    def decode_defaults(self) -> tuple[float, int]:
        """Guidance and steps of `decode` by default."""
        return BUNDLED_DECODING if self.has_truth else OTHER_DECODING

    @property
    def latent_dtype(self) -> torch.dtype:
        """The dtype of what goes from step to step."""
        return torch.promote_types(self.dtype, torch.float32)

    def unknown_words(self, text: str) -> list[str]:
        """List the words and signs that the tokenizer cuts into pieces.

        The bundled models never saw them.
        """
        return [
            word
            for word in re.findall(r"\w+|[^\w\s]+", text)
            if not all(token.endswith("</w>") for token in self.tokenizer.tokenize(word))
        ]

    def token_ids(self, texts: Sequence[str]) -> Int[Tensor, "k l"]:
        """Tokenize and pad texts. Raises InputError for a text that is too long; none is cut."""
        return self._tokenize(listed("texts", texts)).ids

    def encode_text(self, prompts: Sequence[str]) -> TextCondition:
        """Encode k prompts. Raises InputError for no prompt, and for one that is too long."""
        ids = self._tokenize(listed("prompts", prompts))
        with self._at_work("prior"):
            return self._encode_ids(ids, self.text_encoder)

    def encode_spliced(
        self, text: str, position: int, vectors: Float[Tensor, "k w"]
    ) -> TextCondition:
        """Encode a text k times, each time with one of k vectors for the token at `position`.

        The token ids stay as they are, so pooling still finds the true end of the text, whichever
        rule the text encoder pools by.
        """

        network = self.text_encoder
        table = network.get_input_embeddings()
        place = next(name for name, part in network.named_modules() if part is table)
        ids = self._tokenize([text] * len(vectors))
        with self._at_work("prior"):
            return self._encode_ids(ids, twin(network, {place: Spliced(table, position, vectors)}))

    def encode_images(self, pictures: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b d"]:
        """Embed pictures in [0, 1] of any size with CLIP; differentiable.

        Raises InputError for pictures that are not floats in [0, 1].
        """
        check_pictures(pictures, "... 3 h w")
        flat = pictures.flatten(0, -4) if pictures.ndim > 3 else pictures[None]
        with self._at_work("pictures"):
            embedded = in_batches(self._embed_pictures, PICTURE_ROWS, flat).float()
        return embedded.view(*pictures.shape[:-3], -1)

    def sample_prior(
        self,
        cond: TextCondition,
        n: int,
        *,
        noise: NoiseSource,
        sampling: PriorSampling = PriorSampling(),
        denoised_fn: DenoisedFn | None = None,
        resample_fn: ResampleFn | None = None,
        start: PartialStart | None = None,
        negative: TextCondition | None = None,
        condition_fn: ConditionFn | None = None,
    ) -> Float[Tensor, "k n d"]:
        """Draw n image embeddings for each of k conditions; differentiable in the condition.

        noise: one generator draws all noise, as KandinskyV22PriorPipeline does. k generators give
            each condition its own, so that it gets the embeddings it would get alone. Or `Noise`.
        sampling: guidance and steps.
        denoised_fn: changes each step's x0_pred, see `steering.guidance`.
        resample_fn: lets samples go on as copies of others, see `steering.guidance`, or drops some:
            then fewer than n are returned.
        start: start at given embeddings instead of at noise.
        negative: what guidance leads away from instead of the empty prompt (negative prompting):
            one condition, or one for each of k.
        condition_fn: changes the conditions at each step, see `evaluation.rivals.cads`.

        Raises InputError unless n >= 1 and generators number 1 or k, for another number of
        negatives, and for a negative with guidance of 1 or less, which would ignore it.
        Source: DALL-E 2, arXiv 2204.06125, section 2.2.
        """
        whole("n", n, 1)
        _check_negative(negative, sampling.guidance)
        k = len(cond.pooled)
        if negative is not None and len(negative.pooled) not in (1, k):
            raise InputError(
                f"negative holds {len(negative.pooled)} conditions; expected one, or one for each "
                f"of the {k}"
            )
        with self._at_work("prior"):
            if not isinstance(noise, Noise):
                steps = sampling.steps - (0 if start is None else start.first_step(sampling.steps))
                d = self.prior.config.embedding_dim
                noise = Noise.draw(noise, steps, k, n, d, self.device)
            return sample_embeddings(
                self.prior,
                self._schedule(sampling.steps),
                cond,
                negative or self._empty,
                noise,
                guidance=sampling.guidance,
                start=start,
                denoised_fn=denoised_fn,
                resample_fn=resample_fn,
                condition_fn=condition_fn,
            )

    def decode(
        self,
        z: Float[Tensor, "k n d"],
        *,
        generator: Generators,
        guidance: float | None = None,
        steps: int | None = None,
        denoised_fn: DenoisedFn | None = None,
        negative: Float[Tensor, "k n d"] | None = None,
        noise: Float[Tensor, "#k #n _ _ _"] | None = None,
        eta: float = 0.0,
    ) -> Float[Tensor, "k n 3 h w"]:
        """Draw one picture in [0, 1] for each image embedding.

        The same generator state gives the same picture.

        generator: one for all pictures, or one for each of k rows.
        guidance, steps: by default `decode_defaults`. Guidance above 1 is classifier-free guidance
            away from the embedding of the blank picture, as in KandinskyV22Pipeline.
        denoised_fn: changes each step's clean latents (k, n, m, h, w), see `steering.guidance`.
        negative: embeddings that guidance leads away from instead.
        noise: x_T of unit scale, see `latent.ddim_inversion`, instead of noise from the generator.
        eta: share of new noise that DDIM adds at each step (Song et al., arXiv 2010.02502, eq. 16):
            0 adds none, 1 as much as DDPM.

        Raises InputError for a number of steps that the scheduler cannot take, unless generators
        number 1 or k, and unless guidance is at least 1 and above 1 with a negative; for noise of
        another shape than the latents', and for an eta out of [0, 1] or above 0 with a scheduler
        that has none.
        """
        default_guidance, default_steps = self.decode_defaults
        guidance = default_guidance if guidance is None else guidance
        steps = default_steps if steps is None else steps
        within("guidance", guidance, *GUIDANCE_RANGE)
        check_steps(self.decoder.scheduler, steps)
        _check_negative(negative, guidance)
        k, n, _ = z.shape
        rows = expand_generators(generator, k, n)
        modify = None if denoised_fn is None else _of_groups(denoised_fn, k, n)
        with self._at_work("pictures"):
            embeddings = z.flatten(0, 1).to(self.device, self.dtype)
            if negative is None:
                away = self._blank.expand_as(embeddings)
            else:
                away = negative.flatten(0, 1).to(embeddings)
            latents = sample_latents(
                self.decoder,
                embeddings,
                away,
                self._initial_noise(noise, rows, k, n),
                generator=rows,
                guidance=guidance,
                steps=steps,
                eta=eta,
                denoised_fn=modify,
            )
            pictures = self.decoder.enlarge(self.render_latents(latents), rows)
        return pictures.unflatten(0, (k, n))

    def _initial_noise(
        self,
        noise: Float[Tensor, "#k #n _ _ _"] | None,
        rows: torch.Generator | list[torch.Generator],
        k: int,
        n: int,
    ) -> Float[Tensor, "c _ _ _"]:
        from diffusers.utils.torch_utils import randn_tensor

        shape = self.decoder.shape
        dtype = self.latent_dtype
        if noise is None:
            return randn_tensor((k * n, *shape), generator=rows, device=self.device, dtype=dtype)
        if noise.shape[0] not in (1, k) or noise.shape[1] not in (1, n) or noise.shape[2:] != shape:
            raise InputError(
                f"noise is of shape {tuple(noise.shape)}; expected "
                f"({k}, {n}, {', '.join(map(str, shape))})"
            )
        return noise.to(self.device, dtype).expand(k, n, -1, -1, -1).flatten(0, 1)

    def render_latents(self, latents: Float[Tensor, "c m h w"]) -> Float[Tensor, "c 3 hh ww"]:
        """Turn latents into pictures in [0, 1]; differentiable where not clipped."""

        def render(rows: Tensor) -> Tensor:
            return self.decoder.render(rows.to(self.dtype))

        with self._at_work("pictures"):
            return in_batches(render, PICTURE_ROWS, latents).clamp(0, 1)

    def encode_latents(self, pictures: Float[Tensor, "c 3 h w"]) -> Float[Tensor, "c m hh ww"]:
        """Turn pictures in [0, 1] into latents; other sizes are resized and center-cropped.

        Raises InputError for pictures that are not floats in [0, 1].
        """
        check_pictures(pictures)
        side = self.decoder.side

        def encode(rows: Tensor) -> Tensor:
            return self.decoder.encode(rows.to(self.dtype))

        with self._at_work("pictures"):
            fitted = fit_picture(pictures.to(self.device, torch.float32), side, side)
            return in_batches(encode, PICTURE_ROWS, fitted)

    @cached_property
    def _empty(self) -> TextCondition:
        return self.encode_text([""])

    @cached_property
    def _blank(self) -> Float[Tensor, "1 d"]:
        """The embedding that guidance leads away from.

        Either learned by the decoder, or what diffusers calls the zero embedding: that of zeros
        after normalization, so of a picture in CLIP's mean color.
        """
        learned = self.decoder.blank()
        if learned is not None:
            return learned
        size = self.image_encoder.config.image_size
        zeros = torch.zeros(1, 3, size, size, device=self.device, dtype=self.dtype)
        return self.image_encoder(zeros).image_embeds

    @cached_property
    def _tokenized(self) -> Remembered[tuple[str, ...], TokenIds]:
        """Tokenized texts, already on the device when a step asks for them again."""
        return Remembered(CACHED_PROMPTS)

    @cached_property
    def _schedules(self) -> Remembered[int, PriorSchedule]:
        return Remembered(CACHED_SCHEDULES)

    def _schedule(self, steps: int) -> PriorSchedule:
        lay_out = partial(PriorSchedule.of, self.prior_scheduler, steps, self.device)
        return self._schedules.get(steps, lay_out)

    @contextmanager
    def _at_work(self, stage: str) -> Iterator[None]:
        """Use the networks of a stage, "prior" or "pictures", in any thread and any mode."""
        with normal_tensors(), gpu_turn(self.device):
            if self.offloader is not None:
                self.offloader.onload(stage)
            yield

    def _tokenize(self, texts: Sequence[str]) -> TokenIds:
        key = tuple(texts)
        return self._tokenized.get(key, partial(self._tokenize_anew, key))

    def _tokenize_anew(self, texts: tuple[str, ...]) -> TokenIds:
        limit = self.tokenizer.model_max_length
        for text in set(texts):
            if not isinstance(text, str) or len(text) > LONGEST:
                raise InputError(
                    f"prompt is {shown(text)}; expected a text of at most {LONGEST} characters"
                )
            length = len(self.tokenizer(text, verbose=False).input_ids)
            if length > limit:
                raise InputError(
                    f"prompt {shown(text)} has {length - 2} tokens; expected at most {limit - 2}"
                )
        # The tokenizer itself is not asked to pad: it would remember that for all threads.
        rows = [torch.tensor(ids) for ids in self.tokenizer(list(texts)).input_ids]
        ids = torch.full((len(rows), limit), self.tokenizer.pad_token_id)
        for padded, row in zip(ids, rows, strict=True):
            padded[: len(row)] = row
        end = (ids == self.tokenizer.eos_token_id).int().argmax(1, keepdim=True)
        mask = torch.arange(ids.shape[1]) <= end
        used = int(mask.any(0).sum())
        return TokenIds(ids.to(self.device), mask.to(self.device), used)

    def _encode_ids(self, texts: TokenIds, encoder: Any) -> TextCondition:
        """Encode tokenized texts with the text encoder or a twin of it."""
        # A causal encoder needs no padding. The bundled model keeps it: sums over another length
        # round differently, and the book's stored outputs would all move by a little.
        length = texts.ids.shape[1] if self.has_truth else texts.used
        with short_attention(self.device):
            output = encoder(texts.ids[:, :length])
        return TextCondition(
            pooled=output.text_embeds,
            tokens=output.last_hidden_state,
            mask=texts.mask[:, :length],
            used=texts.used,
        )

    def _embed_pictures(self, pictures: Float[Tensor, "c 3 h w"]) -> Float[Tensor, "c d"]:
        pixels = self.preprocess(pictures.to(self.device, torch.float32))
        return self.image_encoder(pixels.to(self.dtype)).image_embeds


@normal_tensors()
def load(
    name_or_path: str | Path | tuple[str | Path, str | Path],
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    *,
    revision: str | tuple[str | None, str | None] | None = None,
    offload: bool = False,
) -> Pipeline:
    """Load a stack.

    name_or_path: a name (see `models.names.MODELS`), a folder that holds `prior/` and `decoder/`,
        or a pair of these parts, each a folder or a hub's id such as
        "kandinsky-community/kandinsky-2-2-prior".
    device: by default a CUDA GPU if there is one.
    dtype: by default float32 for bundled models, else that of `models.networks.default_dtype`.
    revision: the hub's, for both parts or for each its own. `Pipeline.revisions` says what was
        loaded.
    offload: the networks that draw and look at pictures wait in the CPU's memory while the text
        encoder and the prior work, and the other way round: slower, and for small GPUs.

    Load before threads begin to work: while a model loads, torch makes layers differently for all.

    Raises InputError for an unknown model or device, folders that hold something else, and damaged
    bundled files, before anything slow is imported; and for a model that is larger than what is
    free on the device, before it is loaded.
    """
    files = locate(name_or_path, revision)
    device = usable_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or (torch.float32 if files.has_truth else default_dtype(device))
    parts = load_parts(files, device, dtype, offload)
    return Pipeline(
        name=files.name,
        fingerprint=files.fingerprint,
        has_truth=files.has_truth,
        revisions=files.revisions,
        device=device,
        dtype=dtype,
        **parts,
    )


def _check_negative(negative: object, guidance: float) -> None:
    if negative is not None and not guidance > 1:
        raise InputError(
            f"guidance is {guidance} with a negative; expected a number above 1, or no negative"
        )


def _of_groups(denoised_fn: DenoisedFn, k: int, n: int) -> DenoisedFn:
    """Have a function of (k, n, ...) take and give flat rows."""

    def of_rows(x0_pred: Tensor, progress: float) -> Tensor:
        return denoised_fn(x0_pred.unflatten(0, (k, n)), progress).flatten(0, 1)

    return of_rows
