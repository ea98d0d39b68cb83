"""Prior constraints against the paper's equations in loops; directions, cache, and calibration."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from creativelib.concept import TokenConcept
from creativelib.conceptlab.constraints import (
    Negative,
    Positive,
    TextEmbeddings,
    calibrate,
    negative_term,
)
from creativelib.errors import InputError
from creativelib.optimization.loop import optimize
from creativelib.optimization.objectives import Similarity, Term


def random(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a, b):
    a = a.tolist()
    b = b.tolist()
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(
        sum(x * x for x in a) * sum(y * y for y in b)
    )


@given(st.integers(0, 99), st.integers(1, 3), st.integers(1, 4), st.floats(0.1, 4), st.booleans())
def test_the_loss_is_equation_3_with_the_maximum_and_both_clamps(seed, p, m, weight, largest):
    z = random(seed, 2, 3, 8)
    positive = normalize(random(seed + 1, p, 8), dim=-1)
    negative = normalize(random(seed + 2, 2, m, 8), dim=-1)
    ceiling = 0.3
    floor = -0.1
    present = torch.ones(2, m, dtype=torch.bool)
    found = (
        1.0 * Negative(negative, present, floor=floor, use_max=largest)
        + weight * Positive(positive, ceiling)
    )(z).total
    for i in range(2):
        by_hand = 0.0
        for j in range(3):
            unlike = [max(cosine(negative[i, c], z[i, j]), floor) for c in range(m)]
            like = [min(cosine(positive[c], z[i, j]), ceiling) for c in range(p)]
            similar = sum(unlike) / m
            similar = (similar + max(unlike)) / 2 if largest else similar
            by_hand += (similar + weight * (1 - sum(like) / p)) / 3
        assert found[i].item() == pytest.approx(by_hand, abs=1e-9)


def test_mixing_is_equation_5_with_weights():
    z = random(0, 2, 3, 8)
    targets = random(1, 2, 4, 8)
    weights = torch.tensor([0.7, 0.1, 0.1, 0.1], dtype=torch.float64)
    plain = Similarity(targets).loss(z)
    weighted = Similarity(targets, weights).loss(z)
    for i in range(2):
        pairs = [[cosine(targets[i, c], z[i, j]) for c in range(4)] for j in range(3)]
        assert plain[i].item() == pytest.approx(1 - sum(map(sum, pairs)) / 12, abs=1e-9)
        heavy = sum(weights[c].item() * row[c] for row in pairs for c in range(4)) / 3
        assert weighted[i].item() == pytest.approx(1 - heavy, abs=1e-9)


def test_each_concept_has_its_own_negatives_and_some_none(pipe):
    words = TextEmbeddings(pipe)
    z = random(0, 3, 2, 16).float()
    term = negative_term(words, "a photo of a {}", [["cat", "plant"], ["cat"], []], floor=-1.0)
    both, one, none = term.loss(z)
    alone = [
        negative_term(words, "a photo of a {}", [each], floor=-1.0).loss(z[i : i + 1])[0]
        for i, each in enumerate([["cat", "plant"], ["cat"]])
    ]
    assert torch.allclose(torch.stack([both, one]), torch.stack(alone), atol=1e-6) and none == 0
    assert negative_term(words, "a {}", [[], []], floor=-1.0).loss(z[:2]).tolist() == [0, 0]


def test_beyond_a_clamp_the_gradient_is_0():
    text = normalize(random(1, 1, 8), dim=-1)
    present = torch.ones(1, 1, dtype=torch.bool)
    for term in (Positive(text, ceiling=-1.0), Negative(text[None], present, floor=1.0)):
        z = random(0, 1, 2, 8).requires_grad_()
        term.loss(z).sum().backward()
        assert z.grad is not None and z.grad.abs().max() == 0


@pytest.mark.parametrize(
    "term",
    [
        Positive(normalize(random(1, 3, 8), dim=-1), 0.9),
        Similarity(random(3, 2, 3, 8)),
        Negative(normalize(random(2, 2, 3, 8), dim=-1), torch.ones(2, 3, dtype=torch.bool), -0.9),
    ],
)
def test_gradients_are_those_of_finite_differences(term: Term):
    assert torch.autograd.gradcheck(lambda z: term.loss(z), (random(0, 2, 2, 8).requires_grad_(),))


def test_gradients_reach_the_concepts_vectors_only(pipe):
    concept = TokenConcept.init(pipe, "pet")
    words = TextEmbeddings(pipe)
    term = negative_term(words, "a photo of a {}", [["cat"]], floor=-1.0) + 1.0 * Positive(
        words("a photo of a {}", ["pet"])
    )
    before = [p.clone() for part in (pipe.text_encoder, pipe.prior) for p in part.parameters()]
    first, *_, last = optimize(pipe, concept, term, steps=12, lr=0.05, n=4)
    after = [p for part in (pipe.text_encoder, pipe.prior) for p in part.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.grad is None for p in after)
    assert not torch.equal(first.concept.tensors["vectors"], last.concept.tensors["vectors"])
    assert all(not text.requires_grad for text in words.cache._values.values())


def test_every_prompt_is_encoded_once(pipe):
    words = TextEmbeddings(pipe)
    first = words("a photo of a {}", ["cat", "pet", "cat"])
    assert torch.equal(first[0], first[2])
    assert list(words.cache._values) == [
        "a photo of a cat",
        "a photo of a pet",
    ]
    cached = words.cache._values["a photo of a cat"]
    words("a photo of a {}", ["cat", "plant"])
    assert words.cache._values["a photo of a cat"] is cached and len(words.cache._values) == 3
    assert words("a {}", []).shape == (0, 16)
    assert torch.allclose(first.norm(dim=1), torch.ones(3), atol=1e-6)


def test_each_template_has_its_own_objective(pipe):
    ceilings = []

    class Notes(Positive):
        def loss(self, z):
            ceilings.append(self.ceiling)
            return super().loss(z)

    text = TextEmbeddings(pipe)("a {}", ["cat"])
    list(
        optimize(
            pipe,
            TokenConcept.init(pipe, "pet"),
            [Notes(text, 0.1), Notes(text, 0.2)],
            templates=["a {}", "a photo of a {}"],
            steps=3,
            n=1,
        )
    )
    assert ceilings == [0.1, 0.2, 0.1]
    with pytest.raises(InputError, match="objective is a list of 1"):
        optimize(
            pipe,
            TokenConcept.init(pipe, "pet"),
            [Notes(text)],
            templates=["a {}", "a photo of a {}"],
        )


def test_thresholds_are_the_models_own(menagerie):
    found = calibrate(menagerie, "pet", generator=torch.Generator().manual_seed(0))
    assert -1 < found.floor < found.ceiling < 1
    with torch.no_grad():
        z = menagerie.sample_prior(
            menagerie.encode_text(["a photo of a pet"]), 64, noise=torch.Generator().manual_seed(1)
        )[0]
        like = (
            normalize(z, dim=-1) @ TextEmbeddings(menagerie)("a photo of a {}", ["pet", "chair"]).T
        )
    # A typical pet reaches the ceiling for pets, and stays below the floor for chairs.
    assert like[:, 0].median() == pytest.approx(found.ceiling, abs=0.03)
    assert like[:, 1].median() < found.floor
