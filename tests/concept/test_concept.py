"""Concepts of every kind: what they change in the text or the prior, and saving and loading."""

import copy
from dataclasses import replace

import pytest
import torch

from creativelib.concept import KINDS, EmbeddingConcept, LoraConcept, TokenConcept, init, load
from creativelib.errors import InputError
from creativelib.unclip.prior import PriorSampling


def test_a_fresh_concept_is_its_word(pipe):
    for word, prompt in [
        ("pet", "a photo of a pet"),
        ("musical instrument", "a photo of a musical instrument"),
    ]:
        cond = TokenConcept.init(pipe, word).condition(pipe, "a photo of a {}")
        plain = pipe.encode_text([prompt])
        assert torch.allclose(cond.pooled, plain.pooled, atol=1e-5)
        assert torch.allclose(cond.tokens, plain.tokens, atol=1e-5)
        assert torch.equal(cond.mask, plain.mask)


def test_only_the_last_word_is_replaced(pipe):
    """Attention is causal, so tokens before the replaced one do not see it."""
    concept = TokenConcept(
        "musical instrument", torch.randn(1, 16, generator=torch.Generator().manual_seed(0)), 1.0
    )
    cond = concept.condition(pipe, "a {} with long ears")
    plain = pipe.encode_text(["a musical instrument with long ears"])
    same = torch.isclose(cond.tokens, plain.tokens, atol=1e-5).all(-1)[0]
    # The start, a, musical; the concept.
    assert same.tolist()[:4] == [True, True, True, False]


def test_a_feature_stands_behind_its_subject(pipe):
    """All tokens up to "with" are as in the plain text; the concept and the end are not."""
    concept = TokenConcept(
        "pet", torch.randn(1, 16, generator=torch.Generator().manual_seed(0)), 1.0, kind="feature"
    )
    cond = concept.condition(pipe, "a photo of a {}")
    plain = pipe.encode_text(["a photo of a pet with pet"])
    same = torch.isclose(cond.tokens, plain.tokens, atol=1e-5).all(-1)[0]
    # The start, a, photo, of, a, pet, with; the concept, the end.
    assert same.tolist()[:9] == [True] * 7 + [False] * 2
    fresh = TokenConcept.init(pipe, "pet", kind="feature").condition(pipe, "a photo of a {}")
    assert torch.allclose(fresh.pooled, plain.pooled, atol=1e-5)


def test_the_vector_of_another_word_makes_that_word(pipe):
    cat = TokenConcept("pet", TokenConcept.init(pipe, "cat").vectors, 1.0)
    plain = pipe.encode_text(["a photo of a cat"])
    assert torch.allclose(cat.condition(pipe, "a photo of a {}").pooled, plain.pooled, atol=1e-5)


def test_pooling_stays_at_the_end_of_the_text(pipe):
    """The last token's state is pooled for any vector."""
    concept = TokenConcept(
        "pet", torch.randn(3, 16, generator=torch.Generator().manual_seed(1)) * 50, 1.0
    )
    cond = concept.condition(pipe, "a photo of a {} with long ears")
    end = int(cond.mask[0].sum()) - 1
    assert torch.allclose(
        cond.pooled, pipe.text_encoder.text_projection(cond.tokens[:, end]), atol=1e-4
    )


def test_nothing_of_the_model_changes(pipe):
    before = pipe.encode_text(["a photo of a pet"]).pooled
    TokenConcept("pet", torch.ones(1, 16), 1.0).condition(pipe, "a {}")
    assert torch.equal(pipe.encode_text(["a photo of a pet"]).pooled, before)


def test_starts_differ_by_seed_and_little(pipe):
    def start(seed):
        return TokenConcept.init(
            pipe, "pet", k=4, generator=torch.Generator().manual_seed(seed)
        ).vectors

    assert torch.equal(start(0), start(0)) and not torch.equal(start(0), start(1))
    assert torch.equal(start(0)[0], start(1)[0])
    assert 0 < (start(0)[1:] - start(0)[0]).abs().max() < 0.3 * TokenConcept.init(pipe, "pet").scale


