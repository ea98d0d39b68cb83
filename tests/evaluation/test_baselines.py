"""Baselines: their prompts, what they draw from the bundled model, and bad input."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from creativelib.errors import InputError
from creativelib.evaluation.baselines import (
    adaptive_negatives,
    decode_away,
    negative_prompt,
    prompt_only,
    random_mix,
    random_parts,
    sample_adaptive,
    sample_away,
    sample_mix,
    sample_parts,
    sample_prompt,
)
from creativelib.evaluation.samples import decoded
from creativelib.metrics.diversity import total_variance
from creativelib.world import category


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Says:
    """A VQA that gives a list of answers one after the other, and records its questions."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def ask(self, pictures, question):
        self.asked.append((len(pictures), question))
        return [self.answers[min(len(self.asked), len(self.answers)) - 1]] * len(pictures)


@pytest.fixture
def encoded(menagerie, monkeypatch):
    """Record all lists of prompts that the text encoder gets."""
    found = []
    real = type(menagerie).encode_text
    monkeypatch.setattr(
        type(menagerie),
        "encode_text",
        lambda self, prompts: found.append(list(prompts)) or real(self, prompts),
    )
    return found


def test_each_draws_n_and_the_same_from_the_same_noise(rough):
    methods = {
        "plain": lambda g: prompt_only(rough, "pet", 2, generator=g),
        "prior": lambda g: negative_prompt(rough, "pet", ["cat", "dog"], 2, generator=g),
        "decoder": lambda g: negative_prompt(
            rough, "pet", negatives=["cat", "dog"], n=2, generator=g, on="decoder"
        ),
        "parts": lambda g: random_parts(rough, "pet", 2, generator=g),
        "mix": lambda g: random_mix(rough, ["cat", "dog", "fox"], 2, generator=g),
        "adaptive": lambda g: adaptive_negatives(
            rough, Says("cat"), "pet", n=2, generator=g, steps=3
        ),
    }
    for method in methods.values():
        first = method(seeded(1))
        again = method(seeded(1))
        other = method(seeded(2))
        assert first.z.shape == (2, 96) and first.pictures.shape == (2, 3, 64, 64)
        assert torch.equal(first.pictures, again.pictures)
        assert not torch.equal(first.pictures, other.pictures)


def test_plain_is_the_pipelines_own_sampling(rough):
    generator = seeded(3)
    z = rough.sample_prior(rough.encode_text(["a photo of a pet"]), 2, noise=generator)
    pictures = rough.decode(z, generator=generator)
    drawn = prompt_only(rough, "pet", 2, generator=seeded(3))
    assert torch.equal(drawn.z, z[0]) and torch.equal(drawn.pictures, pictures[0])


def test_temperature_widens_and_guidance_narrows(menagerie):
    def spread(**options):
        return total_variance(sample_prompt(menagerie, "pet", 64, generator=seeded(0), **options))

    plain = spread()
    assert spread(temperature=0.5) < plain < spread(temperature=2.0)
    assert spread(guidance=4.0) < plain
    assert spread() == plain, "the pipeline itself was changed"


def test_negatives_are_less_like_what_is_drawn(brisk):
    text = brisk.encode_text(["a photo of a cat"]).pooled

    def like_a_cat(z):
        return cosine_similarity(z, text).mean()

    plain = sample_prompt(brisk, "pet", 16, generator=seeded(0))
    away = sample_away(brisk, "pet", ["cat"], 16, generator=seeded(0))
    assert like_a_cat(away) < like_a_cat(plain)
    drawn = decoded(brisk, plain[None, :6], generator=seeded(1))
    led = decode_away(brisk, plain[:6], ["cat"], generator=seeded(1))
    assert torch.equal(led.z, drawn.z)
    near = [like_a_cat(brisk.encode_images(x.pictures)) for x in (led, drawn)]
    assert near[0] < near[1]


