"""Steering: targets, checks, checkpoints, and concepts that end past the baseline's tail."""

from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from torch.nn.functional import cosine_similarity

from creativelib.concept import TokenConcept
from creativelib.density import GaussianDensity
from creativelib.errors import InputError
from creativelib.optimization.objectives import Similarity
from creativelib.steering.inversion import textual_inversion
from creativelib.steering.pullback import draw_rare, nearest, valid_share
from creativelib.steering.recipe import iter_steer, steer
from creativelib.steering.settings import SteerConfig
from creativelib.steering.target import anchor_floor, fit_baseline, rarity_target

CONFIG = SteerConfig(
    kind="subject", concepts=2, samples=3, steps=40, baseline_samples=200, anchor=0.0
)


@pytest.fixture(scope="module")
def density(pipe):
    return fit_baseline(pipe, "a photo of a pet", CONFIG)


def test_the_baseline_depends_on_the_model_and_not_on_a_run(pipe, density):
    again = fit_baseline(pipe, "a photo of a pet", CONFIG)
    assert torch.equal(again.fit_surprisal, density.fit_surprisal)
    assert len(density.fit_surprisal) == 200


def test_the_dial(density):
    assert rarity_target(density, 0.0).surprisal == pytest.approx(density.quantile(0.5))
    assert rarity_target(density, 1.0).surprisal == pytest.approx(density.quantile(0.99))
    beyond = rarity_target(density, 1.5)
    assert density.quantile(0.99) < beyond.stop_at < beyond.surprisal
    within = rarity_target(density, 0.3)
    unit = density.quantile(0.99) - density.quantile(0.5)
    assert within.surprisal - within.stop_at == pytest.approx(0.02 * unit)


def test_steering_goes_past_the_tail(pipe, density):
    result = steer(pipe, "pet", density=density, config=CONFIG)
    assert result.passed.all() and result.steps < CONFIG.steps - 1
    assert (result.surprisal >= result.target.stop_at).all()
    assert result.target.stop_at > density.quantile(0.99)
    fresh = pipe.sample_prior(
        result.concept.condition(pipe, "a photo of a {}"),
        20,
        noise=torch.Generator().manual_seed(9),
        sampling=CONFIG.sampling,
    )
    assert density.surprisal(fresh).median() > density.quantile(0.9)
    with pytest.raises(FrozenInstanceError):
        result.steps = 3


def test_steering_fits_the_baseline_itself(pipe, density):
    config = replace(CONFIG, steps=2)
    assert torch.equal(
        steer(pipe, "pet", config=config).concept.vectors,
        steer(pipe, "pet", density=density, config=config).concept.vectors,
    )


def test_the_floor_lies_between_nothing_and_the_prompt(pipe):
    low, middle, high = (
        anchor_floor(pipe, "a photo of a pet", replace(CONFIG, floor=share))
        for share in (0.0, 0.5, 1.0)
    )
    assert middle == pytest.approx((low + high) / 2, abs=1e-6) and low != high


def test_the_candidates_nearest_the_target_are_chosen():
    density = GaussianDensity.fit(torch.randn(200, 4, generator=torch.Generator().manual_seed(0)))
    z = torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(1)) * 3
    chosen = nearest(z, density, target=12.0, n=5)
    far = (density.surprisal(z) - 12).abs().sort(1).values
    assert torch.allclose((density.surprisal(chosen) - 12).abs(), far[:, :5], atol=1e-4)


def test_each_concept_is_kept_as_it_was_when_it_passed(pipe, density):
    config = replace(CONFIG, dial=4.0, lr=0.1)
    runs = list(iter_steer(pipe, "pet", density=density, config=config))
    stop_at = rarity_target(density, config.dial).stop_at
    for i in range(2):
        passed = next(run for run in runs if density.surprisal(run.step.z[i]).median() >= stop_at)
        assert torch.equal(runs[-1].result.vectors[i], passed.step.concept.vectors[i])
        assert runs[-1].surprisal[i] == density.surprisal(passed.step.z[i]).median()
    assert runs[-1].done and not runs[-2].done


