"""Mixing and evolution: the objective, weights, descent, and saving a family."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cosine_similarity

from creativelib.concept import TokenConcept
from creativelib.conceptlab.evolution import (
    Family,
    Member,
    MixConfig,
    evolve,
    mix,
    picture_embeddings,
)
from creativelib.errors import InputError
from creativelib.notebook.plots import family_tree
from creativelib.optimization.loop import optimize
from creativelib.optimization.objectives import Similarity
from writes import note_writes

SHORT = MixConfig(
    kind="subject", each=2, samples=1, steps=3, lr=0.05, templates=("a photo of a {}",)
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def founders(pipe):
    return TokenConcept.init(pipe, "pet", k=5, generator=seeded())


def test_a_mixture_is_learned_from_image_embeddings_of_pictures(menagerie):
    """The released code swaps the pair, and so leads to the parents' texts instead."""
    parents = torch.stack(
        [
            TokenConcept.init(menagerie, word).sample(
                menagerie, "a photo of a {}", 2, noise=seeded()
            )[0]
            for word in ("cat", "parrot")
        ]
    )
    with torch.no_grad():
        pictures = menagerie.encode_images(menagerie.decode(parents, generator=seeded(1)))
    texts = (
        menagerie.encode_text(["a photo of a cat", "a photo of a parrot"])
        .pooled[:, None]
        .expand(-1, 2, -1)
    )
    config = MixConfig(kind="subject", steps=40, lr=0.05, templates=("a photo of a {}",))
    of_pictures, of_texts = (
        mix(menagerie, "pet", each[None], config=config) for each in (pictures, texts)
    )

    def near(concept):
        z = concept.sample(menagerie, config.templates[0], 16, noise=seeded(2))[0]
        return cosine_similarity(z[:, None], pictures.flatten(0, 1), dim=-1).mean()

    plain = TokenConcept.init(menagerie, "pet")
    assert near(of_pictures) > near(plain) + 0.05 and near(of_pictures) > near(of_texts)


def test_picture_embeddings_are_those_of_decoded_samples(pipe, founders):
    found = picture_embeddings(pipe, founders, generator=seeded(), config=SHORT)
    again = seeded()
    z = founders.sample(pipe, "a photo of a {}", 2, noise=again)
    assert torch.equal(found, pipe.encode_images(pipe.decode(z, generator=again)))
    assert found.shape == (5, 2, 16)


def test_mixing_is_the_loop_over_equation_5(pipe):
    parents = torch.randn(2, 3, 2, 16, generator=seeded())
    found = mix(pipe, "pet", parents, weights=[2.0, 1.0, 1.0], config=SHORT)
    term = Similarity(parents.flatten(1, 2), torch.tensor([0.25, 0.25, 0.125, 0.125, 0.125, 0.125]))
    *_, last = optimize(
        pipe,
        TokenConcept.init(pipe, "pet", k=2, generator=seeded()),
        term,
        templates=["a photo of a {}"],
        steps=3,
        lr=0.05,
        seed=0,
        n=1,
    )
    assert torch.allclose(found.tensors["vectors"], last.concept.tensors["vectors"], atol=1e-6)


def test_weights_choose_between_parents(pipe):
    parents = torch.randn(1, 2, 2, 16, generator=seeded())
    config = replace(SHORT, steps=40, samples=4)
    z = {
        heavy: mix(pipe, "pet", parents, weights=[1.0 - heavy, heavy], config=config).sample(
            pipe, "a photo of a {}", 32, noise=seeded(1)
        )[0]
        for heavy in (0.0, 1.0)
    }
    to_second = {
        heavy: cosine_similarity(x[:, None], parents[0, 1], dim=-1).mean() for heavy, x in z.items()
    }
    assert to_second[1.0] > to_second[0.0]


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0]])
def test_bad_weights(pipe, weights):
    with pytest.raises(InputError, match="weights is"):
        mix(pipe, "pet", torch.randn(1, 2, 2, 16), weights=weights, config=SHORT)


def test_the_youngest_have_children_until_one_is_left(pipe, founders):
    family = evolve(pipe, Family.of(founders), SHORT)
    assert [(member.parents, member.generation) for member in family.members] == [
        ((), 0),
        ((), 0),
        ((), 0),
        ((), 0),
        ((), 0),
        ((0, 1), 1),
        ((2, 3), 1),
        ((5, 6), 2),
    ]
    assert torch.equal(family.members[3].concept.tensors["vectors"], founders.vectors[3:4])
    assert family.last_generation() == [7]
    with pytest.raises(InputError, match="single youngest"):
        evolve(pipe, family, SHORT)