@pytest.mark.parametrize("kind", ["subject", "feature"])
def test_save_and_load(pipe, tmp_path, kind):
    concept = TokenConcept.init(
        pipe, "musical instrument", k=2, generator=torch.Generator().manual_seed(0), kind=kind
    )
    concept.save(tmp_path)
    again = TokenConcept.load(tmp_path)
    assert (again.word, again.scale, again.kind) == (concept.word, concept.scale, kind)
    assert torch.equal(again.vectors, concept.vectors)
    with pytest.raises(InputError, match="holds no concept"):
        TokenConcept.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda pipe: TokenConcept.init(pipe, "pet", k=0), "k is 0"),
        (lambda pipe: TokenConcept.init(pipe, "pet", k=2), "generator is None"),
        (lambda pipe: TokenConcept.init(pipe, "pet", kind="verb"), "kind is 'verb'"),
        (lambda pipe: TokenConcept.init(pipe, "gryphon"), "'gryphon'.*exactly one token"),
        (lambda pipe: TokenConcept.init(pipe, " "), "word is ' '"),
        (lambda pipe: TokenConcept.init(pipe, "pet").condition(pipe, "a photo"), "exactly one"),
        (lambda pipe: TokenConcept.init(pipe, "pet").condition(pipe, "a {} or {}"), "exactly one"),
        (lambda pipe: TokenConcept.init(pipe, "pet").condition(pipe, "a car{}"), "separate word"),
        (lambda pipe: TokenConcept.init(pipe, "pet").condition(pipe, "{}s"), "separate word"),
    ],
)
def test_bad_input(pipe, call, words):
    with pytest.raises(InputError, match=words):
        call(pipe)


def test_an_adjective_stands_before_the_whole_word(pipe):
    concept = TokenConcept("musical instrument", torch.zeros(1, 16), 1.0, kind="adjective")
    cond = concept.condition(pipe, "a photo of a {}")
    plain = pipe.encode_text(["a photo of a instrument musical instrument"])
    same = torch.isclose(cond.tokens, plain.tokens, atol=1e-5).all(-1)[0]
    # The start, a, photo, of, a; the concept, musical, instrument.
    assert same.tolist()[:8] == [True] * 5 + [False] * 3
    red = TokenConcept("pet", TokenConcept.init(pipe, "red").vectors, 1.0, kind="adjective")
    assert torch.allclose(
        red.condition(pipe, "a photo of a {}").pooled,
        pipe.encode_text(["a photo of a red pet"]).pooled,
        atol=1e-5,
    )


def test_fresh_adapters_change_nothing(pipe):
    concept = LoraConcept.init(pipe, "pet", k=2, generator=torch.Generator().manual_seed(0), rank=3)
    seeds = [torch.Generator().manual_seed(i) for i in (1, 2)]
    z = concept.sample(
        pipe, "a photo of a {}", 3, noise=seeds, sampling=PriorSampling(guidance=2.0)
    )
    seeds = [torch.Generator().manual_seed(i) for i in (1, 2)]
    plain = pipe.sample_prior(
        pipe.encode_text(["a photo of a pet"] * 2),
        3,
        noise=seeds,
        sampling=PriorSampling(guidance=2.0),
    )
    assert torch.allclose(z, plain, atol=1e-5)
    assert {
        tuple(value.shape[:2]) for name, value in concept.tensors.items() if name.endswith("down")
    } == {(2, 3)}


def test_adapters_equal_changed_weights(pipe):
    """An adapter equals weights W + up @ down."""
    concept = LoraConcept.init(pipe, "pet", k=1, generator=torch.Generator().manual_seed(0), rank=2)
    generator = torch.Generator().manual_seed(3)
    concept = concept.with_tensors(
        {
            name: 0.3 * torch.randn(value.shape, generator=generator)
            for name, value in concept.tensors.items()
        }
    )
    z = concept.sample(pipe, "a photo of a {}", 3, noise=torch.Generator().manual_seed(1))
    prior = copy.deepcopy(pipe.prior)
    for name, value in concept.tensors.items():
        if name.endswith(".down"):
            layer = prior.get_submodule(name.removesuffix(".down"))
            layer.weight.data += concept.tensors[name.removesuffix("down") + "up"][0] @ value[0]
    merged = replace(pipe, prior=prior).sample_prior(
        pipe.encode_text(["a photo of a pet"]), 3, noise=torch.Generator().manual_seed(1)
    )
    assert torch.allclose(z, merged, atol=1e-4)
    plain = pipe.sample_prior(
        pipe.encode_text(["a photo of a pet"]), 3, noise=torch.Generator().manual_seed(1)
    )
    assert not torch.allclose(z, plain, atol=1e-2)


