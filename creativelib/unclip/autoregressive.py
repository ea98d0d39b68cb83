"""The autoregressive prior of unCLIP, which draws an image embedding number by number.

It is the alternative to the diffusion prior (DALL-E 2, arXiv 2204.06125, section 2.2).

    prior = AutoregressivePrior.load()
    z = prior.sample(pipe.encode_text(["a photo of a pet"]), n=8, generator=g)
    pictures = pipe.decode(z, generator=g)

An embedding becomes codes: its principal components by falling variance, each rounded to one of a
few values. A causal transformer reads the caption, the caption's embedding, and a token for how
well the picture should match the caption. Then it predicts code after code. Sampling is a chain of
discrete choices that no gradient passes, so optimizing through a prior needs the diffusion prior.
"""

from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load, load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from ..density.moments import Moments
from ..density.subspace import Subspace
from ..errors import InputError, listed, shown, whole, within
from ..files import atomic_write, write_json
from ..fitting.precision import to_float64
from ..models.folders import read_config
from ..models.location import bundled
from ..models.networks import usable_device
from ..reading import refusing
from ..sharing import gpu_turn, normal_tensors
from .batches import in_batches
from .conditions import TextCondition
from .prior import EMBEDDING_ROWS, GUIDANCE_RANGE, Generators

# Standard deviations that codes cover on either side of the mean.
SPAN = 4.0
# Files in the folder of a saved prior.
FILES = ("config.json", "model.safetensors", "codes.safetensors")
MAX_SIZE = 4096  # of everything in `Sizes`


@dataclass(frozen=True)
class Sizes:
    """Sizes of a `CodeModel` and of its inputs."""

    # Width of image and text embeddings.
    dim: int
    # Width of the text encoder's hidden states.
    text: int
    # Tokens of the longest text.
    length: int
    # Codes of an embedding.
    codes: int
    # Values of a code.
    buckets: int
    # Values of the token for the dot product.
    dots: int
    # Width of the transformer.
    width: int
    # Blocks of the transformer.
    layers: int
    # Attention heads of each block.
    heads: int


@dataclass(frozen=True, eq=False)
class Codes:
    """Image embeddings as whole numbers.

    Every component is cut into buckets of equal width over 4 standard deviations on either side of
    its mean. The paper does not say how it cut. Buckets of equal counts are the natural
    alternative, but they are widest where embeddings are rare. They lose several times as much of
    these light-tailed components.
    """

    # The principal components that become codes.
    subspace: Subspace
    # Boundaries between the quantiles of the training set's dot products of unit image and text
    # embeddings.
    edges: Float[Tensor, " q"]
    # Values of a code.
    buckets: int

    @classmethod
    def fit(
        cls,
        z: Float[Tensor, "n d"],
        like: Float[Tensor, " m"],
        *,
        pca: float = 0.99,
        buckets: int = 64,
        dots: int = 32,
    ) -> "Codes":
        """Fit codes to image embeddings `z` and to the dot products `like`.

        pca: share of the variance that the components explain, in (0, 1].
        buckets: values of a code.
        dots: quantiles of the dot products.

        Raises InputError for a share out of range, fewer than 2 buckets or dots, and fewer than 3
        embeddings.
        """
        whole("buckets", buckets, 2)
        whole("dots", dots, 2)
        levels = torch.linspace(0, 1, dots + 1, dtype=torch.float64)[1:-1]
        edges = torch.quantile(to_float64(like), levels)
        return cls(Subspace.fit(Moments.of(z), pca, residual=False), edges, buckets)

    def __len__(self) -> int:
        """Return the number of codes of an embedding."""
        return len(self.subspace.axes)

    def encode(self, z: Float[Tensor, "*b d"]) -> Int[Tensor, "*b c"]:
        """Turn embeddings into codes, on the embeddings' device.

        Raises InputError for embeddings of another width than the fit's.
        """
        inside = self.subspace.project(z)
        deviations = inside / self.subspace.variances.sqrt().to(inside)
        positions = (deviations / SPAN + 1) / 2 * self.buckets
        return positions.floor().clamp(0, self.buckets - 1).long().to(z.device)

    def decode(self, codes: Int[Tensor, "*b c"]) -> Float[Tensor, "*b d"]:
        """Turn codes into embeddings in float32, in the middle of their buckets."""
        deviations = (((to_float64(codes) + 0.5) / self.buckets) * 2 - 1) * SPAN
        space = self.subspace
        inside = deviations * space.variances.sqrt().to(deviations)
        return (space.mean.to(inside) + inside @ space.axes.to(inside)).float().to(codes.device)

    def dot(self, z: Float[Tensor, "b d"], pooled: Float[Tensor, "b d"]) -> Int[Tensor, " b"]:
        """Find the quantile in which the dot product of unit image and text embeddings lies."""
        like = cosine_similarity(z, pooled, dim=-1).contiguous()
        return torch.searchsorted(self.edges.to(z), like)


