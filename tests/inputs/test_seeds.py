"""Seeds of any size: old ones give the old bits, large ones differ."""

import re
from pathlib import Path

import pytest
import torch

from creativelib.errors import InputError, shown
from creativelib.fitting import loop as fitting
from creativelib.optimization.loop import step_generator
from creativelib.seeds import LARGEST, check_seed, first_seed, mixed, seeded

ROOT = Path(__file__).parents[2]
OLD = (0, 1, 7, 41, 2**31, 2**32 - 1)
LARGE = (2**32, 2**32 + 1, 2**33, 2**40, 2**40 + 1, 2**41, 2**62, LARGEST)


def first(generator: torch.Generator) -> tuple[int, ...]:
    return tuple(torch.randint(2**31, (4,), generator=generator).tolist())


@pytest.mark.parametrize("seed", OLD)
def test_seeds_of_32_bits_give_torchs_own_numbers(seed):
    old = torch.Generator().manual_seed(seed)
    assert torch.equal(seeded(seed).get_state(), old.get_state()) and mixed(seed) == seed


def test_all_bits_of_a_seed_count():
    """Torch itself takes 32 of them, so that 2**40 would be 0."""
    many = [step * 2**32 + offset for step in range(1, 60) for offset in range(5)]
    seeds = {*OLD, *LARGE, *many}
    assert len({first(seeded(seed)) for seed in seeds}) == len(seeds)
    assert first(torch.Generator().manual_seed(2**40)) == first(torch.Generator().manual_seed(0))


def test_the_device_is_the_wanted_one():
    assert seeded(3, "cpu").device == seeded(3, torch.device("cpu")).device == torch.device("cpu")


@pytest.mark.parametrize(
    "seed",
    [-1, 2**63, 2**64, 10**5000, True, 1.0, "1", None, float("nan"), float("inf")],
    ids=shown,
)
def test_other_seeds_are_refused(seed):
    with pytest.raises(InputError, match="seed is "):
        check_seed(seed)


@pytest.mark.parametrize("index", [-7, -1, 0, 1, 59, 600])
def test_steps_have_the_old_noise_for_old_seeds_and_their_own_for_large_ones(index):
    for seed in OLD:
        old = torch.Generator().manual_seed((seed * 1_000_003 + index * 7_919) % 2**63)
        assert first(step_generator(seed, index)) == first(old)
    seeds = {*OLD, *LARGE}
    assert len({first(step_generator(seed, index)) for seed in seeds}) == len(seeds)


def test_runs_have_the_old_noise_for_old_seeds_and_their_own_for_large_ones():
    """A thousand times 2**29 is 0 to torch, and so was every multiple of it."""
    for seed in (0, 1, 5, 400, 20_251_231, 2**29 - 1):
        assert (first_seed(seed) - 1000 * seed) % 2**32 == 0
        old = torch.Generator().manual_seed((1000 * seed + 3) * 1_000_003 % 2**63)
        assert first(step_generator(first_seed(seed) + 3, 0)) == first(old)
    seeds = [0, 1, 2**29 - 1, 2**29, 2**29 + 1, 2**30, *LARGE]
    noises = {first(step_generator(first_seed(seed) + i, 0)) for seed in seeds for i in range(3)}
    assert len(noises) == 3 * len(seeds)


def test_trainings_have_the_old_noise_for_old_seeds_and_their_own_for_large_ones():
    def recipe(seed: int) -> fitting.Recipe:
        return fitting.Recipe(name="test", steps=1, batch=1, lr=1.0, seed=seed)

    for seed in (0, 41, 5000):
        old = torch.Generator().manual_seed(seed * 1_000_003 + 9)
        assert first(fitting.generator(recipe(seed), 9)) == first(old)
    drawn = {first(fitting.generator(recipe(seed), 9)) for seed in (*OLD, *LARGE)}
    assert len(drawn) == len(OLD) + len(LARGE)


def test_generators_are_made_in_one_place():
    made = re.compile(r"Generator\([^()]*\)\.manual_seed")
    files = [*(ROOT / "creativelib").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    found = {
        str(file.relative_to(ROOT / "creativelib"))
        for file in files
        if made.search(file.read_text(encoding="utf-8"))
    }
    # The two loops number their steps, see the tests above.
    assert found == {"seeds.py", "optimization/loop.py", "fitting/loop.py"}
