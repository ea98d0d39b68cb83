"""No function of the room takes NaN, infinity or nothing for embeddings, and each names what it is.

The functions are found, so that a new one is tested, too.
"""

import importlib
import inspect
import math
import pkgutil

import pytest
import torch
from jaxtyping import AbstractArray
from torch import Tensor

from creativelib import metrics
from creativelib.errors import InputError
from creativelib.metrics.checks import check_embeddings
from creativelib.metrics.realism import frechet

# They take values of runs, one number each, and rows; their own tests say what they refuse.
OTHERS = ("intervals", "table")
SIZES = {"n": 20, "n2": 20, "m": 24, "s": 2, "d": 4, "h": 5, "w": 5}
# Arguments without a default that are not embeddings.
ARGUMENTS = {"width": 0.7, "divergence": frechet, "name": "z", "least": 1}


def public_functions():
    """Find the public functions of all files of the room."""
    for file in pkgutil.iter_modules(metrics.__path__):
        module = importlib.import_module(f"{metrics.__name__}.{file.name}")
        for name, value in vars(module).items():
            own = inspect.isfunction(value) and value.__module__ == module.__name__
            if own and file.name not in OTHERS and not name.startswith("_"):
                yield value


def axes(annotation):
    """Read the axes from jaxtyping's words; no tensor has none."""
    if annotation is Tensor:
        return ["n", "d"]
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray):
        return [word.lstrip("*#") for word in annotation.dim_str.split()]
    return []


def arguments(function):
    """Make good arguments; list the axes of those that are tensors."""
    made = {}
    tensors = {}
    parameters = inspect.signature(function, eval_str=True).parameters
    for place, (name, parameter) in enumerate(parameters.items()):
        if words := axes(parameter.annotation):
            size = [int(word) if word.isdigit() else SIZES[word] for word in words]
            made[name] = torch.rand(size, generator=torch.Generator().manual_seed(place))
            tensors[name] = words
        elif parameter.default is inspect.Parameter.empty:
            made[name] = ARGUMENTS[name]
    return made, tensors


FUNCTIONS = {function.__name__: function for function in public_functions()}
CASES = [
    pytest.param(function, name, id=f"{function.__name__}-{name}")
    for function in FUNCTIONS.values()
    for name in arguments(function)[1]
]


def test_functions_are_found():
    assert {"cmmd", "fidelity", "frechet", "gaussian_kl", "ken", "psnr", "vendi"} <= set(FUNCTIONS)
    assert len(CASES) > 25


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_good_arguments_are_taken(function):
    """Or the other tests would show nothing."""
    function(**arguments(function)[0])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("function, name", CASES)
def test_numbers_that_are_not_finite_are_refused_by_name(function, name, value):
    made, _ = arguments(function)
    made[name].view(-1)[3] = value
    with pytest.raises(InputError, match=rf"^{made.get('name', name)}\b.*; expected "):
        function(**made)


@pytest.mark.parametrize("function, name", CASES)
def test_empty_sets_are_refused_by_name(function, name):
    made, tensors = arguments(function)
    if len(tensors[name]) == 1:
        return  # a vector without numbers does not fit the others
    # What shares its first axis has to be as long.
    empty = [other for other, words in tensors.items() if words[0] == tensors[name][0]]
    names = "|".join([*empty, made.get("name", name)])
    with pytest.raises(InputError, match=rf"^({names})\b.*; expected "):
        function(**made | {other: made[other][:0] for other in empty})


def test_the_message_says_where_and_what():
    z = torch.zeros(3, 4)
    z[1, 2] = math.nan
    with pytest.raises(InputError, match=r"^z\[1, 2\] is nan; expected finite numbers$"):
        check_embeddings("z", z)
    with pytest.raises(InputError, match=r"^z is of shape \(3, 0\); expected at least one dim"):
        check_embeddings("z", torch.zeros(3, 0))
    with pytest.raises(InputError, match=r"^z holds 3 embeddings; expected at least 4$"):
        check_embeddings("z", z, 4)