class Says:
    """A VQA that gives scripted answers, one list for each time it is asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def ask(self, pictures, question):
        self.asked.append((len(pictures), question))
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]) * (
            len(pictures) // 2
        )


CHECKED = replace(CONFIG, concepts=1, check_every=3, check_samples=2, steps=12, dial=1e4)


def test_the_check_is_asked_on_schedule_and_at_the_end(pipe, density):
    vqa = Says(["yes", "yes"])
    result = steer(pipe, "pet", density=density, config=CHECKED, vqa=vqa)
    assert vqa.asked == [(2, "is this a pet?")] * 4  # steps 3, 6, 9 and the last
    assert result.check_seconds > 0 and not result.stopped.any()


def test_a_no_stops_at_the_last_valid_state(pipe, density):
    runs = list(
        iter_steer(
            pipe,
            "pet",
            density=density,
            config=replace(CHECKED, on_invalid="stop"),
            vqa=Says(["yes", "yes"], ["yes", "no"]),
        )
    )
    assert [run.step.index for run in runs] == list(range(7)) and runs[-1].status.tolist() == [2]
    assert torch.equal(runs[-1].result.vectors, runs[3].step.concept.vectors)
    assert runs[-1].valid_share.tolist() == [0.5]
    assert runs[-1].surprisal == density.surprisal(runs[3].step.z[0]).median()


def test_a_no_rolls_back_and_strengthens_the_anchor(pipe, density):
    runs = list(
        iter_steer(
            pipe,
            "pet",
            density=density,
            config=CHECKED,
            vqa=Says(["yes", "yes"], ["no", "no"], ["yes", "yes"]),
        )
    )
    assert [run.step.index for run in runs] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert torch.equal(runs[7].step.concept.vectors, runs[3].step.concept.vectors)
    assert runs[6].anchor_scale.tolist() == [2.0] and not runs[-1].done


def test_without_a_yes_the_start_is_kept(pipe, density):
    result = steer(
        pipe, "pet", density=density, config=replace(CHECKED, steps=40), vqa=Says(["no", "no"])
    )
    assert result.stopped.all() and not result.passed.any()
    assert torch.equal(
        result.concept.vectors, TokenConcept.init(pipe, "pet", kind="subject").vectors
    )


def test_checked_concepts_move_as_they_would_alone(pipe, density):
    """This holds also if another concept of the batch is rolled back."""

    class Doubts:
        def ask(self, pictures, question):
            return ["yes", "yes", "no", "no"] if len(pictures) == 4 else ["yes"] * len(pictures)

    config = replace(CHECKED, concepts=2, spread=0.0, steps=6)
    both = steer(pipe, "pet", density=density, config=config, vqa=Doubts())
    one = steer(
        pipe, "pet", density=density, config=replace(config, concepts=1), vqa=Says(["yes", "yes"])
    )
    assert torch.allclose(both.concept.vectors[0], one.concept.vectors[0], atol=1e-4)


@pytest.fixture(scope="module", params=["subject", "lora"])
def slow_config(request):
    """Be slow enough that no concept reaches the target, which would be checked too."""
    lr = 0.2 if request.param == "subject" else 0.001
    return replace(CHECKED, kind=request.param, concepts=2, lr=lr)


@pytest.fixture(scope="module", params=[False, True])
def answers(request):
    return ((["yes", "no"], ["yes", "yes"]),) if request.param else ()


@pytest.fixture(scope="module")
def full(pipe, density, slow_config, answers):
    """Run from beginning to end."""
    vqa = Says(*answers[0]) if answers else None
    return steer(pipe, "pet", density=density, config=slow_config, vqa=vqa)


@pytest.mark.parametrize("stop_at", [1, 4, 8])
def test_an_interrupted_run_resumes_to_the_same_result(
    pipe, density, tmp_path, slow_config, answers, full, stop_at
):
    config = slow_config
    checked = bool(answers)

    def vqa():
        return Says(*answers[0]) if answers else None

    file = tmp_path / "run.safetensors"
    runs = iter_steer(pipe, "pet", density=density, config=config, vqa=vqa(), checkpoint=file)
    for run in runs:
        if run.step.index == stop_at:
            break
    runs.close()
    # The scripted answers begin anew, so pass only those not given before the checkpoint.
    remaining = Says(["yes", "yes"]) if checked and stop_at > 5 else vqa()
    again = steer(pipe, "pet", density=density, config=config, vqa=remaining, checkpoint=file)
    assert all(
        torch.equal(again.concept.tensors[name], value)
        for name, value in full.concept.tensors.items()
    )
    assert torch.equal(again.surprisal, full.surprisal) and again.steps == full.steps
    finished = steer(pipe, "pet", density=density, config=config, vqa=remaining, checkpoint=file)
    assert torch.equal(finished.surprisal, full.surprisal)


def test_a_checkpoint_of_another_run_is_refused(pipe, density, tmp_path):
    file = tmp_path / "run.safetensors"
    steer(pipe, "pet", density=density, config=replace(CONFIG, steps=1), checkpoint=file)
    with pytest.raises(InputError, match="other settings: settings.steps is 1 and not 2"):
        steer(pipe, "pet", density=density, config=replace(CONFIG, steps=2), checkpoint=file)
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read.*expected a saved run"):
        steer(pipe, "pet", density=density, config=CONFIG, checkpoint=file)


def test_a_run_of_one_step_takes_one_step(pipe, density):
    assert [
        run.step.index
        for run in iter_steer(pipe, "pet", density=density, config=replace(CONFIG, steps=1))
    ] == [0]


def test_a_run_interrupted_at_its_last_step_repeats_that_step(pipe, density, tmp_path):
    """The checkpoint is written before the run is advanced by the step."""
    config = replace(CHECKED, steps=4)
    file = tmp_path / "run.safetensors"
    runs = iter_steer(
        pipe, "pet", density=density, config=config, vqa=Says(["yes", "yes"]), checkpoint=file
    )
    for run in runs:
        if run.step.index == 3:
            break
    runs.close()
    again = list(
        iter_steer(
            pipe, "pet", density=density, config=config, vqa=Says(["yes", "yes"]), checkpoint=file
        )
    )
    assert [each.step.index for each in again] == [3]
    assert torch.equal(again[-1].result.vectors, run.result.vectors)
    assert again[-1].valid_share.tolist() == [1.0]


def test_a_checkpoint_depends_on_extra_terms(pipe, density, tmp_path):
    file = tmp_path / "run.safetensors"
    config = replace(CONFIG, steps=1)
    steer(pipe, "pet", density=density, config=config, checkpoint=file)
    with pytest.raises(InputError, match="other settings"):
        steer(
            pipe,
            "pet",
            density=density,
            config=config,
            checkpoint=file,
            extra=Similarity(density.subspace.mean.float().expand(2, 1, -1)),
        )


def test_a_run_that_diverges_returns_its_last_state(pipe, density):
    class Breaks(Similarity):
        calls = 0

        def loss(self, z):
            Breaks.calls += 1
            return super().loss(z) * (float("nan") if Breaks.calls > 3 else 1.0)

    result = steer(
        pipe,
        "pet",
        density=density,
        config=replace(CONFIG, dial=50.0),
        extra=1 * Breaks(density.subspace.mean[None, None].float()),
    )
    assert result.steps == 2 and result.concept.vectors.isfinite().all()


def test_what_is_drawn_is_pulled_back_and_near_the_target(pipe, density):
    concept = TokenConcept.init(pipe, "pet", k=2, generator=torch.Generator().manual_seed(0))
    target = density.quantile(0.9)

    def drawn(**settings):
        return draw_rare(
            pipe,
            concept,
            density=density,
            target=target,
            n=3,
            template="a photo of a {}",
            generator=torch.Generator().manual_seed(1),
            config=replace(CONFIG, **settings),
        )

    free = drawn(pullback=0.0)
    every = concept.sample(pipe, "a photo of a {}", 12, noise=torch.Generator().manual_seed(1))
    assert torch.equal(free, nearest(every, density, target=target, n=3))
    assert not torch.allclose(drawn(pullback=0.3), free)
    assert drawn(pullback=0.3).shape == (2, 3, 16)


def test_the_check_counts_yeses(pipe):
    class Alternates:
        def ask(self, pictures, question):
            assert question == "is this a pet?" and pictures.shape == (6, 3, 16, 16)
            return ["yes", "no", "yes", "no", "no", "no"]

    z = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0))
    assert valid_share(pipe, Alternates(), z, word="pet").tolist() == pytest.approx([2 / 3, 0.0])


def test_inversion_comes_near_pictures(pipe):
    pictures = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    z = pipe.encode_images(pictures)
    exact = textual_inversion(pipe, "pet", pictures, config=SteerConfig(kind="embedding"))
    assert torch.equal(exact.vectors, z)
    found = textual_inversion(
        pipe, "pet", pictures, config=SteerConfig(kind="subject", steps=40, samples=4)
    )
    plain = TokenConcept.init(pipe, "pet").sample(
        pipe, "a photo of a {}", 20, noise=torch.Generator().manual_seed(1)
    )
    near = found.sample(pipe, "a photo of a {}", 20, noise=torch.Generator().manual_seed(1))
    assert (
        cosine_similarity(near, z[:, None], dim=-1).mean(1)
        > cosine_similarity(plain, z[:, None], dim=-1).mean(1)
    ).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("concepts", 0),
        ("candidates", 0),
        ("samples", 0),
        ("steps", 0),
        ("lr", 0.0),
        ("dial", float("inf")),
        ("floor", -0.5),
        ("kind", "verb"),
        ("on_invalid", "cry"),
        ("check_every", 0),
        ("check_samples", 0),
        ("min_valid_share", -1),
        ("min_valid_share", 1.5),
        ("pullback", 1.5),
    ],
)
def test_bad_settings(name, value):
    with pytest.raises(InputError, match=f"{name} is {value!r}"):
        SteerConfig(**{name: value})
