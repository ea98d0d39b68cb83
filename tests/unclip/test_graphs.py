"""CUDA graphs: a replay computes what a call would have computed."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import pytest
import torch

from creativelib.concept import TokenConcept
from creativelib.optimization.loop import optimize
from creativelib.optimization.objectives import Anchor, Rarity, Term
from creativelib.steering.target import fit_baseline
from creativelib.unclip import graphs
from creativelib.unclip.graphs import Replayed
from creativelib.unclip.pipeline import load
from creativelib.unclip.prior import PriorSampling

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_a_cpu_calls_the_function_each_time():
    calls = []
    replayed = Replayed(lambda: calls.append(None) or len(calls), torch.device("cpu"))
    assert [replayed() for _ in range(5)] == [1, 2, 3, 4, 5]


@CUDA
def test_a_graph_reads_the_current_values_of_its_inputs():
    x = torch.ones(3, device="cuda")
    replayed = Replayed(lambda: (2 * x).sum(), x.device)
    found = []
    for value in range(6):
        x.fill_(value)
        found.append(replayed().item())
    assert found == [6.0 * value for value in range(6)] and replayed.graph is not None


@CUDA
def test_a_function_that_waits_for_the_gpu_is_called_each_time():
    x = torch.ones(3, device="cuda")
    replayed = Replayed(lambda: x * x.sum().item(), x.device)
    found = [replayed() for _ in range(2)]
    with pytest.warns(UserWarning, match="cannot be recorded as a CUDA graph"):
        found.append(replayed())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.append(replayed())
    assert all(torch.equal(each, 3 * torch.ones(3, device="cuda")) for each in found)
    assert replayed.graph is None


class Asking(Term):
    """A term that no graph can hold."""

    name = "asking"

    def loss(self, z):
        return z.square().mean((1, 2)) * float(z.mean().item() < 1e9)


@CUDA
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_replayed_run_is_the_run_itself(dtype, monkeypatch):
    """There are two templates, so that two graphs share the vectors and the noise."""
    pipe = load("menagerie", "cuda", dtype)
    density = fit_baseline(pipe, "a photo of a pet").to(pipe.device)
    objective = Rarity(density, 60.0) + 40 * Anchor(pipe, "a photo of a pet")
    start = TokenConcept.init(pipe, "pet", k=3, generator=torch.Generator().manual_seed(0))
    run = partial(
        optimize,
        pipe,
        start,
        objective,
        templates=["a photo of a {}", "a {}"],
        steps=12,
        n=2,
        sampling=PriorSampling(guidance=2.0),
    )
    ends = {}
    for name, eager in (("eager", 10**9), ("replayed", 2)):
        monkeypatch.setattr(graphs, "EAGER", eager)
        steps = list(run())
        # No step overwrites the embeddings of the one before it.
        assert all(not torch.equal(a.z, b.z) for a, b in pairwise(steps))
        ends[name] = steps[-1]
    assert torch.allclose(
        ends["eager"].concept.vectors, ends["replayed"].concept.vectors, atol=2e-3 * start.scale
    )
    assert torch.allclose(ends["eager"].terms.total, ends["replayed"].terms.total, rtol=1e-2)


@CUDA
def test_a_term_that_no_graph_can_hold_warns(monkeypatch):
    pipe = load("menagerie", "cuda")
    start = TokenConcept.init(pipe, "pet")
    with pytest.warns(UserWarning, match="cannot be recorded"):
        steps = list(optimize(pipe, start, 1.0 * Asking(), steps=5))
    assert len(steps) == 5 and not torch.equal(steps[-1].concept.vectors, start.vectors)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_steps_of_networks_that_take_turns_are_not_replayed(stack, device, monkeypatch):
    """Pictures are drawn between steps.

    So the prior leaves the device, and returns to another place in memory.
    """
    recorded = []
    ends = []
    record = Replayed._record
    monkeypatch.setattr(Replayed, "_record", lambda self: recorded.append(self) or record(self))
    for offload in (False, True):
        pipe = load(stack, device, torch.float32, offload=offload)
        objective = Anchor(pipe, "a photo of a pet")
        recorded.clear()
        for step in optimize(pipe, TokenConcept.init(pipe, "pet"), 1.0 * objective, steps=6, n=2):
            with torch.no_grad():
                pipe.decode(step.z, generator=torch.Generator().manual_seed(0), steps=1)
        assert bool(recorded) == (device == "cuda" and not offload)
        ends.append(step.concept.vectors)
    assert torch.allclose(*ends, atol=1e-4)


@CUDA
def test_threads_record_and_replay_at_once():
    pipe = load("menagerie", "cuda")
    density = fit_baseline(pipe, "a photo of a pet").to(pipe.device)

    def run(seed):
        start = TokenConcept.init(pipe, "pet")
        steps = optimize(pipe, start, 1.0 * Rarity(density, 60.0), steps=8, n=2, seed=seed)
        return list(steps)[-1].concept.vectors

    alone = [run(seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(run, range(3)))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(alone, together, strict=True))
