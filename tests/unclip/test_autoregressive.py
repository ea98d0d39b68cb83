"""The autoregressive prior: its codes, its transformer, and what the bundled one has learned.

Codes keep embeddings, and the transformer never looks ahead.
"""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cosine_similarity

from creativelib.errors import InputError
from creativelib.models.names import MODELS
from creativelib.unclip.autoregressive import (
    FILES,
    SPAN,
    AutoregressivePrior,
    CodeModel,
    Codes,
    Sizes,
    pick,
)
from creativelib.unclip.conditions import Adapters
from creativelib.world.scenes import draw, sample_scenes

PROMPTS = ["a photo of a pet", "a red plant with long ears"]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def samples(n, d=16, seed=0):
    """Draw embeddings around a mean that is not 0, with a falling variance of directions."""
    scales = torch.linspace(2, 0.2, d)[:, None]
    mixing = torch.randn(d, d, generator=seeded(1)) * scales
    return torch.randn(n, d, generator=seeded(seed)) @ mixing + 1


def fitted(**options):
    return Codes.fit(samples(800), torch.rand(800, generator=seeded(2)), **options)


@pytest.fixture(scope="module")
def prior():
    """Make a random prior for the tiny stack.

    Its weights are larger than a fresh network's, so that its output depends on its inputs.
    """
    codes = fitted(pca=0.9, buckets=8, dots=6)
    torch.manual_seed(0)
    model = CodeModel(
        Sizes(
            dim=16,
            text=16,
            length=16,
            codes=len(codes),
            buckets=8,
            dots=6,
            width=16,
            layers=2,
            heads=2,
        )
    )
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.4)
    return AutoregressivePrior(model.eval().requires_grad_(False), codes)


