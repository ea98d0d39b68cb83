"""Public functions refuse what readers hand them by mistake, before any work."""

import pytest
import torch

from creativelib.concept import EmbeddingConcept, LoraConcept, TokenConcept, init
from creativelib.conceptlab.constraints import Positive, TextEmbeddings, calibrate
from creativelib.conceptlab.evolution import MixConfig, mix
from creativelib.conceptlab.learning import iter_learn
from creativelib.conceptlab.settings import LearnConfig
from creativelib.conceptlab.settling import settle
from creativelib.conceptlab.spaces import CollectedImages
from creativelib.density import FlowDensity, GaussianDensity, MixtureDensity
from creativelib.errors import InputError
from creativelib.evaluation.baselines import negative_prompt, prompt_only, random_mix
from creativelib.evaluation.methods import evaluate
from creativelib.metrics.diversity import vendi
from creativelib.metrics.intervals import bootstrap
from creativelib.metrics.novelty import nearest_distance
from creativelib.metrics.realism import fidelity
from creativelib.metrics.table import compare
from creativelib.notebook.plots import grid
from creativelib.notebook.session import setup
from creativelib.notebook.widgets import FrameSlider
from creativelib.optimization.loop import optimize
from creativelib.optimization.objectives import Anchor, Direction, Rarity, Similarity
from creativelib.seeds import seeded
from creativelib.steering.guidance import guide_prior, split_prior
from creativelib.steering.inversion import textual_inversion
from creativelib.steering.recipe import iter_steer, steer
from creativelib.steering.settings import SteerConfig
from creativelib.steering.target import rarity_target
from creativelib.study.power import sample_size
from creativelib.study.statistics import compare_methods
from creativelib.vision.vqa import ZeroShotVqa
from creativelib.world import CATEGORIES
from creativelib.world.captions import parse
from creativelib.world.scenes import sample_scenes
from creativelib.world.sheet import species, wild

NAN = float("nan")
INF = float("inf")
SHORT = ("a photo of a {}",)


@pytest.fixture(scope="module")
def density():
    return GaussianDensity.fit(torch.randn(60, 16, generator=seeded(0)))