class CodeModel(nn.Module):
    """The causal transformer, with GPT-2's blocks.

    It reads the caption's hidden states, the caption's embedding, the token for the dot product,
    and the codes, in this order.

    All components share one embedding of a code and one output layer, because a code means the same
    number of standard deviations in each. The position says which component it is, and does not
    depend on the caption's length. A dropped caption leaves its first token, which is the same in
    all captions, and a learned vector in place of its embedding.
    """

    def __init__(self, sizes: Sizes) -> None:
        from transformers import GPT2Config, GPT2Model

        super().__init__()
        self.sizes = sizes
        # `fitting.loop` finds the blocks' matrices, which Muon trains, by this attribute's name.
        self.transformer_blocks = GPT2Model(
            GPT2Config(
                vocab_size=sizes.buckets,
                n_positions=sizes.length + 2 + sizes.codes,
                n_embd=sizes.width,
                n_layer=sizes.layers,
                n_head=sizes.heads,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=None,
                eos_token_id=None,
                activation_function="gelu_pytorch_tanh",
            )
        )
        # This attention and the GELU above give the same values as the defaults, faster on a CPU.
        self.transformer_blocks.set_attn_implementation("eager")
        self.tokens = nn.Linear(sizes.text, sizes.width)
        self.pooled = nn.Linear(sizes.dim, sizes.width)
        self.nothing = nn.Parameter(torch.zeros(sizes.width))
        self.dot = nn.Embedding(sizes.dots, sizes.width)
        self.head = nn.Linear(sizes.width, sizes.buckets)

    def prefix(
        self, cond: TextCondition, dot: Int[Tensor, " r"], has_caption: Bool[Tensor, " r"]
    ) -> tuple[Float[Tensor, "r p w"], Bool[Tensor, "r p"], Int[Tensor, "1 p"]]:
        """Build the inputs that precede the codes of r rows.

        Rows without `has_caption` lose their caption. Returns the inputs, a mask that is True where
        they count, and their positions.
        """
        used = int(cond.mask.any(0).sum())
        first = torch.arange(used, device=dot.device) == 0
        mask = cond.mask[:, :used] & (has_caption[:, None] | first)
        tokens = self.tokens(cond.tokens[:, :used])
        pooled = torch.where(has_caption[:, None], self.pooled(cond.pooled), self.nothing)
        inputs = torch.cat([tokens, pooled[:, None], self.dot(dot)[:, None]], 1)
        mask = torch.cat([mask, mask.new_ones(len(mask), 2)], 1)
        length = self.sizes.length
        positions = torch.tensor([[*range(used), length, length + 1]], device=dot.device)
        return inputs, mask, positions

    def forward(
        self,
        cond: TextCondition,
        dot: Int[Tensor, " r"],
        codes: Int[Tensor, "r c"],
        has_caption: Bool[Tensor, " r"],
    ) -> Float[Tensor, "r c v"]:
        """Predict the logits of every code, given the codes before it."""
        inputs, mask, positions = self.prefix(cond, dot, has_caption)
        # The last code precedes no other one.
        previous = codes[:, :-1]
        inputs = torch.cat([inputs, self.transformer_blocks.wte(previous)], 1)
        mask = torch.cat([mask, mask.new_ones(previous.shape)], 1)
        own = positions[:, -1:] + torch.arange(1, codes.shape[1], device=dot.device)
        positions = torch.cat([positions, own], 1)
        hidden = self.transformer_blocks(
            inputs_embeds=inputs, attention_mask=mask, position_ids=positions, use_cache=False
        ).last_hidden_state
        return self.head(hidden[:, -codes.shape[1] :])


