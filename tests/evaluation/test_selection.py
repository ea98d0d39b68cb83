"""Selection: one candidate is none, more give the nearest, and only the chosen are decoded."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from creativelib.concept import init
from creativelib.evaluation import drafts
from creativelib.evaluation.baselines import negative_prompt, prompt_only
from creativelib.evaluation.drafts import Draft, negative_pair
from creativelib.evaluation.methods import METHODS, Method, evaluate
from creativelib.evaluation.samples import Samples
from creativelib.steering.pullback import draw_rare
from creativelib.steering.settings import STEER_DEFAULTS
from creativelib.steering.target import rarity_target


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def unlearned(monkeypatch):
    """Replace learning by concepts that are the plain word's, or a little beside it."""

    def begin(bench, word, seed):
        concept = init(bench.pipe, "feature", word, 4, seeded(seed))
        return SimpleNamespace(concept=concept)

    monkeypatch.setattr(drafts, "steering", begin)
    return begin


def test_one_candidate_is_no_selection(bench):
    drawn = METHODS["plain"].draw(bench, "pet", 4, 3)
    alone = prompt_only(bench.pipe, "pet", 4, generator=seeded(3))
    assert torch.equal(drawn.z, alone.z) and torch.equal(drawn.pictures, alone.pictures)
    drawn = METHODS["negative prompt, decoder"].draw(bench, "pet", 4, 3)
    negatives = negative_pair("pet", 3)
    alone = negative_prompt(bench.pipe, "pet", negatives, 4, generator=seeded(3), on="decoder")
    assert torch.equal(drawn.z, alone.z) and torch.equal(drawn.pictures, alone.pictures)


@pytest.mark.parametrize("groups, candidates", [(1, 4), (1, 16), (4, 4), (2, 3)])
def test_more_give_the_nearest_of_each_group(bench, groups, candidates):
    n = 8
    cond = bench.pipe.encode_text(["a photo of a pet"] * groups)
    z = bench.pipe.sample_prior(cond, n * candidates // groups, noise=seeded(groups))
    asked = []

    def draft(bench, word, m, seed):
        asked.append(m)
        return Draft(z, lambda chosen: Samples(chosen.flatten(0, 1), torch.zeros(n, 3, 8, 8)))

    drawn = Method(draft, {}, candidates, groups).draw(bench, "pet", n, 0)
    density = bench.density("pet")
    target = rarity_target(density, STEER_DEFAULTS.dial).surprisal
    expected = []
    for group in z:
        order = sorted(group, key=lambda own: abs(density.surprisal(own[None]).item() - target))
        expected += order[: n // groups]
    assert asked == [n * candidates] and torch.equal(drawn.z, torch.stack(expected))


@pytest.mark.parametrize("candidates", [1, 4])
def test_steering_draws_what_the_library_draws(bench, unlearned, candidates):
    """Its choice is the library's own, before embeddings are pulled back."""
    name = "rarity steering" if candidates == 4 else "rarity steering, one candidate"
    drawn = METHODS[name].draw(bench, "pet", 4, 1)
    density = bench.density("pet")
    z = draw_rare(
        bench.pipe,
        unlearned(bench, "pet", 1).concept,
        density,
        rarity_target(density, STEER_DEFAULTS.dial).surprisal,
        1,
        "a photo of a {}",
        generator=seeded(1),
        config=replace(STEER_DEFAULTS, candidates=candidates),
    )
    assert torch.equal(drawn.z, z.flatten(0, 1))


@pytest.mark.parametrize(
    "name, n, on_the_way",
    [
        ("plain, best of 4", 4, 0),
        ("random parts, best of 4", 4, 0),
        ("rarity guidance, best of 4", 2, 0),
        ("negative prompt, decoder, best of 4", 4, 0),
        ("rarity steering", 4, 0),
        # Each of 4 ways is decoded in 5 steps after each of 5 steps of the prior.
        ("adaptive negative prompt, best of 4", 1, 4 * 5 * 5),
    ],
)
def test_only_what_was_chosen_is_decoded(bench, unlearned, name, n, on_the_way):
    before = bench.spent()
    drawn = METHODS[name].draw(bench, "pet", n, 0)
    guidance, steps = bench.pipe.decode_defaults
    rows = 2 if guidance > 1 or "decoder" in name else 1
    found = (bench.spent() - before).decoder
    assert len(drawn.pictures) == n and found == rows * n * steps + on_the_way


@pytest.mark.filterwarnings("ignore::creativelib.metrics.intervals.FewPicturesWarning")
def test_evaluate_takes_a_number_of_candidates(bench):
    (row,) = evaluate("temperature 2", "pet", 1, candidates=8, pictures=4, bench=bench)
    assert row["method"] == "temperature 2, best of 8" and row["candidates"] == 8
    assert row["prior evaluations a picture"] == 8 * 5
