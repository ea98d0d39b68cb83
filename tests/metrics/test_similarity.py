"""Similarities in closed form, and in the right direction."""

import pytest
import torch

from creativelib.errors import InputError
from creativelib.metrics.similarity import negative_distance, positive_similarity

X, Y, Z = torch.eye(3)


def test_positive_similarity_is_the_cosine():
    z = torch.stack([X, 5 * X, -X, Y, X + Y])
    assert positive_similarity(z, 2 * X).tolist() == pytest.approx([1, 1, -1, 0, 0.5**0.5])


def test_negative_distance_is_to_the_nearest_negative():
    z = torch.stack([X, X + Y, Z])
    assert negative_distance(z, X, torch.stack([Y, Z])).tolist() == pytest.approx([1, 0, -1])
    assert negative_distance(z, X, torch.stack([Y])).tolist() == pytest.approx([1, 0, 0])


def test_more_negatives_never_help():
    z, texts = (torch.randn(n, 8, generator=torch.Generator().manual_seed(n)) for n in (50, 5))
    few, many = (negative_distance(z, texts[0], texts[1:m]) for m in (3, 5))
    assert (many <= few).all()


def test_a_typical_member_is_less_typical_of_its_category_alone(menagerie):
    """Compare relative typicality on the bundled model.

    Relative to "pet", a wild pet is less like the nearest named pet than a cat is.
    """
    from creativelib.world import category
    from creativelib.world.scenes import draw, sample_scenes

    names = list(category("pet").species)
    text, *members = menagerie.encode_text(
        [f"a photo of a {name}" for name in ("pet", *names)]
    ).pooled
    scenes = sample_scenes(600, torch.Generator().manual_seed(3), wild=0.5)
    pets = scenes[scenes.category == 0]
    typical = negative_distance(menagerie.encode_images(draw(pets)), text, torch.stack(members))
    assert typical[pets.species < 0].mean() > typical[pets.species >= 0].mean()


def test_without_negatives():
    with pytest.raises(InputError, match="negatives holds 0 embeddings; expected at least 1"):
        negative_distance(X[None], X, torch.zeros(0, 3))
