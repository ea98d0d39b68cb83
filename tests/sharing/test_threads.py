"""Threads that share what is loaded get what each gets alone, bit for bit."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Event, current_thread
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from creativelib.concept import LoraConcept, TokenConcept
from creativelib.density import FlowDensity
from creativelib.sharing import Remembered, gpu_turn
from creativelib.unclip import pipeline
from creativelib.unclip.graphs import short_attention
from creativelib.unclip.pipeline import Pipeline, load
from creativelib.unclip.prior import PriorSampling

GUIDED = PriorSampling(guidance=2.0, steps=2)
# Seconds after which a test fails in which threads wait for each other.
PATIENCE = 10


@pytest.fixture(autouse=True)
def busy() -> Iterator[None]:
    """Have Python switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def together(jobs: list[Callable[[], Any]], times: int = 1) -> list[list[Any]]:
    """Run each job `times` times in a thread of its own, all at once; return their results."""
    barrier = Barrier(len(jobs))

    def repeat(job: Callable[[], Any]) -> list[Any]:
        barrier.wait(PATIENCE)
        return [job() for _ in range(times)]

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [found.result() for found in [pool.submit(repeat, job) for job in jobs]]


def assert_as_alone(jobs: list[Callable[[], Tensor]], times: int) -> None:
    alone = [job() for job in jobs]
    for expected, results in zip(alone, together(jobs, times), strict=True):
        assert all(torch.equal(result, expected) for result in results)
    assert all(torch.equal(job(), expected) for job, expected in zip(jobs, alone, strict=True))


@contextmanager
def held(layer: nn.Module, threads: dict[str, tuple[Event, Event]]) -> Iterator[None]:
    """Stop named threads when they first reach a layer: each sets one event, waits for another."""

    def stop(*_: object) -> None:
        name = current_thread().name
        if name in threads:
            reached, go_on = threads.pop(name)
            reached.set()
            assert go_on.wait(PATIENCE)

    hook = layer.register_forward_hook(stop)
    try:
        yield
    finally:
        hook.remove()


def overlap(
    layer: nn.Module, first: Callable[[], Tensor], second: Callable[[], Tensor]
) -> tuple[Tensor, Tensor]:
    """Begin the first job, begin the second inside of it, end the first, then the second."""
    first_in = Event()
    second_in = Event()
    first_done = Event()
    stops = {"first_0": (first_in, second_in), "second_0": (second_in, first_done)}
    with held(layer, stops), ThreadPoolExecutor(1, "first") as one:
        with ThreadPoolExecutor(1, "second") as two:
            try:
                outer = one.submit(first)
                assert first_in.wait(PATIENCE)
                inner = two.submit(second)
                found = outer.result(PATIENCE)
                first_done.set()
                return found, inner.result(PATIENCE)
            finally:
                second_in.set()
                first_done.set()


def assert_overlap_as_alone(
    layer: nn.Module, first: Callable[[], Tensor], second: Callable[[], Tensor]
) -> None:
    alone = (first(), second())
    for found, expected in zip(overlap(layer, first, second), alone, strict=True):
        assert torch.equal(found, expected)
    # Nothing is left behind.
    assert torch.equal(first(), alone[0])
    assert torch.equal(second(), alone[1])


def sampling(pipe: Pipeline, prompt: str, seed: int) -> Callable[[], Tensor]:
    def sample() -> Tensor:
        cond = pipe.encode_text([prompt])
        return pipe.sample_prior(cond, 2, noise=seeded(seed), sampling=GUIDED)

    return sample


def test_texts_of_two_lengths_pass_the_prior_at_once(pipe):
    short = sampling(pipe, "pet", 1)
    long = sampling(pipe, "a photo of a pet and a plant", 2)
    assert_overlap_as_alone(pipe.prior.proj_in, short, long)


def test_a_spliced_concept_stays_in_its_own_prompt(pipe):
    vectors = torch.randn(1, pipe.token_table.shape[1], generator=seeded())

    def spliced() -> Tensor:
        return pipe.encode_spliced("a photo of a pet", 5, vectors).tokens

    def plain() -> Tensor:
        return pipe.encode_text(["a photo of a pet"]).tokens

    layer = pipe.text_encoder.text_model.embeddings.position_embedding
    assert_overlap_as_alone(layer, spliced, plain)
    assert_overlap_as_alone(layer, plain, spliced)


def test_one_lora_concept_is_drawn_in_two_ways_at_once(pipe):
    start = LoraConcept.init(pipe, "pet", 2, seeded())
    noisy = {
        name: value + 0.1 * torch.randn(value.shape, generator=seeded(3))
        for name, value in start.tensors.items()
    }
    one = start.with_tensors(noisy)
    other = start.with_tensors({name: value.flip(0) for name, value in noisy.items()})

    def draw(concept: LoraConcept, n: int) -> Callable[[], Tensor]:
        return lambda: concept.sample(pipe, "a photo of a {}", n, noise=seeded(n), sampling=GUIDED)

    assert_overlap_as_alone(start.prior.proj_in, draw(one, 1), draw(other, 3))