def _read_sizes(file: Path) -> Sizes:
    """Read the sizes that `AutoregressivePrior.save` wrote. Raises InputError for anything else."""
    config = read_config(file, file.parent)
    names = [field.name for field in fields(Sizes)]
    if set(config) != set(names) or not all(
        type(value) is int and 1 <= value <= MAX_SIZE for value in config.values()
    ):
        raise InputError(
            f"file {str(file)!r} holds {shown(config)}; expected whole numbers from 1 to "
            f"{MAX_SIZE} for {', '.join(names)}"
        )
    return Sizes(**config)


@dataclass(frozen=True, eq=False, repr=False)
class AutoregressivePrior:
    """A trained `CodeModel` with the codes it reads."""

    # A `CodeModel`.
    model: Any
    codes: Codes

    def __repr__(self) -> str:
        weights = sum(p.numel() for p in self.model.parameters())
        device = next(self.model.parameters()).device
        sizes = self.model.sizes
        return (
            f"AutoregressivePrior({weights / 1e6:,.1f} M weights on {device}, embeddings of "
            f"{sizes.dim} in {sizes.codes} codes of {sizes.buckets} values)"
        )

    @classmethod
    @normal_tensors()
    def load(
        cls, name_or_path: str | Path = "menagerie", device: str | torch.device = "cpu"
    ) -> "AutoregressivePrior":
        """Load the bundled prior by name, or a folder that `save` wrote.

        Raises InputError for an unknown device, damaged files, and a folder that lacks one of the
        three.
        """
        folder = Path(name_or_path)
        if str(name_or_path) == "menagerie":
            folder = bundled("autoregressive")
        if not all((folder / file).is_file() for file in FILES):
            raise InputError(
                f"prior is {str(name_or_path)!r}; expected 'menagerie' and a folder with "
                f"{', '.join(FILES)}"
            )
        sizes = _read_sizes(folder / "config.json")
        place = usable_device(device)
        with refusing(f"prior {str(name_or_path)!r}"):
            tensors = load((folder / "codes.safetensors").read_bytes())
            weights = load_file(folder / "model.safetensors")
            codes = Codes(Subspace.from_state_dict(tensors), tensors["edges"], sizes.buckets)
            model = CodeModel(sizes)
            model.load_state_dict({name: value.float() for name, value in weights.items()})
        return cls(model.to(place).eval().requires_grad_(False), codes)

    def save(self, folder: Path) -> None:
        """Write a folder that `load` reads. Weights are stored in float16."""
        write_json(folder / "config.json", asdict(self.model.sizes), indent=1)
        weights = self.model.state_dict()
        halves = {name: value.half().contiguous() for name, value in weights.items()}
        with atomic_write(folder / "model.safetensors") as part:
            save_file(halves, part)
        codes = self.codes.subspace.state_dict() | {"edges": self.codes.edges}
        with atomic_write(folder / "codes.safetensors") as part:
            save_file(codes, part)

    def sample(
        self,
        cond: TextCondition,
        n: int,
        *,
        generator: Generators,
        guidance: float = 1.0,
        dots: tuple[float, float] = (0.5, 1.0),
    ) -> Float[Tensor, "k n d"]:
        """Draw n image embeddings for each of k conditions; not differentiable.

        generator: one for all embeddings, or one for each of k conditions, as in
            `Pipeline.sample_prior`.
        guidance: above 1, classifier-free guidance of the logits away from those without a caption,
            with the same token for the dot product.
        dots: interval of the training set's quantiles from which this token is drawn. The default
            is the upper half, as in the paper.

        Raises InputError unless n >= 1, guidance >= 1, generators number 1 or k, and `dots` is an
        interval in [0, 1], and for conditions with adapters, which belong to the diffusion prior.
        """
        whole("n", n, 1)
        within("guidance", guidance, *GUIDANCE_RANGE)
        for dot in listed("dots", dots):
            within("dots", dot, 0, 1)
        if len(dots) != 2 or dots[0] >= dots[1]:
            raise InputError(f"dots is {dots}; expected two numbers in [0, 1], the lower one first")
        if cond.adapters:
            raise InputError(
                "cond has adapters, which change the diffusion prior; expected a condition without"
            )
        k = len(cond.pooled)
        sizes = self.model.sizes
        # One number for the token of the dot product, then one for each code.
        chance = _uniform(generator, k, n, 1 + sizes.codes).to(cond.pooled.device).flatten(0, 1)
        low = round(dots[0] * sizes.dots)
        high = round(dots[1] * sizes.dots)
        dot = (low + chance[:, 0] * (max(high - low, 1))).long().clamp(max=sizes.dots - 1)
        owner = torch.arange(k * n, device=dot.device) // n
        draw_codes = partial(self._draw_codes, cond, guidance)
        with gpu_turn(dot.device):
            codes = in_batches(draw_codes, EMBEDDING_ROWS, owner, dot, chance[:, 1:])
        return self.codes.decode(codes).view(k, n, -1)

    def _draw_codes(
        self,
        cond: TextCondition,
        guidance: float,
        owner: Int[Tensor, " r"],
        dot: Int[Tensor, " r"],
        chance: Float[Tensor, "r c"],
    ) -> Int[Tensor, "r c"]:
        """Draw one code after the other; row i belongs to condition owner[i].

        The transformer keeps what it has read in its cache.
        """
        blocks = self.model.transformer_blocks
        r = len(dot)
        # With guidance, every row runs twice: with its caption, then without.
        copies = 2 if guidance > 1 else 1
        has_caption = torch.arange(copies * r, device=dot.device) < r
        inputs, mask, positions = self.model.prefix(
            _select(cond, owner.repeat(copies)), dot.repeat(copies), has_caption
        )
        codes = []
        cache = None
        for numbers in chance.T:
            output = blocks(
                inputs_embeds=inputs,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
            logits = self.model.head(output.last_hidden_state[:, -1])
            cache = output.past_key_values
            if guidance > 1:
                conditional, unconditional = logits.split(r)
                logits = unconditional + guidance * (conditional - unconditional)
            codes.append(pick(logits, numbers))
            inputs = blocks.wte(codes[-1].repeat(copies))[:, None]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            positions = positions[:, -1:] + 1
        return torch.stack(codes, 1)


def pick(logits: Float[Tensor, "r v"], chance: Float[Tensor, " r"]) -> Int[Tensor, " r"]:
    """Draw from the logits' distribution, given uniform numbers in [0, 1).

    Each row gets the first value whose cumulative probability exceeds its number.
    """
    cumulative = to_float64(logits).softmax(-1).cumsum(-1)
    drawn = torch.searchsorted(cumulative, to_float64(chance)[:, None], right=True)[:, 0]
    # Rounding may leave the last sum below 1.
    return drawn.clamp(max=logits.shape[-1] - 1).to(logits.device)


def _select(cond: TextCondition, index: Int[Tensor, " r"]) -> TextCondition:
    return TextCondition(cond.pooled[index], cond.tokens[index], cond.mask[index], cond.used)


def _uniform(generator: Generators, k: int, n: int, m: int) -> Float[Tensor, "k n m"]:
    if isinstance(generator, torch.Generator):
        return torch.rand(k, n, m, generator=generator, device=generator.device)
    if len(generator) != k:
        raise InputError(
            f"generator is a list of {len(generator)}; expected one generator, or one for each of "
            f"the {k} conditions"
        )
    return torch.stack([torch.rand(n, m, generator=own, device=own.device) for own in generator])
