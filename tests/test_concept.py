"""Where a concept's vector goes, and that it comes back from disk."""

import pytest
import torch

from creativelib.concept import TokenConcept
from creativelib.errors import InputError


def test_a_fresh_concept_is_its_word(pipe):
    for word, prompt in [("pet", "a photo of a pet"), ("musical instrument", "a photo of a musical instrument")]:
        cond = TokenConcept.init(pipe, word).condition(pipe, "a photo of a {}")
        plain = pipe.encode_text([prompt])
        assert torch.allclose(cond.pooled, plain.pooled, atol=1e-5) and torch.allclose(cond.tokens, plain.tokens, atol=1e-5)
        assert torch.equal(cond.mask, plain.mask)


def test_only_the_last_word_is_replaced(pipe):
    """Causal attention: tokens before the replaced one do not see it."""
    concept = TokenConcept("musical instrument", torch.randn(1, 16, generator=torch.Generator().manual_seed(0)), 1.0)
    cond = concept.condition(pipe, "a {} with long ears")
    plain = pipe.encode_text(["a musical instrument with long ears"])
    same = torch.isclose(cond.tokens, plain.tokens, atol=1e-5).all(-1)[0]
    assert same.tolist()[:4] == [True, True, True, False]  # start, a, musical, the concept


def test_a_feature_stands_behind_its_subject(pipe):
    """Everything up to "with" is as in the plain text; the concept and what follows is not."""
    concept = TokenConcept("pet", torch.randn(1, 16, generator=torch.Generator().manual_seed(0)), 1.0, "feature")
    cond = concept.condition(pipe, "a photo of a {}")
    plain = pipe.encode_text(["a photo of a pet with pet"])
    same = torch.isclose(cond.tokens, plain.tokens, atol=1e-5).all(-1)[0]
    assert same.tolist()[:9] == [True] * 7 + [False, False]  # start, a, photo, of, a, pet, with; the concept, end
    fresh = TokenConcept.init(pipe, "pet", kind="feature").condition(pipe, "a photo of a {}")
    assert torch.allclose(fresh.pooled, plain.pooled, atol=1e-5)


def test_the_vector_of_another_word_makes_that_word(pipe):
    cat = TokenConcept("pet", TokenConcept.init(pipe, "cat").vectors, 1.0)
    plain = pipe.encode_text(["a photo of a cat"])
    assert torch.allclose(cat.condition(pipe, "a photo of a {}").pooled, plain.pooled, atol=1e-5)


def test_pooling_stays_at_the_end_of_the_text(pipe):
    """The last token's state is pooled, whatever the vector is."""
    concept = TokenConcept("pet", torch.randn(3, 16, generator=torch.Generator().manual_seed(1)) * 50, 1.0)
    cond = concept.condition(pipe, "a photo of a {} with long ears")
    end = int(cond.mask[0].sum()) - 1
    assert torch.allclose(cond.pooled, pipe.text_encoder.text_projection(cond.tokens[:, end]), atol=1e-4)


def test_nothing_of_the_model_changes(pipe):
    before = pipe.encode_text(["a photo of a pet"]).pooled
    TokenConcept("pet", torch.ones(1, 16), 1.0).condition(pipe, "a {}")
    assert torch.equal(pipe.encode_text(["a photo of a pet"]).pooled, before)


def test_starts_differ_by_seed_and_little(pipe):
    def start(seed):
        return TokenConcept.init(pipe, "pet", k=4, generator=torch.Generator().manual_seed(seed)).vectors

    assert torch.equal(start(0), start(0)) and not torch.equal(start(0), start(1))
    assert torch.equal(start(0)[0], start(1)[0])
    assert 0 < (start(0)[1:] - start(0)[0]).abs().max() < 0.3 * TokenConcept.init(pipe, "pet").scale


@pytest.mark.parametrize("kind", ["subject", "feature"])
def test_save_and_load(pipe, tmp_path, kind):
    concept = TokenConcept.init(pipe, "musical instrument", k=2, generator=torch.Generator().manual_seed(0), kind=kind)
    concept.save(tmp_path)
    again = TokenConcept.load(tmp_path)
    assert (again.word, again.scale, again.kind) == (concept.word, concept.scale, kind)
    assert torch.equal(again.vectors, concept.vectors)
    with pytest.raises(InputError, match="holds no concept"):
        TokenConcept.load(tmp_path / "nowhere")


@pytest.mark.parametrize(("call", "words"), [
    (lambda pipe: TokenConcept.init(pipe, "pet", k=0), "k is 0"),
    (lambda pipe: TokenConcept.init(pipe, "pet", k=2), "generator is None"),
    (lambda pipe: TokenConcept.init(pipe, "pet", kind="verb"), "kind is 'verb'"),
    (lambda pipe: TokenConcept.init(pipe, "gryphon"), "'gryphon'.*exactly one token"),
    (lambda pipe: TokenConcept.init(pipe, " "), "0 tokens"),
    (lambda pipe: TokenConcept.init(pipe, "pet").condition(pipe, "a photo"), "exactly one"),
    (lambda pipe: TokenConcept.init(pipe, "pet").condition(pipe, "a {} or {}"), "exactly one"),
    (lambda pipe: TokenConcept.init(pipe, "pet").condition(pipe, "a car{}"), "word of its own"),
    (lambda pipe: TokenConcept.init(pipe, "pet").condition(pipe, "{}s"), "word of its own"),
])
def test_bad_input(pipe, call, words):
    with pytest.raises(InputError, match=words):
        call(pipe)