@given(share=st.floats(0.5, 1.0), seed=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_codes_keep_embeddings_to_half_a_bucket(share, seed):
    codes = fitted(pca=share, buckets=32)
    z = samples(20, seed=seed)
    deviation = codes.subspace.variances.sqrt()
    before = codes.subspace.project(z)
    after = codes.subspace.project(codes.decode(codes.encode(z)))
    covered = before.abs() < SPAN * deviation
    assert ((after - before).abs() <= SPAN / 32 * deviation + 1e-5)[covered].all()
    assert torch.equal(codes.encode(codes.decode(codes.encode(z))), codes.encode(z))


def test_more_buckets_and_more_components_lose_less():
    z = samples(200, seed=5)
    by_buckets, by_share = (
        [(codes.decode(codes.encode(z)) - z).square().mean().item() for codes in tried]
        for tried in (
            [fitted(pca=1.0, buckets=2**i) for i in range(1, 8)],
            [fitted(pca=share, buckets=256) for share in (0.5, 0.8, 0.95, 1.0)],
        )
    )
    assert by_buckets == sorted(by_buckets, reverse=True)
    assert by_share == sorted(by_share, reverse=True)


def test_components_come_by_falling_variance():
    codes = fitted(pca=1.0)
    variances = codes.subspace.variances
    assert torch.equal(variances, variances.sort(descending=True).values)
    assert codes.encode(samples(10)).min() >= 0
    assert codes.encode(1e3 * samples(10)).max() == codes.buckets - 1


def test_dot_products_fall_into_their_quantiles():
    like = torch.linspace(-1, 1, 801)
    codes = Codes.fit(samples(800), like, dots=4)
    angles = torch.acos(torch.tensor([-0.99, -0.3, 0.3, 0.99]))
    text = torch.stack([angles.cos(), angles.sin()], 1)
    assert codes.dot(5 * torch.tensor([[1.0, 0.0]]).expand(4, 2), text).tolist() == [0, 1, 2, 3]


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_pick_draws_as_often_as_the_logits_say(seed):
    logits = torch.randn(5, generator=seeded(seed))
    drawn = pick(logits.expand(20_000, 5), (torch.arange(20_000) + 0.5) / 20_000)
    torch.testing.assert_close(
        drawn.bincount(minlength=5) / 20_000, logits.softmax(0), atol=1e-3, rtol=0
    )
    assert pick(logits[None], torch.tensor([1 - 1e-7])).item() < 5


def read(prior, cond, codes, dot=(0, 0), has_caption=(True, True)):
    """Compute the logits of all codes."""
    return prior.model(cond, torch.tensor(dot), codes, torch.tensor(has_caption))


def test_no_code_sees_a_later_one(prior, pipe):
    cond = pipe.encode_text(PROMPTS)
    c = len(prior.codes)
    codes = torch.randint(8, (2, c), generator=seeded(3))
    logits = read(prior, cond, codes)
    assert logits.shape == (2, c, 8)
    for i in range(c):
        changed = codes.clone()
        changed[:, i] = (codes[:, i] + 1) % 8
        other = read(prior, cond, changed)
        torch.testing.assert_close(other[:, : i + 1], logits[:, : i + 1])
        assert i + 1 == c or not torch.allclose(other[:, i + 1 :], logits[:, i + 1 :], atol=1e-3)


def test_caption_and_dot_product_are_read_and_padding_is_not(prior, pipe):
    cond = pipe.encode_text(PROMPTS)
    codes = torch.randint(8, (1, len(prior.codes)), generator=seeded(3)).expand(2, -1)
    logits = read(prior, cond, codes)
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)
    assert not torch.allclose(read(prior, cond, codes, dot=(5, 5)), logits, atol=1e-3)
    alone = read(prior, pipe.encode_text(PROMPTS[:1]), codes[:1], dot=(0,), has_caption=(True,))
    torch.testing.assert_close(alone, logits[:1], atol=1e-4, rtol=1e-4)
    dropped = read(prior, cond, codes, has_caption=(False, False))
    torch.testing.assert_close(dropped[0], dropped[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_the_cache_changes_nothing(prior, pipe, guidance):
    cond = pipe.encode_text(PROMPTS)
    c = len(prior.codes)
    chance = torch.rand(2, 3, 1 + c, generator=seeded(4)).flatten(0, 1)
    both = replace(
        cond,
        pooled=cond.pooled.repeat_interleave(3, 0),
        tokens=cond.tokens.repeat_interleave(3, 0),
        mask=cond.mask.repeat_interleave(3, 0),
    )
    dot = (3 + chance[:, 0] * 3).long()
    codes = torch.zeros(6, c, dtype=torch.long)
    for i in range(c):
        given, free = (
            prior.model(both, dot, codes, torch.full((6,), has_caption))[:, i]
            for has_caption in (True, False)
        )
        codes[:, i] = pick(free + guidance * (given - free), chance[:, 1 + i])
    found = prior.sample(cond, 3, generator=seeded(4), guidance=guidance)
    torch.testing.assert_close(found, prior.codes.decode(codes).view(2, 3, -1))


def test_samples_follow_the_generators_and_the_guidance(prior, pipe, monkeypatch):
    cond = pipe.encode_text(PROMPTS)
    z = prior.sample(cond, 3, generator=seeded(1))
    assert z.shape == (2, 3, 16) and z.dtype == torch.float32
    assert torch.equal(prior.sample(cond, 3, generator=seeded(1), guidance=1.0), z)
    assert not torch.equal(prior.sample(cond, 3, generator=seeded(2)), z)
    assert not torch.equal(prior.sample(cond, 3, generator=seeded(1), guidance=3.0), z)
    together = prior.sample(cond, 3, generator=[seeded(1), seeded(2)])
    torch.testing.assert_close(
        together[1:], prior.sample(pipe.encode_text(PROMPTS[1:]), 3, generator=[seeded(2)])
    )
    monkeypatch.setattr("creativelib.unclip.autoregressive.EMBEDDING_ROWS", 2)
    torch.testing.assert_close(prior.sample(cond, 3, generator=seeded(1)), z)


def test_a_saved_prior_draws_the_same(prior, pipe, tmp_path):
    rounded = replace(prior, model=prior.model.half().float())
    rounded.save(tmp_path / "prior")
    again = AutoregressivePrior.load(tmp_path / "prior")
    cond = pipe.encode_text(PROMPTS)
    assert torch.equal(
        again.sample(cond, 4, generator=seeded(0)), rounded.sample(cond, 4, generator=seeded(0))
    )
    assert again.model.sizes == prior.model.sizes
    assert not any(p.requires_grad for p in again.model.parameters())


@pytest.fixture(scope="module")
def bundled():
    return AutoregressivePrior.load()


def test_bundled_files_are_small_and_keep_nearly_all_of_an_embedding(bundled, menagerie):
    folder = MODELS["menagerie"].folder / "autoregressive"
    assert {f.name for f in folder.iterdir()} == set(FILES)
    assert sum(f.stat().st_size for f in folder.iterdir()) <= 3 * 2**20
    with torch.no_grad():
        z = menagerie.encode_images(draw(sample_scenes(32, seeded(7))))
    assert cosine_similarity(bundled.codes.decode(bundled.codes.encode(z)), z, dim=-1).mean() > 0.99


def test_bundled_samples_are_of_their_prompts(bundled, menagerie):
    cond = menagerie.encode_text(["a photo of a cat", "a neon sign of a castle", "a banana"])
    with torch.no_grad():
        z = bundled.sample(cond, 16, generator=seeded(0))
    like = cosine_similarity(z[:, :, None], cond.pooled, dim=-1).mean(1)
    assert torch.equal(like.argmax(1), torch.arange(3))


def test_bundled_guidance_and_the_upper_half_raise_the_dot_product(bundled, menagerie):
    cond = menagerie.encode_text(["a photo of a pet", "a pencil sketch of a chair"])
    with torch.no_grad():
        draws = [
            bundled.sample(cond, 48, generator=seeded(0), dots=dots, guidance=guidance)
            for dots, guidance in (((0.0, 0.5), 1.0), ((0.5, 1.0), 1.0), ((0.5, 1.0), 2.0))
        ]
        low, high, guided = (
            cosine_similarity(z, cond.pooled[:, None], dim=-1).mean() for z in draws
        )
    assert low < high < guided


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda prior, cond: prior.sample(cond, 0, generator=seeded(0)), "n is 0"),
        (
            lambda prior, cond: prior.sample(cond, 1, generator=[seeded(0)]),
            "generator is a list of 1; .* each of the 2 conditions",
        ),
        (
            lambda prior, cond: prior.sample(cond, 1, generator=seeded(0), dots=(0.5, 0.5)),
            r"dots is \(0.5, 0.5\)",
        ),
        (
            lambda prior, cond: prior.sample(cond, 1, generator=seeded(0), dots=(0.5, 1.5)),
            "dots is",
        ),
        (
            lambda prior, cond: prior.sample(
                replace(cond, adapters=Adapters(None, (), {})), 1, generator=seeded(0)
            ),
            "cond has adapters",
        ),
        (lambda prior, cond: prior.codes.encode(torch.zeros(2, 5)), "z has width 5; expected 16"),
        (lambda prior, cond: fitted(buckets=1), "buckets is 1"),
        (lambda prior, cond: fitted(dots=1), "dots is 1"),
        (lambda prior, cond: fitted(pca=0.0), "pca is 0.0"),
        (
            lambda prior, cond: AutoregressivePrior.load("nowhere"),
            "prior is 'nowhere'; expected 'menagerie' and a folder with config.json",
        ),
    ],
)
def test_bad_input(prior, pipe, call, words):
    with pytest.raises(InputError, match=words):
        call(prior, pipe.encode_text(PROMPTS))


def test_a_folder_of_something_else_is_refused(prior, tmp_path):
    prior.save(tmp_path)
    (tmp_path / "codes.safetensors").unlink()
    with pytest.raises(InputError, match="codes.safetensors"):
        AutoregressivePrior.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("config.json", "[]", "holds a list"),
        ("config.json", "{}", "holds {}; expected whole numbers from 1 to 4096 for dim, text"),
        ("config.json", None, "expected whole numbers from 1 to 4096"),
        ("model.safetensors", "weights", "prior .* cannot be loaded"),
        ("codes.safetensors", "weights", "prior .* cannot be loaded"),
    ],
)
def test_damaged_files_are_named(prior, tmp_path, name, text, words):
    prior.save(tmp_path)
    if text is None:
        sizes = json.loads((tmp_path / name).read_text())
        text = json.dumps(sizes | {"layers": 10**9})
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words):
        AutoregressivePrior.load(tmp_path)
