"""The autoregressive prior of unCLIP, beside the diffusion prior (DALL-E 2, arXiv 2204.06125, section 2.2): an image embedding is drawn
number by number.

    prior = AutoregressivePrior.load()
    z = prior.sample(pipe.encode_text(["a photo of a pet"]), n=8, generator=g)
    pictures = pipe.decode(z, generator=g)

An embedding becomes codes: its principal components by falling variance, each rounded to one of a few values. A causal transformer
reads the caption, its embedding and how well the picture is to match it, and then predicts code after code. Sampling is a chain of
choices, so no gradient passes it: what is optimised through a prior needs the diffusion prior.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from ..density.base import Subspace
from ..density.moments import Moments
from ..errors import InputError, at_least
from ..models.location import verify
from ..models.names import MODELS
from ..models.networks import usable_device
from .conditions import TextCondition
from .prior import EMBEDDING_ROWS, Generators

SPAN = 4.0  # standard deviations: codes cover as many to either side of the mean
FILES = ("config.json", "model.safetensors", "codes.safetensors")


@dataclass(frozen=True)
class Sizes:
    """Of embeddings (`dim`), of the text encoder's hidden states (`text`) and texts (`length`, in tokens); how many codes an embedding
    has, the values of a code (`buckets`) and of the token for the dot product (`dots`); and the transformer's own."""

    dim: int
    text: int
    length: int
    codes: int
    buckets: int
    dots: int
    width: int
    layers: int
    heads: int


@dataclass(frozen=True, eq=False)
class Codes:
    """Image embeddings as whole numbers. `subspace` holds the principal components that are kept; `edges` are what separates the
    quantiles of the training set's dot products of unit image and text embeddings.

    Every component is cut into `buckets` of equal width over 4 standard deviations to either side of its mean. The paper does not say how
    it cut. Buckets of equal counts, the other natural way, lose several times as much of these light-tailed components, because theirs
    are widest where embeddings are rare.
    """

    subspace: Subspace
    edges: Float[Tensor, " q"]
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
        """To image embeddings and to dot products. `pca` is the share of the variance that the kept components explain, in (0, 1].

        Raises InputError for a share out of range, fewer than 2 buckets or dots, and fewer than 3 embeddings.
        """
        at_least("buckets", buckets, 2)
        at_least("dots", dots, 2)
        edges = torch.quantile(
            like.double(), torch.linspace(0, 1, dots + 1, dtype=torch.float64)[1:-1]
        )
        return cls(Subspace.fit(Moments.of(z), pca, residual=False), edges, buckets)

    def __len__(self) -> int:
        """Codes of an embedding."""
        return len(self.subspace.axes)

    def encode(self, z: Float[Tensor, "*b d"]) -> Int[Tensor, "*b c"]:
        """The codes of embeddings. Raises InputError for embeddings of another width than the fit's."""
        inside = self.subspace.project(z)
        deviations = inside / self.subspace.variances.sqrt().to(inside)
        return (
            ((deviations / SPAN + 1) / 2 * self.buckets).floor().clamp(0, self.buckets - 1).long()
        )

    def decode(self, codes: Int[Tensor, "*b c"]) -> Float[Tensor, "*b d"]:
        """Embeddings in float32 in the middle of their buckets."""
        deviations = (((codes.double() + 0.5) / self.buckets) * 2 - 1) * SPAN
        space = self.subspace
        inside = deviations * space.variances.sqrt().to(deviations)
        return (space.mean.to(inside) + inside @ space.axes.to(inside)).float()

    def dot(self, z: Float[Tensor, "b d"], pooled: Float[Tensor, "b d"]) -> Int[Tensor, " b"]:
        """The quantile in which the dot product of the unit embeddings of picture and text lies."""
        return torch.searchsorted(
            self.edges.to(z), cosine_similarity(z, pooled, dim=-1).contiguous()
        )