def rows(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=seeded(1))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        # numbers
        (lambda p, d: p.sample_prior(p.encode_text(["a"]), 10**9, noise=seeded(0)), "n is 10"),
        (lambda p, d: p.decode(rows(1, 1, 16), generator=seeded(0), guidance=0.5), "guidance is"),
        (lambda p, d: p.decode(rows(1, 1, 16), generator=seeded(0), guidance=NAN), "guidance is"),
        (lambda p, d: p.decode(rows(1, 1, 16), generator=seeded(0), steps=10**6), "steps is"),
        (lambda p, d: p.decode(rows(1, 1, 16), generator=seeded(0), eta=NAN), "eta is nan"),
        (lambda p, d: TokenConcept.init(p, "pet", 10**6, seeded(0)), "k is 1000000"),
        (lambda p, d: LoraConcept.init(p, "pet", 1, seeded(0), rank=0), "rank is 0"),
        (lambda p, d: steer(p, "pet", seed=-1), "seed is -1"),
        (lambda p, d: steer(p, "pet", seed=2**64), "seed is"),
        (lambda p, d: iter_steer(p, "pet", d, seed=2**63), "seed is"),
        (lambda p, d: iter_learn(p, "pet", seed=2**63), "seed is"),
        (lambda p, d: mix(p, "pet", rows(1, 2, 1, 16), seed=-1), "seed is"),
        (lambda p, d: textual_inversion(p, "pet", rows(1, 3, 8, 8), seed=-1), "seed is"),
        (lambda p, d: mix(p, "pet", rows(1, 2, 1, 16), weights=[NAN, 1.0]), "weights is nan"),
        (lambda p, d: mix(p, "pet", rows(1, 2, 1, 16), weights=[INF, 1.0]), "weights is inf"),
        (lambda p, d: Similarity(rows(1, 2, 4), torch.tensor([0.5, 0.6])), "sum to 1"),
        (lambda p, d: Similarity(rows(1, 2, 4), torch.tensor([1.5, -0.5])), "sum to 1"),
        (lambda p, d: Positive(rows(2, 4), weights=torch.tensor([NAN, 1.0])), "sum to 1"),
        (lambda p, d: optimize(p, TokenConcept.init(p, "pet"), Rarity(d), seed=-1), "seed is"),
        (lambda p, d: optimize(p, TokenConcept.init(p, "pet"), Rarity(d), lr=NAN), "lr is nan"),
        (lambda p, d: optimize(p, TokenConcept.init(p, "pet"), Rarity(d), lr=INF), "lr is inf"),
        (lambda p, d: Rarity(d, NAN), "target is nan"),
        (lambda p, d: Anchor(p, "a pet", NAN), "floor is nan"),
        (lambda p, d: rarity_target(d, NAN), "dial is nan"),
        (
            lambda p, d: guide_prior(p, p.encode_text(["a"]), 1, d, NAN, generator=seeded(0)),
            "target is nan",
        ),
        (
            lambda p, d: split_prior(p, p.encode_text(["a"]), 0, d, 1.0, generator=seeded(0)),
            "n is 0",
        ),
        (lambda p, d: prompt_only(p, "pet", 0, generator=seeded(0)), "n is 0"),
        (lambda p, d: prompt_only(p, "pet", 1, generator=seeded(0), temperature=INF), "inf"),
        (
            lambda p, d: negative_prompt(p, "pet", ["cat"], 1, generator=seeded(0), guidance=1.0),
            "guidance is 1.0",
        ),
        (lambda p, d: evaluate("plain", "pet", seeds=10**9), "seeds is"),
        (lambda p, d: FlowDensity.fit(rows(60, 4), steps=0), "steps is 0"),
        (lambda p, d: FlowDensity.fit(rows(60, 4), seed=2**63), "seed is"),
        (lambda p, d: MixtureDensity.fit(rows(60, 4), seed=-1), "seed is"),
        (lambda p, d: GaussianDensity.fit(rows(60, 4), pca=NAN), "pca is nan"),
        (lambda p, d: d.quantile(NAN), "share is nan"),
        (lambda p, d: vendi(rows(5, 4), -INF), "q is -inf"),
        (lambda p, d: bootstrap(rows(5), draws=0), "draws is 0"),
        (lambda p, d: nearest_distance(rows(5, 4), rows(5, 4), 0), "k is 0"),
        (lambda p, d: fidelity(rows(5, 4), rows(5, 4), 0), "k is 0"),
        (
            lambda p, d: sample_size(NAN, between=1.0, within=1.0, pictures=2, generator=seeded(0)),
            "difference is nan",
        ),
        (lambda p, d: sample_scenes(0), "n is 0"),
        (lambda p, d: sample_scenes(4, wild=NAN), "wild is nan"),
        (lambda p, d: wild("pet", count=10**9), "number of pictures is"),
        (lambda p, d: species("pet", size=0), "size is 0"),
        (lambda p, d: grid(rows(2, 3, 4, 4), columns=0), "columns is 0"),
        (lambda p, d: grid(rows(0, 3, 4, 4)), "number of pictures is 0"),
        (lambda p, d: FrameSlider(rows(2, 3, 4, 4), ["a", "b"], "alt", width=0), "width is 0"),
        (lambda p, d: setup(2**64), "seed is"),
        # lists
        (lambda p, d: p.token_ids("cat"), "texts is 'cat'; expected a list"),
        (lambda p, d: p.encode_text("cat"), "prompts is 'cat'; expected a list"),
        (lambda p, d: TextEmbeddings(p)("a {}", "cat"), "words is 'cat'; expected a list"),
        (lambda p, d: CollectedImages(p)("a {}", "cat"), "words is 'cat'; expected a list"),
        (lambda p, d: Direction.of_words(d, p, "cat", than="a"), "prompts is 'cat'; expected"),
        (lambda p, d: ZeroShotVqa(p, "cat").ask(rows(1, 3, 8, 8), "what?"), "words is 'cat'"),
        (lambda p, d: iter_learn(p, "pet", "cat"), "negatives is 'cat'; expected a list"),
        (lambda p, d: iter_learn(p, "pet", positives="cat"), "positives is 'cat'; expected"),
        (lambda p, d: iter_learn(p, "pet", ["cat", "cat"]), "negatives is .* not 'cat' twice"),
        (lambda p, d: iter_learn(p, "pet", ["Pet"]), "negatives is .* other than 'Pet'"),
        (lambda p, d: iter_learn(p, "pet", [" "]), "negatives is ' '"),
        (lambda p, d: negative_prompt(p, "pet", "cat", 1, generator=seeded(0)), "negatives is"),
        (lambda p, d: random_mix(p, "cat", 1, generator=seeded(0)), "members is 'cat'"),
        (lambda p, d: settle(p, "pet", TokenConcept.init(p, "pet"), ["cat"]), "words is 'cat'"),
        (lambda p, d: settle(p, "pet", TokenConcept.init(p, "pet"), []), "negatives holds 0"),
        (lambda p, d: compare_methods(rows(3, 2), "ab"), "methods is 'ab'; expected a list"),
        (lambda p, d: compare([], metrics="valid"), "metrics is 'valid'; expected a list"),
        (lambda p, d: FrameSlider(rows(2, 3, 4, 4), "ab", "alt"), "labels is 'ab'"),
        # texts and names
        (lambda p, d: steer(p, "pet", d, template="a pet"), "template is 'a pet'"),
        (lambda p, d: steer(p, " ", d), "word is ' '"),
        (lambda p, d: calibrate(p, "pet", "a {0}", generator=seeded(0)), r"template is 'a \{0\}'"),
        (lambda p, d: EmbeddingConcept.init(p, "pet", 1, seeded(0), "{} {}"), "template is"),
        (lambda p, d: init(p, "featur", "pet"), "did you mean 'feature'"),
        (lambda p, d: p.encode_text(["x" * 20_000]), "at most 10000 characters"),
        (lambda p, d: evaluate("plian", "pet"), "did you mean 'plain'"),
        (lambda p, d: evaluate("plain", "pett"), "did you mean 'pet'"),
        (lambda p, d: sample_scenes(1, category="pett"), "did you mean 'pet'"),
        (lambda p, d: parse("\0", CATEGORIES), "names nothing"),
    ],
)
def test_bad_input_is_refused(pipe, density, call, words):
    with pytest.raises(InputError, match=words):
        call(pipe, density)


