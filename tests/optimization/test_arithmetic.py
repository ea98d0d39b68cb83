"""Terms behave like numbers: + - * / and `sum`, with functions of one's own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from creativelib.errors import InputError
from creativelib.optimization.objectives import Objective, Similarity, as_objective

Z = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0))
NEAR = Similarity(torch.ones(3, 1, 8))
WEIGHTS = st.floats(-4, 4, allow_nan=False)


def first(z: torch.Tensor) -> torch.Tensor:
    return z[..., 0].mean(1)


def scalar(z: torch.Tensor) -> torch.Tensor:
    return z.mean()


def per_sample(z: torch.Tensor) -> torch.Tensor:
    return z.mean(2)


@given(WEIGHTS, WEIGHTS)
def test_arithmetic_is_that_of_the_values(a, b):
    own = as_objective(first)
    near = NEAR.loss(Z)
    expected = a * near - b * first(Z) + first(Z) / 2 - near
    total = (a * NEAR - b * own + own / 2 - NEAR)(Z).total
    assert torch.allclose(total, expected, atol=1e-5)
    assert torch.allclose((-own)(Z).total, -first(Z))


def test_sum_and_plain_functions():
    summed = sum([NEAR, as_objective(first), NEAR * 2])
    assert isinstance(summed, Objective)
    assert torch.allclose(summed(Z).total, 3 * NEAR.loss(Z) + first(Z), atol=1e-6)
    assert torch.equal((NEAR + first)(Z).total, (first + NEAR)(Z).total)
    assert torch.equal((first - NEAR)(Z).total, first(Z) - NEAR.loss(Z))
    assert list(summed(Z).named) == ["similarity", "first", "similarity 2"]


@pytest.mark.parametrize("function", [scalar, per_sample])
def test_anything_but_one_value_a_concept_is_refused(function):
    with pytest.raises(InputError, match=rf"term '{function.__name__}' .* expected \(3,\)"):
        as_objective(function)(Z)


def test_what_is_neither_a_term_nor_a_function_is_refused():
    with pytest.raises(InputError, match="objective is 3"):
        as_objective(3)
    assert as_objective(None).parts == as_objective(0).parts == ()
