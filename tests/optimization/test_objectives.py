"""Terms: where each one moves embeddings, their gradients, and weighted sums."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from creativelib.density import GaussianDensity
from creativelib.errors import InputError
from creativelib.optimization.objectives import (
    Anchor,
    Direction,
    MeanAnchor,
    Rarity,
    Repulsion,
    Similarity,
)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def embeddings(k=3, n=4, seed=0):
    return torch.randn(k, n, 16, generator=seeded(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def density():
    return GaussianDensity.fit(embeddings(1, 500, seed=1) * torch.linspace(2, 0.1, 16))


def moved(objective, z, rate=1e-3):
    """Take one small step downhill."""
    z = z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(z).total.sum(), z)
    return (z - rate * gradient).detach()


def test_rarity_makes_rarer(density):
    z = embeddings()
    assert (density.log_prob(moved(Rarity(density), z)) < density.log_prob(z)).all()


def test_the_printed_sign_makes_more_typical(density):
    """The text that this project began with prints -log p as the loss to minimize."""
    z = embeddings()
    assert (density.log_prob(moved(-1 * Rarity(density), z)) > density.log_prob(z)).all()


def test_rarity_is_in_nats(density):
    z = embeddings()
    assert torch.allclose(Rarity(density)(z).total, density.log_prob(z).mean(1))


@pytest.mark.parametrize("side", [-1, 1])
def test_a_target_pulls_from_both_sides(density, side):
    z = embeddings(1, 1)
    target = density.surprisal(z).item() + side * 30
    after = density.surprisal(moved(Rarity(density, target), z)).item()
    assert (after - density.surprisal(z).item()) * side > 0


def test_far_from_the_target_the_pull_is_the_plain_one(density):
    z = embeddings()
    plain = moved(Rarity(density), z)
    targeted = moved(Rarity(density, 1e4), z)
    assert torch.allclose(plain, targeted, atol=1e-12)


def test_at_the_target_nothing_pulls(density):
    z = embeddings(1, 1)
    assert torch.allclose(moved(Rarity(density, density.surprisal(z).item()), z), z, atol=1e-12)


def test_anchor_brings_closer_to_the_text(pipe):
    anchor = Anchor(pipe, "a photo of a pet")
    text = anchor.text.double()
    z = embeddings()

    def cosine(rows):
        return torch.nn.functional.cosine_similarity(rows, text, dim=-1)

    assert (cosine(moved(anchor, z)) > cosine(z)).all()
    assert torch.allclose(anchor(z).total, 1 - cosine(z).mean(1))
    assert anchor(text.expand(1, 1, -1)).total.item() == pytest.approx(0, abs=1e-6)


def test_above_its_floor_the_anchor_is_silent(pipe):
    anchor = Anchor(pipe, "a photo of a pet", floor=0.3)
    text = torch.nn.functional.normalize(anchor.text.double(), dim=0)
    aside = torch.nn.functional.normalize(
        embeddings()[0, 0] - (embeddings()[0, 0] @ text) * text, dim=0
    )

    def at(cosine):
        return (
            (cosine * text + (1 - cosine**2) ** 0.5 * aside)
            .expand(1, 1, -1)
            .clone()
            .requires_grad_()
        )

    near = at(0.35)
    far = at(0.1)
    (silent,) = torch.autograd.grad(anchor(near).total.sum(), near)
    assert anchor(near).total.item() == 0 and not silent.any()
    assert anchor(far).total.item() == pytest.approx(0.2, abs=1e-6)


def test_repulsion_pushes_apart(density):
    z = embeddings(2, 4) + 3 * embeddings(1, 1, seed=2)

    def cosine(rows):
        one, other = density.whiten(rows).mean(1)
        return torch.nn.functional.cosine_similarity(one, other, dim=0)

    assert cosine(moved(Repulsion(density), z)) < cosine(z)


def test_repulsion_runs_from_0_to_1(density):
    same = embeddings(1, 4).expand(3, -1, -1)
    assert torch.allclose(Repulsion(density)(same).total, torch.ones(3, dtype=torch.float64))
    space = density.subspace
    opposite = torch.stack([space.mean + space.axes[:1], space.mean - space.axes[:1]])
    assert torch.allclose(Repulsion(density)(opposite).total, torch.zeros(2, dtype=torch.float64))
    assert Repulsion(density)(embeddings(1, 4)).total.item() == 0


def test_mean_anchor_brings_closer_to_the_mean(density):
    z = embeddings()
    mean = density.subspace.mean

    def cosine(rows):
        return torch.nn.functional.cosine_similarity(rows, mean, dim=-1)

    assert (cosine(moved(MeanAnchor(density), z)) > cosine(z)).all()
    assert torch.allclose(MeanAnchor(density)(z).total, 1 - cosine(z).mean(1))
    assert MeanAnchor(density, floor=-1.0)(z).total.eq(0).all()


@pytest.mark.parametrize("towards", [True, False])
def test_directions_lead_where_they_say(pipe, density, towards):
    marked = embeddings(1, 5, seed=7)[0] + 2
    z = embeddings()
    mean = density.subspace.mean
    term = Direction.of_embeddings(density, marked, towards)

    def cosine(rows):
        return torch.nn.functional.cosine_similarity(
            rows[:, :, None] - mean, marked.float() - mean.float(), dim=-1
        ).mean((1, 2))

    assert ((cosine(moved(term, z)) > cosine(z)) == towards).all()
    assert torch.allclose(term(z).total, -cosine(z) if towards else cosine(z), atol=1e-5)


def test_directions_of_pictures_and_words(pipe, density):
    pictures = torch.rand(3, 3, 16, 16, generator=seeded(0))
    by_pictures = Direction.of_pictures(density, pipe, pictures)
    expected = pipe.encode_images(pictures) - density.subspace.mean.float()
    assert torch.allclose(by_pictures.directions, expected)
    by_words = Direction.of_words(density, pipe, ["a red pet", "a cat"], than="a pet")
    text = torch.nn.functional.normalize(
        pipe.encode_text(["a pet", "a red pet", "a cat"]).pooled, dim=-1
    )
    assert torch.allclose(by_words.directions, text[1:] - text[0], atol=1e-6)
    same = Direction.of_words(density, pipe, ["a pet"], than="a cat")
    assert torch.allclose(same.directions, text[:1] - text[2:], atol=1e-6)
    with pytest.raises(InputError, match="z holds no embeddings"):
        Direction.of_embeddings(density, torch.zeros(0, 16))


def test_similarity_compares_each_concept_with_its_own_target():
    targets = embeddings(1, 3, seed=3)[0]
    z = targets[:, None].expand(-1, 4, -1)
    assert torch.allclose(
        Similarity(targets[:, None])(z).total, torch.zeros(3, dtype=torch.float64), atol=1e-6
    )
    assert (Similarity(targets[:, None])(z.roll(1, 0)).total > 0.1).all()


def test_weights_may_differ_between_concepts(density):
    z = embeddings()
    weights = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    assert torch.allclose((weights * Rarity(density))(z).total, weights * Rarity(density)(z).total)
    assert torch.allclose(
        (2 * (weights * Rarity(density)))(z).total, 2 * weights * Rarity(density)(z).total
    )


@given(
    seed=st.integers(0, 99),
    kind=st.sampled_from(
        ["rarity", "target", "anchor", "mean anchor", "direction", "similarity", "repulsion"]
    ),
)
@settings(max_examples=20, deadline=None)
def test_gradients_equal_finite_differences(pipe, density, seed, kind):
    term = {
        "rarity": Rarity(density),
        "target": Rarity(density, 40.0),
        "anchor": Anchor(pipe, "a pet"),
        "repulsion": Repulsion(density),
        "mean anchor": MeanAnchor(density),
        "direction": Direction.of_embeddings(density, embeddings(1, 2, seed=8)),
        "similarity": Similarity(embeddings(1, 3, seed=9)[0][:, None]),
    }[kind]
    z = embeddings(seed=seed).requires_grad_()
    (gradient,) = torch.autograd.grad(term(z).total.sum(), z)
    direction = embeddings(seed=seed + 100)
    step = 1e-6
    with torch.no_grad():
        numeric = (
            term(z + step * direction).total.sum() - term(z - step * direction).total.sum()
        ) / (2 * step)
    assert numeric.item() == pytest.approx((gradient * direction).sum().item(), rel=1e-4, abs=1e-6)


@given(weights=st.lists(st.floats(-10, 10), min_size=3, max_size=3))
@settings(max_examples=20, deadline=None)
def test_sums_are_weighted_and_reported_by_name(pipe, density, weights):
    a, b, c = weights
    rarity = Rarity(density)
    anchor = Anchor(pipe, "a pet")
    repulsion = Repulsion(density)
    z = embeddings()
    terms = (a * rarity + b * anchor + repulsion * c + Anchor(pipe, "a plant"))(z)
    assert list(terms.named) == ["rarity", "anchor", "repulsion", "anchor 2"]
    expected = (
        a * terms.named["rarity"]
        + b * terms.named["anchor"]
        + c * terms.named["repulsion"]
        + terms.named["anchor 2"]
    )
    assert torch.allclose(terms.total, expected)
    assert torch.equal(terms.named["anchor"], anchor(z).total)
    assert torch.allclose((2 * (rarity + anchor))(z).total, 2 * (anchor + rarity)(z).total)