def test_adapters_leave_the_model_alone(pipe):
    names = set(pipe.prior.state_dict())
    concept = LoraConcept.init(pipe, "pet", k=1, generator=torch.Generator().manual_seed(0))
    assert set(pipe.prior.state_dict()) == names
    # The copy shares the weights, so it costs no memory.
    assert concept.prior.positional_embedding is pipe.prior.positional_embedding


def test_free_embeddings_begin_at_samples_of_the_word(pipe):
    concept = EmbeddingConcept.init(pipe, "pet", k=3, generator=torch.Generator().manual_seed(0))
    drawn = pipe.sample_prior(
        pipe.encode_text(["a photo of a pet"]), 3, noise=torch.Generator().manual_seed(0)
    )[0]
    assert torch.equal(concept.vectors, drawn)
    assert torch.equal(
        concept.sample(pipe, "anything", 2, noise=torch.Generator())[1], drawn[1].expand(2, -1)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_saved_and_loaded(pipe, tmp_path, kind):
    concept = init(pipe, kind, "pet", k=2, generator=torch.Generator().manual_seed(0))
    concept = concept.with_tensors({name: value + 0.1 for name, value in concept.tensors.items()})
    concept.save(tmp_path)
    again = load(tmp_path, pipe)
    assert (again.kind, again.word, len(again)) == (kind, "pet", 2)
    one, two = (
        each.sample(pipe, "a blueprint of a {}", 2, noise=torch.Generator().manual_seed(5))
        for each in (concept, again)
    )
    assert torch.equal(one, two)


def test_rows_of_two_concepts_are_mixed(pipe):
    a = TokenConcept("pet", torch.zeros(3, 16), 1.0)
    b = TokenConcept("pet", torch.ones(3, 16), 1.0)
    assert a.where(torch.tensor([True, False, True]), b).vectors[:, 0].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda pipe: LoraConcept.init(pipe, "pet", 1), "generator is None"),
        (
            lambda pipe: LoraConcept.init(pipe, "pet", k=1, generator=torch.Generator(), rank=0),
            "rank is 0",
        ),
        (
            lambda pipe: LoraConcept.init(pipe, "pet", k=1, generator=torch.Generator()).condition(
                pipe, "a photo"
            ),
            "exactly one",
        ),
        (lambda pipe: EmbeddingConcept.init(pipe, "pet", 1), "generator is None"),
        (
            lambda pipe: EmbeddingConcept.init(pipe, "pet", k=0, generator=torch.Generator()),
            "k is 0",
        ),
        (lambda pipe: init(pipe, "verb", "pet"), "kind is 'verb'"),
    ],
)
def test_bad_input_of_other_kinds(pipe, call, words):
    with pytest.raises(InputError, match=words):
        call(pipe)


def test_only_token_concepts_are_read_without_a_model(pipe, tmp_path):
    init(pipe, "embedding", "pet", k=1, generator=torch.Generator().manual_seed(0)).save(tmp_path)
    with pytest.raises(InputError, match="kind 'embedding'; expected one of subject"):
        TokenConcept.load(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_selected_concepts_draw_what_they_drew_among_all(pipe, kind):
    def seeded(*seeds):
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    three = init(pipe, kind, "pet", k=3, generator=torch.Generator().manual_seed(0))
    three = three.with_tensors(
        {
            name: value
            + 0.01 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
            for name, value in three.tensors.items()
        }
    )
    every = three.sample(pipe, "a photo of a {}", 2, noise=seeded(0, 1, 2))
    some = three.select([2, 0]).sample(pipe, "a photo of a {}", 2, noise=seeded(2, 0))
    assert torch.allclose(some, every[[2, 0]], atol=1e-5)
