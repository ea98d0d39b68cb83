"""Settling: the sample that is chosen, and that every picture shows it."""

import gc
import weakref

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from creativelib.concept import LoraConcept, TokenConcept
from creativelib.conceptlab.constraints import Negative, Positive, TextEmbeddings, negative_term
from creativelib.conceptlab.settling import TEMPLATES, most_novel, settle, template_offsets
from creativelib.unclip.pipeline import load


def test_the_most_novel_is_least_like_its_negatives_among_the_half_most_like_the_category():
    texts = torch.eye(4)
    like = Positive(texts[:1])
    unlike = Negative(texts[None, 1:2].expand(2, -1, -1), torch.ones(2, 1, dtype=torch.bool))
    # The third is least like the negative, but not like the category.
    rows = torch.tensor([[3.0, 2, 1, 0], [3, 1, 2, 0], [0, 0, 0, 1], [1, 3, 0, 1]])
    chosen = most_novel(torch.stack([rows, rows.flip(0)]), like, unlike)
    assert torch.equal(chosen, rows[[1, 1]])


def test_each_concept_has_its_own_negatives(pipe):
    words = TextEmbeddings(pipe)
    z = torch.randn(2, 32, 16, generator=torch.Generator().manual_seed(0))
    like = Positive(words("a {}", ["pet"]))
    both = most_novel(
        z, like, negative_term(words, "a {}", [["cat"], ["plant", "red"]], floor=-1.0)
    )
    alone = [
        most_novel(z[i : i + 1], like, negative_term(words, "a {}", [each], floor=-1.0))[0]
        for i, each in enumerate((["cat"], ["plant", "red"]))
    ]
    assert torch.equal(both, torch.stack(alone))


def test_the_cache_does_not_keep_a_model_in_memory(stack):
    """A real model takes gigabytes."""
    pipe = load(stack, "cpu")
    reference = weakref.ref(pipe)
    first = template_offsets(pipe, "pet", ("a photo of a {}", "a {}"))
    assert template_offsets(pipe, "pet", ("a photo of a {}", "a {}")) is first
    del pipe
    gc.collect()
    assert reference() is None


def test_a_settled_concept_varies_less(menagerie):
    concept = TokenConcept.init(menagerie, "pet", 1)
    settled = settle(menagerie, "pet", concept, negatives=[["cat", "dog"]], steps=15)
    assert isinstance(settled, LoraConcept) and settled.word == "pet"

    def spread(each, template):
        z = normalize(
            each.sample(menagerie, template, 24, noise=torch.Generator().manual_seed(1))[0], dim=-1
        )
        return (z @ z.T).mean().item()

    for template in TEMPLATES[:2]:
        assert spread(settled, template) > spread(concept, template) + 0.1
    photo, sketch = (
        settled.sample(menagerie, t, 8, noise=torch.Generator().manual_seed(1))[0]
        for t in TEMPLATES[:2]
    )
    styles = menagerie.encode_text(["a photo of a pet", "a pencil sketch of a pet"]).pooled
    assert (
        cosine_similarity(sketch, styles[1], dim=-1).mean()
        > cosine_similarity(photo, styles[1], dim=-1).mean()
    )


@pytest.mark.parametrize("steps", [0, -1])
def test_bad_steps(pipe, steps):
    with pytest.raises(ValueError, match="steps is"):
        settle(
            pipe,
            "pet",
            TokenConcept.init(pipe, "pet"),
            negatives=[["cat"]],
            steps=steps,
            templates=("a {}",),
        )
