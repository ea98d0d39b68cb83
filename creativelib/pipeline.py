"""An unCLIP stack as four functions: text to condition, condition to image embedding, embedding to picture, picture to embedding.

Nothing here switches gradients off: the weights are frozen, so a graph is built only where the input asks for one.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from . import zoo
from .conditions import Ids, Start, TextCondition, sent_through
from .decoders import Decoder
from .errors import InputError, at_least
from .graphs import short_attention
from .loading import Stages, default_dtype, load_parts, usable_device
from .pictures import Preprocess, fit_picture
from .prior import Drawn, Generators, Noise, Steps, for_rows

# Rows sent through a network at once: bounds memory without changing any result, because noise is drawn for the whole batch.
EMBEDDING_ROWS = 256
PICTURE_ROWS = 32
# How a decoder is sampled unless told otherwise: guidance and steps. The bundled one needs few; of others diffusers' own guidance.
BUNDLED, OTHERS = (2.0, 10), (4.0, 25)

# Takes what a step predicts to be clean, and how far the sampling has come from 0 to 1; gives what it shall be.
Edit = Callable[[Tensor, float], Tensor]
# Takes the same, and gives for each of n samples the index of the one whose way it shall go on.
Select = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A loaded stack (see `load`). Embeddings leave it in float32 and unnormalised; pictures are in [0, 1].

    `revisions` are the commits that its files were downloaded from, by repository. `dtype` is that of the networks: what goes from step
    to step, and what is optimised, is in float32. With `stages` its networks take turns on the device.
    """

    name: str
    fingerprint: str
    has_truth: bool
    revisions: Mapping[str, str]
    device: torch.device
    dtype: torch.dtype
    tokenizer: Any
    text_encoder: Any
    image_encoder: Any
    preprocess: Preprocess
    prior: Any
    prior_scheduler: Any
    decoder: Decoder
    stages: Stages | None = None

    @property
    def token_table(self) -> Float[Tensor, "v w"]:
        """The text encoder's input embedding of every token."""
        self._bring("prior")
        return self.text_encoder.get_input_embeddings().weight

    @property
    def usual(self) -> tuple[float, int]:
        """The guidance and the steps that pictures are drawn with unless told otherwise."""
        return BUNDLED if self.has_truth else OTHERS

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that the tokenizer has to cut into pieces; the bundled models never saw them."""
        return [word for word in text.split() if not all(token.endswith("</w>") for token in self.tokenizer.tokenize(word))]

    def token_ids(self, texts: Sequence[str]) -> Int[Tensor, "k l"]:
        """Token ids padded to the text length. Raises InputError for a text that does not fit: nothing is cut off silently."""
        return self._tokenize(texts).ids

    def encode_text(self, prompts: Sequence[str]) -> TextCondition:
        """Encode k prompts. Raises InputError for no prompt, and for one that is too long."""
        if isinstance(prompts, str) or not prompts:
            raise InputError(f"prompts is {prompts!r}; allowed is a list of at least one text")
        return self._encode_ids(self._tokenize(prompts))

    def encode_spliced(self, text: str, position: int, vectors: Float[Tensor, "k w"]) -> TextCondition:
        """Encode one text k times, each time with one of k vectors in place of the token at `position`.

        The token ids stay as they are, so pooling still finds the true end of the text, whichever rule the text encoder pools by.
        """
        def splice(_module: nn.Module, _inputs: object, rows: Tensor) -> Tensor:
            here = torch.arange(rows.shape[1], device=rows.device)[None, :, None] == position
            return torch.where(here, vectors.to(rows)[:, None, :], rows)

        hook = self.text_encoder.get_input_embeddings().register_forward_hook(splice)
        try:
            return self._encode_ids(self._tokenize([text] * len(vectors)))
        finally:
            hook.remove()

    def encode_images(self, pictures: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b d"]:
        """CLIP's image embeddings of pictures in [0, 1] of any size; differentiable."""
        self._bring("pictures")
        flat = pictures.flatten(0, -4) if pictures.ndim > 3 else pictures[None]
        return _in_chunks(self._embed_pictures, PICTURE_ROWS, flat).float().view(*pictures.shape[:-3], -1)

    def sample_prior(self, cond: TextCondition, n: int, *, generator: Noise, guidance: float = 1.0, steps: int = 5,
                     edit: Edit | None = None, select: Select | None = None, start: Start | None = None,
                     negative: TextCondition | None = None) -> Float[Tensor, "k n d"]:
        """Draw n image embeddings for each of k conditions; differentiable in the condition (DALL-E 2, arXiv 2204.06125).

        One generator draws all noise, as KandinskyV22PriorPipeline does; k generators give each condition its own, so that it gets the
        embeddings it would get alone; or the noise is already `Drawn`. Guidance above 1 is classifier-free guidance away from the empty
        prompt: samples vary less and keep more of a prompt that asks for several things at once (benchmarks/models.py).
        `edit` may change each step's clean embedding before noise is added again, `select` may let samples go on from where others are
        (indices of shape (k, n)), see `guidance`; with `start` the way begins at given embeddings instead of at noise.
        `negative` is what guidance leads away from instead of the empty prompt (negative prompting): one condition, or one for each of k.
        Raises InputError unless n >= 1, steps >= 2 (the scheduler divides by steps - 1), and generators number 1 or k, and for
        another number of negatives, or any with guidance of 1 or less, which would ignore them.
        """
        at_least("n", n, 1)
        at_least("steps", steps, 2)
        _check_negative(negative, guidance)
        k = len(cond.pooled)
        if negative is not None and len(negative.pooled) not in (1, k):
            raise InputError(f"negative holds {len(negative.pooled)} conditions; allowed is one, or one for each of the {k}")
        self._bring("prior")
        way, first = self._steps(steps), 0 if start is None else start.first(steps)
        if not isinstance(generator, Drawn):
            generator = Drawn.draw(generator, steps - first, k, n, self.prior.config.embedding_dim, self.device)
        noise = generator.noise.flatten(1, 2).to(self.exact)
        z = noise[0]
        owner, told = torch.arange(k * n, device=self.device) // n, self._told(cond, negative or self._empty)
        mean, std = self.prior.clip_mean, self.prior.clip_std
        if start is not None:
            z = way.cover(first, (start.z.to(z).expand(k, n, -1).flatten(0, 1) - mean) / std, z)
        for index in range(first, steps):
            clean = _in_chunks(partial(self._predict_embedding, t=way.times[index], told=told, guidance=guidance), EMBEDDING_ROWS, z, owner)
            if edit is not None:
                wanted = edit((clean * std + mean).float().view(k, n, -1), index / (steps - 1))
                clean = ((wanted.flatten(0, 1) - mean) / std).to(clean)
            if select is not None:
                chosen = select((clean * std + mean).float().view(k, n, -1), index / (steps - 1))
                rows = (chosen + torch.arange(k, device=self.device)[:, None] * n).flatten()
                clean, z = clean[rows], z[rows]
            z = way.step(index, clean, z, noise[min(index - first + 1, len(noise) - 1)])
        return (z * std + mean).float().view(k, n, -1)

    def decode(self, z: Float[Tensor, "k n d"], *, generator: Generators, guidance: float | None = None, steps: int | None = None,
               edit: Edit | None = None, negative: Float[Tensor, "k n d"] | None = None,
               noise: Float[Tensor, "#k #n _ _ _"] | None = None, eta: float = 0.0) -> Float[Tensor, "k n 3 h w"]:
        """Draw one picture in [0, 1] for each image embedding; the same generator state gives the same picture. With the `usual` guidance
        and steps unless told otherwise.

        `edit` may change each step's clean latents (k, n, m, h, w) before noise is added again, see `guidance`. `noise` of unit scale is
        where sampling begins (x_T, see `latent.invert`) instead of noise from the generator. `eta` is the share of new noise that DDIM
        adds at each step (Song et al., arXiv 2010.02502, eq. 16): 0 adds none, 1 as much as DDPM.

        Generators as in `sample_prior`. Guidance above 1 is classifier-free guidance away from the embedding of the blank picture, as in
        KandinskyV22Pipeline, or from those of `negative`. Raises InputError unless steps >= 1 and generators number 1 or k, for a
        negative with guidance of 1 or less, for noise of another shape than the latents', and for an eta out of [0, 1] or above 0 with
        a scheduler that has none.
        """
        from diffusers.utils.torch_utils import randn_tensor

        guidance, steps = self.usual[0] if guidance is None else guidance, self.usual[1] if steps is None else steps
        at_least("steps", steps, 1)
        _check_negative(negative, guidance)
        k, n, _ = z.shape
        rows, shape = for_rows(generator, k, n), self.decoder.shape
        self._bring("pictures")
        scheduler = copy.deepcopy(self.decoder.scheduler)
        scheduler.set_timesteps(steps, device=self.device)
        extra = _eta(scheduler, eta)
        embeddings = z.flatten(0, 1).to(self.device, self.dtype)
        away = self._blank.expand_as(embeddings) if negative is None else negative.flatten(0, 1).to(embeddings)
        if noise is None:
            start = randn_tensor((k * n, *shape), generator=rows, device=self.device, dtype=self.exact)
        elif noise.shape[0] in (1, k) and noise.shape[1] in (1, n) and noise.shape[2:] == shape:
            start = noise.to(self.device, self.exact).expand(k, n, -1, -1, -1).flatten(0, 1)
        else:
            raise InputError(f"noise is of shape {tuple(noise.shape)}; allowed is ({k}, {n}, {', '.join(map(str, shape))})")
        latents, times = start * scheduler.init_noise_sigma, scheduler.timesteps
        for index, t in enumerate(times):
            output = _in_chunks(partial(self._predict_noise, t=t, guidance=guidance), PICTURE_ROWS, latents, embeddings, away)
            if edit is not None:
                output = self._edited(output, latents, scheduler.alphas_cumprod[t.cpu()].to(latents),
                                      lambda clean, index=index: edit(clean.unflatten(0, (k, n)), index / max(steps - 1, 1)).flatten(0, 1))
            if type(scheduler).__name__ == "UnCLIPScheduler":  # the only one that has to be told where its steps lead
                extra = {"prev_timestep": times[index + 1] if index + 1 < steps else None}
            latents = scheduler.step(output, t, latents, generator=rows, **extra).prev_sample
        return self.decoder.enlarge(self.render_latents(latents), rows).unflatten(0, (k, n))

    def render_latents(self, latents: Float[Tensor, "c m h w"]) -> Float[Tensor, "c 3 hh ww"]:
        """The pictures in [0, 1] that latents stand for; differentiable where not clipped."""
        self._bring("pictures")
        return _in_chunks(lambda rows: self.decoder.render(rows.to(self.dtype)), PICTURE_ROWS, latents).clamp(0, 1)

    def encode_latents(self, pictures: Float[Tensor, "c 3 h w"]) -> Float[Tensor, "c m hh ww"]:
        """The decoder's latents of pictures in [0, 1]. Those of another shape than it draws are resized and cut to their middle."""
        self._bring("pictures")
        fitted = fit_picture(pictures.to(self.device, torch.float32), self.decoder.side, self.decoder.side)
        return _in_chunks(lambda rows: self.decoder.encode(rows.to(self.dtype)), PICTURE_ROWS, fitted)

    @cached_property
    def _empty(self) -> TextCondition:
        return self.encode_text([""])

    @cached_property
    def _blank(self) -> Float[Tensor, "1 d"]:
        """What guidance leads away from: what the decoder has learned for it, or what diffusers calls the zero embedding, zeros after
        normalisation, so a picture of CLIP's mean colour."""
        learned, size = self.decoder.blank(), self.image_encoder.config.image_size
        if learned is not None:
            return learned
        return self.image_encoder(torch.zeros(1, 3, size, size, device=self.device, dtype=self.dtype)).image_embeds

    @cached_property
    def _known(self) -> dict[tuple[str, ...], Ids]:
        """Tokenized texts, which lie on the device already when a step asks for them again."""
        return {}

    @cached_property
    def _ways(self) -> dict[int, Steps]:
        return {}

    @property
    def exact(self) -> torch.dtype:
        """Of what goes from step to step."""
        return torch.promote_types(self.dtype, torch.float32)

    def _steps(self, steps: int) -> Steps:
        if steps not in self._ways:
            self._ways[steps] = Steps.of(self.prior_scheduler, steps, self.device)
        return self._ways[steps]

    def _bring(self, stage: str) -> None:
        if self.stages is not None:
            self.stages.bring(stage)

    def _tokenize(self, texts: Sequence[str]) -> Ids:
        known = self._known.get(tuple(texts))
        if known is None:
            for text in set(texts):
                length, limit = len(self.tokenizer(text).input_ids), self.tokenizer.model_max_length
                if length > limit:
                    raise InputError(f"prompt {text!r} has {length - 2} tokens; at most {limit - 2} are allowed")
            ids = self.tokenizer(list(texts), padding="max_length", return_tensors="pt").input_ids
            mask = torch.arange(ids.shape[1]) <= (ids == self.tokenizer.eos_token_id).int().argmax(1, keepdim=True)
            known = self._known[tuple(texts)] = Ids(ids.to(self.device), mask.to(self.device), int(mask.any(0).sum()))
        return known

    def _encode_ids(self, told: Ids) -> TextCondition:
        self._bring("prior")
        # A causal encoder needs no padding. Of the bundled model's texts it stays: sums of another length round differently, and the book's
        # stored outputs would all move by a little.
        length = told.ids.shape[1] if self.has_truth else told.used
        with short_attention(self.device):
            output = self.text_encoder(told.ids[:, :length])
        return TextCondition(output.text_embeds, output.last_hidden_state, told.mask[:, :length], told.used)

    def _embed_pictures(self, pictures: Float[Tensor, "c 3 h w"]) -> Float[Tensor, "c d"]:
        return self.image_encoder(self.preprocess(pictures.to(self.device, torch.float32)).to(self.dtype)).image_embeds

    def _told(self, cond: TextCondition, empty: TextCondition) -> TextCondition:
        """k conditions, then for each of them what guidance leads away from, cut to the longest text: see `_predict_embedding`."""
        used, k = max(cond.used, empty.used), len(cond.pooled)

        def fitted(of: Tensor) -> Tensor:
            return nn.functional.pad(of[:, :used], (0, 0) * (of.ndim - 2) + (0, max(0, used - of.shape[1])))

        pooled, tokens, mask = (torch.cat([own, other.expand(k, *other.shape[1:])]) for own, other in (
            (cond.pooled, empty.pooled), (fitted(cond.tokens), fitted(empty.tokens)), (fitted(cond.mask), fitted(empty.mask))))
        return TextCondition(pooled, tokens, mask, used, cond.adapters)

    def _predict_embedding(self, z: Float[Tensor, "c d"], owner: Int[Tensor, " c"], t: Tensor, told: TextCondition,
                           guidance: float) -> Float[Tensor, "c d"]:
        """The prior's clean embedding. Padding is left out, which its mask silences anyway: the same values three times as fast."""
        adapters, guided = told.adapters, guidance > 1
        prior = adapters.prior if adapters else self.prior
        # Positions between the longest text and the last ones are left out; of a causal mask any beginning is one.
        places, used = prior.positional_embedding, told.used + prior.config.additional_embeddings
        places = {"positional_embedding": torch.cat([places[:, :told.used], places[:, prior.config.num_embeddings:]], 1),
                  "causal_attention_mask": prior.causal_attention_mask[:, :used, :used]}
        rows = torch.cat([owner + len(told.mask) // 2, owner]) if guided else owner
        z = z.to(self.dtype)
        inputs = (torch.cat([z, z]) if guided else z, t, told.pooled[rows], told.tokens[rows], told.mask[rows])
        names = [adapters.names[i] for i in owner.tolist()] * (1 + guided) if adapters else []
        with short_attention(self.device), sent_through(prior, names) if adapters else nullcontext():
            weights = {**places, **adapters.weights} if adapters else places
            clean = functional_call(prior, weights, inputs).predicted_image_embedding
        return clean[:len(z)] + guidance * (clean[len(z):] - clean[:len(z)]) if guided else clean

    def _predict_noise(self, latents: Float[Tensor, "c m h w"], z: Float[Tensor, "c d"], away: Float[Tensor, "c d"], t: Tensor,
                       guidance: float) -> Float[Tensor, "c o h w"]:
        m, guided, latents = latents.shape[1], guidance > 1, latents.to(self.dtype)
        output = self.decoder.predict(torch.cat([latents, latents]) if guided else latents, t, torch.cat([away, z]) if guided else z)
        output = output.to(self.exact)
        given = output[-len(z):]
        noise = output[:len(z), :m] + guidance * (given[:, :m] - output[:len(z), :m]) if guided else given[:, :m]
        learned = getattr(self.decoder.scheduler.config, "variance_type", None) in ("learned", "learned_range")
        return torch.cat([noise, given[:, m:]], 1) if learned else noise

    def _edited(self, output: Float[Tensor, "c o h w"], latents: Float[Tensor, "c m h w"], kept: Float[Tensor, ""],
                edit: Callable[[Tensor], Tensor]) -> Float[Tensor, "c o h w"]:
        """The network's output as it would be if it had predicted the edited clean latents; `kept` is the schedule's alpha-bar.

        Networks that predict a velocity (Salimans and Ho, arXiv 2202.00512) or the noise, as the scheduler says.
        """
        m, signal, noise = latents.shape[1], kept.sqrt(), (1 - kept).sqrt()
        if self.decoder.scheduler.config.prediction_type == "v_prediction":
            changed = (signal * latents - edit(signal * latents - noise * output[:, :m]).to(latents)) / noise
        else:
            changed = (latents - signal * edit((latents - noise * output[:, :m]) / signal).to(latents)) / noise
        return torch.cat([changed, output[:, m:]], 1)


def load(name_or_path: str | Path | tuple[str | Path, str | Path], device: str | torch.device | None = None,
         dtype: torch.dtype | None = None, *, revision: str | tuple[str | None, str | None] | None = None,
         offload: bool = False) -> Pipeline:
    """Load a stack: by name (see `zoo.MODELS`), from a folder that holds `prior/` and `decoder/`, or from a pair of these parts, each a
    folder or a hub's id such as "kandinsky-community/kandinsky-2-2-prior". On a CUDA GPU if there is one.

    The bundled model is loaded in float32 unless told otherwise, others as `loading.default_dtype` says. `revision` is the hub's, for both
    parts or for each its own; what was loaded is in `Pipeline.revisions`. With `offload` the networks that draw and look at pictures wait
    in the CPU's memory while the text encoder and the prior work, and the other way round: slower, and for small GPUs.

    Raises InputError for an unknown model or device, folders that hold something else, and damaged bundled files, before anything slow
    is imported; and for models that are larger than what is free on the device, before they are loaded.
    """
    found = zoo.locate(name_or_path, revision)
    device = usable_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or (torch.float32 if found.has_truth else default_dtype(device))
    parts = load_parts(found, device, dtype, offload)
    return Pipeline(found.name, found.fingerprint, found.has_truth, found.revisions, device, dtype, **parts)


def _check_negative(negative: object, guidance: float) -> None:
    if negative is not None and not guidance > 1:
        raise InputError(f"guidance is {guidance} with a negative; allowed is a number above 1, or no negative")


def _eta(scheduler: Any, eta: float) -> dict[str, Any]:
    """What a scheduler's step is told of `eta`: nothing at 0, so that schedulers without it do."""
    if not 0 <= eta <= 1:
        raise InputError(f"eta is {eta}; allowed is a number in [0, 1]")
    if eta and "eta" not in inspect.signature(scheduler.step).parameters:
        raise InputError(f"eta is {eta}; allowed is 0 with a {type(scheduler).__name__}, and any number in [0, 1] with a DDIMScheduler")
    # At 1 a schedule that ends in pure noise has DDIM take the root of what rounding may leave below 0.
    return {"eta": min(eta, 1 - 1e-6)} if eta else {}


def _in_chunks(function: Callable[..., Tensor], rows: int, *tensors: Tensor) -> Tensor:
    return torch.cat([function(*part) for part in zip(*(tensor.split(rows) for tensor in tensors), strict=True)])