def test_all_at_once(pipe):
    """Several threads sample, splice, use LoRA concepts, decode and look at pictures."""
    token = TokenConcept.init(pipe, "pet", 2, seeded(), kind="feature")
    lora = LoraConcept.init(pipe, "plant", 2, seeded())
    up = {name: value + 0.05 for name, value in lora.tensors.items()}
    lora = lora.with_tensors(up)
    z = torch.randn(1, 2, 16, generator=seeded(5))
    pictures = torch.rand(2, 3, 20, 20, generator=seeded(6))
    jobs = [
        sampling(pipe, "a photo of a pet", 1),
        sampling(pipe, "plant", 2),
        lambda: token.sample(pipe, "a photo of a {}", 2, noise=seeded(3), sampling=GUIDED),
        lambda: lora.sample(pipe, "a {}", 2, noise=seeded(4), sampling=GUIDED),
        lambda: pipe.decode(z, generator=seeded(5), guidance=2.0, steps=2),
        lambda: pipe.encode_images(pictures),
    ]
    assert_as_alone(jobs, times=4)


def test_gradients_in_threads(pipe):
    def gradient(word: str) -> Callable[[], Tensor]:
        def compute() -> Tensor:
            concept = TokenConcept.init(pipe, word)
            vectors = concept.vectors.requires_grad_()
            z = concept.sample(pipe, "a photo of a {}", 2, noise=seeded(1), sampling=GUIDED)
            return torch.autograd.grad(z.square().sum(), vectors)[0]

        return compute

    assert_as_alone([gradient("pet"), gradient("plant"), gradient("photo")], times=3)


def test_threads_forget_and_remember_prompts_at_once(stack, monkeypatch):
    monkeypatch.setattr(pipeline, "CACHED_PROMPTS", 1)
    pipe = load(stack, "cpu")
    words = ["a pet", "a plant", "a photo of a pet", "photo"]

    def encode(offset: int) -> Callable[[], Tensor]:
        def encode_all() -> Tensor:
            order = words[offset:] + words[:offset]
            concept = TokenConcept.init(pipe, "pet")
            place = concept.condition(pipe, "a {}").pooled
            return torch.cat([place, *(pipe.encode_text([word]).pooled for word in order)])

        return encode_all

    assert_as_alone([encode(offset) for offset in range(4)], times=10)


def test_flows_fitted_in_threads_draw_their_weights_apart():
    z = torch.randn(40, 3, generator=seeded())

    def fit(seed: int) -> Callable[[], Tensor]:
        return lambda: FlowDensity.fit(z, pca=1.0, residual=False, steps=1, seed=seed).fit_surprisal

    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert_as_alone([fit(1), fit(2)], times=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_flow_stays_where_other_threads_use_it(monkeypatch):
    """Simulated: `meta` is the other device."""
    z = torch.randn(40, 3, generator=seeded())
    density = FlowDensity.fit(z, pca=1.0, residual=False, steps=1)
    density._flow_on(torch.device("meta"))
    assert all(p.device.type == "cpu" for p in density.flow.parameters())


def test_what_is_remembered_is_made_outside_of_the_lock():
    """Otherwise a slow value would stop all threads, and one that needs another would hang."""
    cache = Remembered(2)
    made = []

    def make(key: str) -> Callable[[], str]:
        return lambda: made.append(key) or key.upper()

    assert cache.get("a", lambda: cache.get("b", make("b")) + "a") == "Ba"
    assert cache.get_all(["b", "c", "b"], lambda new: [make(key)() for key in new]) == {
        "b": "B",
        "c": "C",
    }
    assert made == ["b", "c"]
    # The least recently used was forgotten.
    assert cache.get("a", make("a")) == "A"


def test_short_attention_is_switched_for_one_thread_at_a_time():
    """Simulated: torch's switches are set without a GPU, where they have no effect."""
    gpu = torch.device("cuda")
    default = torch.backends.cuda.flash_sdp_enabled()

    def short() -> bool:
        with gpu_turn(gpu), short_attention(gpu):
            return torch.backends.cuda.flash_sdp_enabled()

    def other() -> bool:
        with gpu_turn(gpu):
            return torch.backends.cuda.flash_sdp_enabled()

    found = together([short, other, short, other], times=50)
    assert found == [[False] * 50, [default] * 50] * 2
    assert torch.backends.cuda.flash_sdp_enabled() == default