class CodeModel(nn.Module):
    """The causal transformer, GPT-2's blocks over: the caption's hidden states, its embedding, the token for the dot product, the codes.

    All components share one embedding of a code and one output layer, because a code means the same number of standard deviations in each;
    the position says which component it is. A caption that is dropped leaves its first token, which is the same in all captions, and a
    learned vector in its embedding's place. A code's position does not depend on the caption's length.
    """

    def __init__(self, sizes: Sizes) -> None:
        from transformers import GPT2Config, GPT2Model

        super().__init__()
        self.sizes = sizes
        # By this name `training.loop` knows the blocks' matrices, for Muon.
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
        self.transformer_blocks.set_attn_implementation(
            "eager"
        )  # this and GELU: the same values as by default, faster on a CPU
        self.tokens = nn.Linear(sizes.text, sizes.width)
        self.pooled = nn.Linear(sizes.dim, sizes.width)
        self.nothing = nn.Parameter(torch.zeros(sizes.width))
        self.dot = nn.Embedding(sizes.dots, sizes.width)
        self.head = nn.Linear(sizes.width, sizes.buckets)

    def prefix(
        self, cond: TextCondition, dot: Int[Tensor, " r"], told: Bool[Tensor, " r"]
    ) -> tuple[Float[Tensor, "r p w"], Bool[Tensor, "r p"], Int[Tensor, "1 p"]]:
        """What comes before the codes of r rows, which of it counts, and its positions; rows that are not `told` lose their caption."""
        used = int(cond.mask.any(0).sum())
        first = torch.arange(used, device=dot.device) == 0
        mask = cond.mask[:, :used] & (told[:, None] | first)
        said = torch.where(told[:, None], self.pooled(cond.pooled), self.nothing)
        rows = torch.cat(
            [self.tokens(cond.tokens[:, :used]), said[:, None], self.dot(dot)[:, None]], 1
        )
        places = torch.tensor(
            [[*range(used), self.sizes.length, self.sizes.length + 1]], device=dot.device
        )
        return rows, torch.cat([mask, mask.new_ones(len(mask), 2)], 1), places

    def forward(
        self,
        cond: TextCondition,
        dot: Int[Tensor, " r"],
        codes: Int[Tensor, "r c"],
        told: Bool[Tensor, " r"],
    ) -> Float[Tensor, "r c v"]:
        """Logits of every code, given the codes before it."""
        rows, mask, places = self.prefix(cond, dot, told)
        rows = torch.cat([rows, self.transformer_blocks.wte(codes[:, :-1])], 1)
        mask = torch.cat([mask, mask.new_ones(codes[:, :-1].shape)], 1)
        places = torch.cat(
            [places, places[:, -1:] + torch.arange(1, codes.shape[1], device=dot.device)], 1
        )
        seen = self.transformer_blocks(
            inputs_embeds=rows, attention_mask=mask, position_ids=places, use_cache=False
        ).last_hidden_state
        return self.head(seen[:, -codes.shape[1] :])


