"""Boost-and-Skip, minority guidance, MinorityPrompt, and questions at each step."""

import math

import pytest
import torch

from creativelib.concept import TokenConcept
from creativelib.errors import InputError
from creativelib.evaluation.rivals import asking
from creativelib.evaluation.rivals.asking import questions_at_each_step
from creativelib.evaluation.rivals.boost import boost_and_skip
from creativelib.evaluation.rivals.denoiser import Denoiser, Probe
from creativelib.evaluation.rivals.minority import minority_guidance, score_gradient
from creativelib.evaluation.rivals.minority_prompt import learn, minority_words, prompt_score
from creativelib.metrics.diversity import total_variance
from creativelib.unclip.pipeline import load
from creativelib.unclip.prior import PriorSampling

STEPS = PriorSampling(steps=4)
GUIDED = PriorSampling(guidance=3.0, steps=4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Says:
    """A VQA that always gives the same answer, and counts its questions."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = 0

    def ask(self, pictures, question):
        self.asked += 1
        return [self.answer] * len(pictures)


def boost(pipe, n, generator, **settings):
    return boost_and_skip(pipe, "pet", n, generator=generator, **{"sampling": STEPS, **settings})


def guide(pipe, n, generator, **settings):
    return minority_guidance(pipe, "pet", n, generator=generator, **{"sampling": STEPS, **settings})


def prompt(pipe, n, generator, **settings):
    return minority_words(pipe, "pet", n, generator=generator, **{"sampling": STEPS, **settings})


def ask(pipe, n, generator, **settings):
    settings = {"sampling": GUIDED, "decoder_steps": 1, **settings}
    return questions_at_each_step(pipe, Says("cat"), "pet", n, generator=generator, **settings)


def plain(pipe, n, generator, sampling=STEPS):
    cond = pipe.encode_text(["a photo of a pet"])
    return pipe.sample_prior(cond, n, noise=generator, sampling=sampling)[0]


def scores(pipe, z, level=0.5, draws=16):
    """Return the mean minority score of clean embeddings."""
    denoiser = Denoiser.of(pipe, STEPS.steps)
    x0 = (z - pipe.prior.clip_mean) / pipe.prior.clip_std
    cond = pipe.encode_text(["a photo of a pet"])
    probe = Probe(x0, torch.tensor(0), denoiser.level(level), cond)
    drawn = torch.randn(draws, *x0.shape, generator=seeded(9))
    return torch.stack([denoiser.minority_score(probe, x0, x0, each) for each in drawn]).mean()


@pytest.mark.parametrize("method", [boost, guide, prompt, ask])
def test_each_draws_n_and_the_same_from_the_same_noise(pipe, method):
    first = method(pipe, 3, seeded(1))
    assert first.shape == (3, 16) and first.dtype == torch.float32 and first.isfinite().all()
    assert not first.requires_grad
    assert torch.equal(first, method(pipe, 3, seeded(1)))
    assert not torch.equal(first, method(pipe, 3, seeded(2)))


@pytest.mark.parametrize("method", [boost, guide, prompt, ask])
def test_each_works_in_inference_mode_and_leaves_normal_tensors(pipe, method):
    expected = method(pipe, 2, seeded(1))
    with torch.inference_mode():
        found = method(pipe, 2, seeded(1))
    assert torch.equal(expected, found) and not found.is_inference()


@pytest.mark.parametrize("sampling", [STEPS, GUIDED])
@pytest.mark.parametrize(
    "method, settings",
    [
        (boost, {"gamma": 1, "skip": 0}),
        (guide, {"strength": 0}),
        (prompt, {"iterations": 0}),
    ],
)
def test_nothing_added_is_plain_sampling(pipe, method, settings, sampling):
    expected = plain(pipe, 5, seeded(2), sampling)
    assert torch.equal(expected, method(pipe, 5, seeded(2), sampling=sampling, **settings))
    assert not torch.equal(expected, method(pipe, 5, seeded(2), sampling=sampling))


def test_without_answers_questions_are_plain_sampling(pipe):
    drawn = questions_at_each_step(
        pipe, Says(""), "pet", 4, generator=seeded(2), decoder_steps=1, sampling=GUIDED
    )
    torch.testing.assert_close(drawn, plain(pipe, 4, seeded(2), GUIDED))


def test_a_question_is_asked_after_each_step_but_the_last(pipe, monkeypatch):
    named = []
    real = asking.naming
    monkeypatch.setattr(
        asking, "naming", lambda pipe, negatives: named.append(negatives) or real(pipe, negatives)
    )
    vqa = Says("A cat.")
    questions_at_each_step(
        pipe, vqa, "pet", 2, generator=seeded(), decoder_steps=1, sampling=GUIDED
    )
    assert vqa.asked == 3
    assert named == [[[], []]] + [[["cat"], ["cat"]]] * 3


def test_skipped_steps_draw_nothing_and_begin_with_boosted_noise(pipe):
    """At the last step alone, the sample is what the prior predicts from the noise."""
    denoiser = Denoiser.of(pipe, 4)
    x = 3 * torch.randn(5, 16, generator=seeded(4))
    cond = pipe.encode_text(["a photo of a pet"])
    x0 = denoiser.predict(x, denoiser.schedule.timesteps[3], cond)
    expected = denoiser.embeddings(denoiser.schedule.step(3, x0, x, x))
    assert torch.equal(boost(pipe, 5, seeded(4), gamma=3, skip=3), expected)


def test_boosted_noise_spreads_samples(menagerie):
    sampling = PriorSampling(steps=10)

    def spread(gamma):
        z = boost(menagerie, 64, seeded(0), gamma=gamma, skip=1, sampling=sampling)
        return total_variance(z)

    assert spread(1) < spread(1.5) < spread(2.5)


def test_guidance_raises_the_minority_score(menagerie):
    """Of what is predicted after a small push, for noise that the push has not seen."""
    denoiser = Denoiser.of(menagerie, 4)
    cond = menagerie.encode_text(["a photo of a pet"])
    z = plain(menagerie, 24, seeded(0))
    x0 = (z - menagerie.prior.clip_mean) / menagerie.prior.clip_std
    first, second, third = torch.randn(3, 24, 96, generator=seeded(1))
    x = denoiser.schedule.add_noise(1, x0, first)
    probe = Probe(x, denoiser.schedule.timesteps[1], denoiser.level(0.8), cond)
    slope = score_gradient(denoiser, probe, second)

    def score(x):
        predicted = denoiser.predict(x, probe.t, cond)
        return denoiser.minority_score(probe, predicted, predicted, third).mean()

    push = 0.2 * slope / slope.abs().amax(-1, keepdim=True)
    assert score(x + push) > score(x) > score(x - push)


def test_learning_raises_the_minority_score(menagerie):
    """For the same noised samples, and noise that learning has not seen."""
    denoiser = Denoiser.of(menagerie, 4)
    n = 12
    cond = menagerie.encode_text(["a photo of a pet"])
    x = torch.randn(n, 96, generator=seeded(0))
    probe = Probe(x, denoiser.schedule.timesteps[0], denoiser.level(0.75), cond)
    start = TokenConcept.init(menagerie, "pet", kind="feature")
    start = start.with_tensors({"vectors": start.vectors.repeat(n, 1)})
    learned = learn(denoiser, probe, start, 5, 0.1, generator=seeded(1))
    fresh = torch.randn(n, 96, generator=seeded(2))
    with torch.no_grad():
        before = prompt_score(denoiser, probe, start, fresh)
        after = prompt_score(denoiser, probe, learned, fresh)
    assert after.mean() > before.mean()
    assert (learned.vectors - start.vectors).abs().amax() <= 5 * 0.1 * start.scale * 1.01


def test_prompts_raise_the_minority_score(menagerie):
    """Of the embeddings that are drawn, against the prompt whose token has not learned."""
    still, moved = (
        scores(menagerie, prompt(menagerie, 24, seeded(0), iterations=5, lr=lr, level=0.5))
        for lr in (1e-6, 0.3)
    )
    assert moved > 1.03 * still


@pytest.fixture(scope="module")
def double(stack):
    return load(stack, device="cpu", dtype=torch.float64)


def probe_of(pipe, n):
    denoiser = Denoiser.of(pipe, 4)
    cond = pipe.encode_text(["a photo of a pet"])
    x = torch.randn(n, 16, generator=seeded(3), dtype=torch.float64)
    return denoiser, Probe(x, denoiser.schedule.timesteps[1], denoiser.level(0.6), cond)


def test_the_gradient_of_guidance_is_the_scores_with_a_fixed_reconstruction(double):
    denoiser, probe = probe_of(double, 2)
    noise = torch.randn(2, 16, generator=seeded(4), dtype=torch.float64)
    slope = score_gradient(denoiser, probe, noise)
    fixed = denoiser.predict(probe.x, probe.t, probe.cond)

    def total(x):
        x0 = denoiser.predict(x, probe.t, probe.cond)
        return denoiser.minority_score(probe, x0, fixed, noise).sum()

    direction = torch.randn(2, 16, generator=seeded(5), dtype=torch.float64)
    step = 1e-5 * direction
    change = (total(probe.x + step) - total(probe.x - step)) / 2e-5
    assert math.isclose(change, (slope * direction).sum(), rel_tol=1e-5)


def test_the_gradient_of_learning_passes_the_text_encoder_and_both_predictions(double):
    denoiser, probe = probe_of(double, 2)
    noise = torch.randn(2, 16, generator=seeded(4), dtype=torch.float64)
    concept = TokenConcept.init(double, "pet", kind="feature")
    vectors = concept.vectors.double().repeat(2, 1).requires_grad_()

    def total(vectors):
        moved = concept.with_tensors({"vectors": vectors})
        return prompt_score(denoiser, probe, moved, noise).sum()

    (slope,) = torch.autograd.grad(total(vectors), vectors)
    direction = torch.randn(2, 16, generator=seeded(5), dtype=torch.float64)
    step = 1e-5 * direction
    with torch.no_grad():
        change = (total(vectors + step) - total(vectors - step)) / 2e-5
    assert math.isclose(change, (slope * direction).sum(), rel_tol=1e-5)


@pytest.mark.parametrize(
    "method, settings, words",
    [
        (boost, {"gamma": 0.5}, r"gamma is 0.5; expected a number in \[1,"),
        (boost, {"gamma": math.nan}, "gamma is nan; expected a number in"),
        (boost, {"skip": 4}, "skip is 4; expected at most 3"),
        (boost, {"skip": -1}, "skip is -1; expected 0 or more"),
        (guide, {"strength": -1}, r"strength is -1; expected a number in \[0,"),
        (guide, {"level": 0}, "level is 0; expected a number between 0 and 1"),
        (prompt, {"iterations": -1}, "iterations is -1; expected 0 or more"),
        (prompt, {"lr": 0}, "lr is 0; expected a number above 0"),
        (prompt, {"level": 1}, "level is 1; expected a number between 0 and 1"),
        (ask, {"decoder_steps": 0}, "decoder_steps is 0; expected 1 or more"),
        (ask, {"sampling": STEPS}, "guidance 1.0; expected a number above 1"),
    ],
)
def test_bad_settings(pipe, method, settings, words):
    with pytest.raises(InputError, match=words):
        method(pipe, 2, seeded(), **settings)


@pytest.mark.parametrize("method", [boost, guide, prompt, ask])
def test_no_samples_are_refused(pipe, method):
    with pytest.raises(InputError, match="n is 0; expected 1 or more"):
        method(pipe, 0, seeded())