def test_parts_are_named_and_each_prompt_is_its_own(menagerie, encoded):
    sample_parts(menagerie, "pet", 6, generator=seeded(0), parts=2)
    prompts = next(prompts for prompts in encoded if len(prompts) == 6)
    assert len(set(prompts)) >= 5
    phrases = {
        phrase
        for factor in category("pet").factors
        if factor.structural
        for phrase in factor.values.values()
    }
    for prompt in prompts:
        assert prompt.startswith("a photo of a pet with ")
        assert sum(phrase in prompt for phrase in phrases) >= 2


def test_a_mixture_is_as_near_to_both(menagerie):
    z = sample_mix(menagerie, ["cat", "duck"], 16, generator=seeded(0))
    text = menagerie.encode_text(
        ["a photo of a cat", "a photo of a duck", "a photo of a fish"]
    ).pooled
    near = cosine_similarity(z[:, None], text[None], dim=-1).mean(0)
    assert near[:2].min() > near[2] and (near[0] - near[1]).abs() < 0.15


@pytest.fixture
def blank(menagerie, monkeypatch):
    """Let decoding give blank pictures, for a VQA that says what it wants to."""
    monkeypatch.setattr(
        type(menagerie), "decode", lambda self, z, **_: torch.zeros(*z.shape[:2], 3, 8, 8)
    )


def test_answers_are_asked_for_at_each_step_and_become_negatives(menagerie, encoded, blank):
    vqa = Says("A cat.", "cats", "pet", "dog")
    sample_adaptive(menagerie, vqa, "pet", n=2, generator=seeded(0), steps=5)
    assert vqa.asked == [(2, "what kind of pet is in this photo?")] * 4
    grown = [prompts for prompts in encoded if prompts[0].startswith("a photo of a cat")]
    # No word is added twice, and the category is not added.
    one = "a photo of a cat"
    assert [prompts[0] for prompts in grown] == [one, one, one, f"{one} and a dog"]


def test_a_prompt_that_gets_too_long_loses_its_oldest_word(menagerie, encoded, blank):
    names = list(category("pet").species)
    steps = len(names) + 1
    sample_adaptive(menagerie, Says(*names), "pet", n=1, generator=seeded(0), steps=steps)
    last = [prompts[0] for prompts in encoded if prompts[0]][-1]
    assert last.endswith(names[-1]) and names[0] not in last and last.count(" and ") >= 4


def test_adaptive_negatives_avoid_what_the_vqa_says(menagerie, blank):
    """With a VQA that always says cat, it works like the negative prompt."""
    text = menagerie.encode_text(["a photo of a cat"]).pooled
    plain = sample_prompt(menagerie, "pet", 16, generator=seeded(0))
    away = sample_adaptive(menagerie, Says("cat"), "pet", n=16, generator=seeded(0))
    assert cosine_similarity(away, text).mean() < cosine_similarity(plain, text).mean()


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda p: prompt_only(p, "pet", 1, generator=seeded(), temperature=0.0),
            "temperature is 0.0",
        ),
        (
            lambda p: negative_prompt(
                p, "pet", negatives=["cat"], n=1, generator=seeded(), on="both"
            ),
            "on is 'both'; expected 'prior' or 'decoder'",
        ),
        (
            lambda p: negative_prompt(p, "pet", negatives=[], n=1, generator=seeded()),
            "negatives holds no words",
        ),
        (
            lambda p: random_parts(p, "pet", 1, generator=seeded(), parts=99),
            "parts is 99; expected 1 to",
        ),
        (lambda p: random_mix(p, ["cat"], 1, generator=seeded()), "members holds 1 words"),
        (
            lambda p: adaptive_negatives(p, Says("cat"), "pet", n=1, generator=seeded(), steps=1),
            "steps is 1",
        ),
    ],
)
def test_bad_input(menagerie, call, words):
    with pytest.raises(InputError, match=words):
        call(menagerie)