@dataclass(frozen=True, eq=False)
class AutoregressivePrior:
    """A trained `CodeModel` with the codes it reads."""

    model: Any
    codes: Codes

    @classmethod
    def load(
        cls, name_or_path: str | Path = "menagerie", device: str | torch.device = "cpu"
    ) -> "AutoregressivePrior":
        """The bundled prior by name, or a folder that `save` wrote.

        Raises InputError for an unknown device, damaged bundled files, and a folder without the three files.
        """
        folder, bundled = Path(name_or_path), MODELS["menagerie"].folder
        if str(name_or_path) == "menagerie" and bundled is not None:
            verify(bundled)
            folder = bundled / "autoregressive"
        if not all((folder / file).is_file() for file in FILES):
            raise InputError(
                f"prior is {str(name_or_path)!r}; expected 'menagerie' and a folder with {', '.join(FILES)}"
            )
        sizes = Sizes(**json.loads((folder / "config.json").read_text()))
        model = CodeModel(sizes)
        tensors = load_file(folder / "codes.safetensors")
        model.load_state_dict(
            {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
        )
        return cls(
            model.to(usable_device(device)).eval().requires_grad_(False),
            Codes(Subspace.from_state_dict(tensors), tensors["edges"], sizes.buckets),
        )

    def save(self, folder: Path) -> None:
        """Write a folder that `load` reads, the weights in float16."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(asdict(self.model.sizes), indent=1) + "\n")
        save_file(
            {name: value.half().contiguous() for name, value in self.model.state_dict().items()},
            folder / "model.safetensors",
        )
        save_file(
            self.codes.subspace.state_dict() | {"edges": self.codes.edges},
            folder / "codes.safetensors",
        )

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

        The token for the dot product is drawn from a part of the training set's quantiles, as in the paper from the upper half. Guidance
        above 1 is classifier-free guidance of the logits away from no caption, under the same dot product. Generators as in
        `Pipeline.sample_prior`. Raises InputError unless n >= 1, generators number 1 or k, and `dots` is an interval in [0, 1], and for
        conditions that are told through adapters of the diffusion prior.
        """
        at_least("n", n, 1)
        if not 0 <= dots[0] < dots[1] <= 1:
            raise InputError(f"dots is {dots}; expected two numbers in [0, 1], the lower one first")
        if cond.adapters:
            raise InputError(
                "cond has adapters, which change the diffusion prior; expected a condition without"
            )
        k = len(cond.pooled)
        sizes = self.model.sizes
        chance = _uniform(generator, k, n, 1 + sizes.codes).to(cond.pooled.device).flatten(0, 1)
        low, high = (round(share * sizes.dots) for share in dots)
        dot = (low + chance[:, 0] * (max(high - low, 1))).long().clamp(max=sizes.dots - 1)
        owner = torch.arange(k * n, device=dot.device) // n
        parts = zip(
            *(part.split(EMBEDDING_ROWS) for part in (owner, dot, chance[:, 1:])), strict=True
        )
        codes = [self._draw(_rows(cond, own), which, luck, guidance) for own, which, luck in parts]
        return self.codes.decode(torch.cat(codes)).view(k, n, -1)

    def _draw(
        self,
        cond: TextCondition,
        dot: Int[Tensor, " r"],
        chance: Float[Tensor, "r c"],
        guidance: float,
    ) -> Int[Tensor, "r c"]:
        """One code after the other; what the transformer has read stays in its cache."""
        blocks = self.model.transformer_blocks
        r = len(dot)
        copies = 2 if guidance > 1 else 1
        both = torch.arange(r, device=dot.device).repeat(copies)
        told = torch.arange(copies * r, device=dot.device) < r
        rows, mask, places = self.model.prefix(_rows(cond, both), dot[both], told)
        codes = []
        cache = None
        for luck in chance.T:
            seen = blocks(
                inputs_embeds=rows,
                attention_mask=mask,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
            )
            logits = self.model.head(seen.last_hidden_state[:, -1])
            cache = seen.past_key_values
            if guidance > 1:
                given, free = logits.split(r)
                logits = free + guidance * (given - free)
            codes.append(pick(logits, luck))
            rows = blocks.wte(codes[-1].repeat(copies))[:, None]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            places = places[:, -1:] + 1
        return torch.stack(codes, 1)


def pick(logits: Float[Tensor, "r v"], chance: Float[Tensor, " r"]) -> Int[Tensor, " r"]:
    """Draw from the logits' distribution, given numbers in [0, 1): the first value up to which as much probability lies."""
    upto = logits.double().softmax(-1).cumsum(-1)
    return torch.searchsorted(upto, chance.double()[:, None], right=True)[:, 0].clamp(
        max=logits.shape[-1] - 1
    )


def _rows(cond: TextCondition, index: Int[Tensor, " r"]) -> TextCondition:
    return TextCondition(cond.pooled[index], cond.tokens[index], cond.mask[index], cond.used)


def _uniform(generator: Generators, k: int, n: int, m: int) -> Float[Tensor, "k n m"]:
    if isinstance(generator, torch.Generator):
        return torch.rand(k, n, m, generator=generator, device=generator.device)
    if len(generator) != k:
        raise InputError(
            f"generator is a list of {len(generator)}; expected one generator, or one for each of the {k} conditions"
        )
    return torch.stack([torch.rand(n, m, generator=own, device=own.device) for own in generator])
