"""Generators of random numbers from seeds.

Torch's generator on a CPU takes the low 32 bits of a seed and drops the others, so that 2**40 would
be seed 0. Here larger seeds are mixed, and smaller ones stay as they are.
"""

import numpy as np
import torch

from .errors import whole

# The largest seed that torch takes.
LARGEST = 2**63 - 1
# Seeds below are left as they are.
UNMIXED = 2**32
# So many seeds apart, torch would take a thousand times one seed for a thousand times the other.
UNMIXED_RUNS = 2**29


def check_seed(seed: object, name: str = "seed") -> int:
    """Return a seed, a whole number from 0 to 2**63 - 1, or raise InputError."""
    return whole(name, seed, 0, LARGEST)


def mixed(seed: int) -> int:
    """Return a number of 63 bits whose low 32 bits depend on all of a seed.

    Seeds below 2**32 stay as they are, so that results of old seeds stay what they were.
    """
    if seed < UNMIXED:
        return seed
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]) >> 1


def seeded(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator with a seed from 0 to 2**63 - 1. Raises InputError for any other."""
    return torch.Generator(device).manual_seed(mixed(check_seed(seed)))


def first_seed(seed: int) -> int:
    """Return the seed of a run's first concept; that of concept i is larger by i.

    They are a thousand apart: runs whose seeds are neighbors would share their noise.
    """
    first = 1000 * seed
    return first % UNMIXED if seed < UNMIXED_RUNS else first
