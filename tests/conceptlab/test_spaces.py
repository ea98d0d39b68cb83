"""The spaces that constraints compare in, against their parts, and gradients through them."""

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from creativelib.concept import TokenConcept
from creativelib.conceptlab.constraints import calibrate
from creativelib.conceptlab.learning import learn_concept
from creativelib.conceptlab.settings import LearnConfig
from creativelib.conceptlab.spaces import PREVIEW_STEPS, SPACES, CollectedImages, embed_in_space
from creativelib.errors import InputError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_prior_space_holds_samples_of_the_prior(pipe):
    cond = pipe.encode_text(["a photo of a pet", "a cat"])
    assert torch.equal(
        embed_in_space("prior", pipe, cond, n=3, generator=seeded()),
        pipe.sample_prior(cond, 3, noise=seeded()),
    )


def test_the_text_space_holds_the_text_encoders_output(pipe):
    cond = pipe.encode_text(["a photo of a pet", "a cat"])
    found = embed_in_space("text", pipe, cond, n=3, generator=seeded())
    assert found.shape == (2, 3, 16) and torch.equal(found, cond.pooled[:, None].expand(-1, 3, -1))


def test_the_decoder_space_holds_embeddings_of_decoded_previews(pipe):
    cond = pipe.encode_text(["a photo of a pet"])
    generator = seeded()
    z = pipe.sample_prior(cond, 2, noise=generator)
    expected = pipe.encode_images(
        pipe.decode(z, generator=generator, guidance=1.0, steps=PREVIEW_STEPS)
    )
    assert torch.equal(embed_in_space("decoder", pipe, cond, n=2, generator=seeded()), expected)


@pytest.mark.parametrize("space", SPACES)
def test_gradients_reach_the_concepts_vector(pipe, space):
    concept = TokenConcept.init(pipe, "pet", k=2, generator=seeded())
    vectors = concept.vectors.clone().requires_grad_()
    z = embed_in_space(
        space,
        pipe,
        concept.with_tensors({"vectors": vectors}).condition(pipe, "a photo of a {}"),
        n=2,
        generator=seeded(),
    )
    cosine_similarity(z, torch.ones(16), dim=-1).sum().backward()
    assert vectors.grad is not None and (vectors.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("space", SPACES)
def test_concepts_are_learned_in_every_space(pipe, space):
    result = learn_concept(
        pipe,
        "pet",
        negatives=["cat"],
        config=LearnConfig(
            concepts=2, samples=1, steps=3, templates=("a photo of a {}",), space=space
        ),
    )
    assert result.steps == 3 and result.concept.vectors.isfinite().all()


def test_collected_pictures_are_drawn_once_and_averaged(menagerie):
    collected = CollectedImages(menagerie, 4)
    rows = collected("a photo of a {}", ["cat", "tulip", "cat"])
    assert torch.equal(rows[0], rows[2]) and len(collected.cache._values) == 2
    with torch.no_grad():
        generator = seeded()
        z = menagerie.sample_prior(menagerie.encode_text(["a photo of a cat"]), 4, noise=generator)
        pictures = menagerie.decode(z, generator=generator)
        embeddings = normalize(menagerie.encode_images(pictures)[0], dim=-1)
    assert torch.allclose(rows[0], normalize(embeddings.mean(0), dim=-1), atol=1e-5)
    assert (embeddings @ rows[0]).min() > (embeddings @ rows[1]).max()
    assert collected("a photo of a {}", []).shape == (0, rows.shape[1])


def test_in_the_text_space_a_word_matches_itself(pipe):
    found = calibrate(pipe, "pet", generator=seeded(), space="text")
    text = pipe.encode_text(["a photo of a pet", ""]).pooled
    chance = cosine_similarity(text[0], text[1], dim=0).item()
    assert found.ceiling == pytest.approx(1, abs=1e-5)
    assert found.floor == pytest.approx(chance + (1 - chance) / 3, abs=1e-5)


def test_bad_spaces():
    with pytest.raises(InputError, match="space is 'pixels'; expected one of prior, text, decoder"):
        LearnConfig(space="pixels")
    with pytest.raises(InputError, match="expected 'prior'"):
        LearnConfig(space="text", kind="embedding")