def test_a_family_is_saved_and_loaded(pipe, founders, tmp_path):
    family = evolve(pipe, Family.of(founders.select([0, 1])), SHORT)
    family.save(tmp_path / "family")
    again = Family.load(tmp_path / "family", pipe)
    assert [(m.parents, m.generation) for m in again.members] == [
        (m.parents, m.generation) for m in family.members
    ]
    assert all(
        torch.equal(a.concept.tensors["vectors"], b.concept.tensors["vectors"])
        for a, b in zip(family.members, again.members, strict=True)
    )
    with pytest.raises(InputError, match="holds no family"):
        Family.load(tmp_path, pipe)


def test_only_new_members_are_written(pipe, founders, tmp_path, monkeypatch):
    written = []
    save = TokenConcept.save

    def note(self, folder):
        written.append(Path(folder).name)
        save(self, folder)

    monkeypatch.setattr(TokenConcept, "save", note)
    family = Family.of(founders.select([0, 1]))
    family.save(tmp_path)
    grown = Family((*family.members, Member(founders.select([2]), (0, 1), 1)))
    grown.save(tmp_path)
    Family.load(tmp_path, pipe).save(tmp_path)
    assert written == ["0", "1", "2"]
    # A member that is damaged, or another one, is written again.
    (tmp_path / "1" / "concept.safetensors").write_bytes(b"nothing")
    (tmp_path / "2" / "concept.json").write_text("{")
    grown.save(tmp_path)
    Family.of(founders.select([3, 1])).save(tmp_path)
    assert written[3:] == ["1", "2", "0"] and len(Family.load(tmp_path, pipe).members) == 2


def test_an_interrupted_save_leaves_the_old_family_or_none(pipe, founders, tmp_path, monkeypatch):
    family = Family.of(founders.select([0, 1]))
    family.save(tmp_path)
    grown = Family((*family.members, Member(founders.select([2]), (0, 1), 1)))
    others = Family.of(founders.select([3, 4]))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        note_writes(patch, tmp_path / "2" / "concept.json", KeyboardInterrupt())
        grown.save(tmp_path)
    assert len(Family.load(tmp_path, pipe).members) == 2
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        note_writes(patch, tmp_path / "1" / "concept.safetensors", KeyboardInterrupt())
        others.save(tmp_path)
    with pytest.raises(InputError, match="holds no family"):
        Family.load(tmp_path, pipe)
    for family in (others, grown):
        family.save(tmp_path)
        assert len(Family.load(tmp_path, pipe).members) == len(family.members)


def test_a_child_stands_below_its_parents():
    figure = family_tree(torch.rand(4, 3, 8, 8), [(), (), (), (0, 1)])
    left, right, bottom, top = figure.axes[0].images[3].get_extent()
    assert (left + right) / 2 == 0.5 and min(top, bottom) > 0.5 and len(figure.axes[0].lines) == 2
    with pytest.raises(ValueError, match="1 lists"):
        family_tree(torch.rand(2, 3, 8, 8), [()])


def test_a_mixture_carries_something_of_both_parents_in_every_style(menagerie):
    parents = torch.stack(
        [
            picture_embeddings(menagerie, TokenConcept.init(menagerie, word), generator=seeded())[0]
            for word in ("cat", "turtle")
        ]
    )
    child = mix(menagerie, "pet", parents[None], config=MixConfig(steps=45))
    z = child.sample(menagerie, "a photo of a {}", 16, noise=seeded(1))[0]
    near = torch.stack([cosine_similarity(z[:, None], each, dim=-1).mean(1) for each in parents])
    apart = cosine_similarity(parents[0][:, None], parents[1], dim=-1).mean()
    # Each child is nearer to both parents than these are to each other.
    assert near.min() > apart + 0.1
    texts = menagerie.encode_text(["a photo of a pet", "a pencil sketch of a pet"]).pooled
    sketch = child.sample(menagerie, "a pencil sketch of a {}", 16, noise=seeded(1))[0]
    to_photo, to_sketch = (cosine_similarity(sketch, text, dim=-1) for text in texts)
    assert (to_sketch > to_photo).float().mean() > 0.9