def test_braces_in_words_and_templates_are_no_places(pipe, density):
    """`str.format` would raise KeyError."""
    short = {"kind": "subject", "concepts": 1, "samples": 1, "steps": 1}
    config = SteerConfig(**short, baseline_samples=20)
    assert steer(pipe, "pet", density, config, template="{a} {}").concept.word == "pet"
    learned = LearnConfig(**short, templates=("{a} {}",))
    states = iter_learn(pipe, "pet", ["{a}"], learned)
    assert next(states).negatives == (("{a}",),)
    braces = TextEmbeddings(pipe)("a {x} {}", ["{cat}"])
    assert torch.allclose(braces.norm(dim=-1), torch.ones(1))


def test_large_seeds_give_runs_of_their_own(pipe, density):
    config = SteerConfig(concepts=1, samples=1, steps=1, baseline_samples=20)
    drawn = [
        next(iter_steer(pipe, "pet", density, config, seed=seed)).step.z
        for seed in (0, 2**29, 2**32, 2**40, 2**63 - 1)
    ]
    assert all(not torch.equal(one, drawn[0]) for one in drawn[1:])
    short = MixConfig(each=1, samples=1, steps=1, templates=SHORT)
    parents = rows(1, 2, 1, 16)
    one, other = (mix(pipe, "pet", parents, config=short, seed=seed) for seed in (0, 2**40))
    assert any(not torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    fitted = [MixtureDensity.fit(rows(60, 4), k=1, seed=seed) for seed in (0, 2**40)]
    assert all(len(each.fit_surprisal) == 60 for each in fitted)
