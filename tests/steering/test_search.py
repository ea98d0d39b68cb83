"""The line search: goals on both sides of a guess, behind a dip, and out of reach."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from creativelib.steering.search import reach


def closeness(excess, start, close=1e-3):
    start = torch.tensor(start, dtype=torch.float64)
    near = torch.full_like(start, close)
    return reach(excess, start, near)


@given(st.lists(st.floats(0.01, 1000), min_size=1, max_size=5))
def test_a_goal_is_reached_however_wrong_the_guess(goals):
    """Along a path with the value t^2."""
    wanted = torch.tensor(goals, dtype=torch.float64)

    def excess(t):
        return (t.square() - wanted) / wanted

    found = closeness(excess, [-1.0] * len(goals))
    assert excess(found).abs().max() <= 1e-3


def test_a_guess_that_is_near_enough_is_kept_beside_one_that_is_not():
    found = closeness(lambda t: t * torch.tensor([1.0005, 4.0]) - 1, [-1.0, -1.0])
    assert found[0] == 1 and abs(found[1] - 0.25) < 1e-3


def test_a_goal_that_is_met_for_a_moment_only_is_found():
    """The value rises to its goal before the guess and has fallen again at the guess."""

    def excess(t):
        return 1 - 16 * (t - 0.3).square() - 0.9

    assert abs(excess(closeness(excess, [-1.34]))) <= 1e-3


def test_a_goal_out_of_reach_ends_where_the_value_is_nearest():
    def excess(t):
        return -1 - (t - torch.tensor([0.05, 0.7, 1.0, 5.0, 0.0])).square()

    found = closeness(excess, [-1.0025, -1.49, -2.0, -26.0, -1.0])
    assert torch.allclose(found, torch.tensor([0.05, 0.7, 1.0, 5.0, 0.0]).double(), atol=2e-3)


def test_a_path_without_a_way_to_go_stays():
    assert closeness(lambda t: 0 * t, [0.0, 0.0]).tolist() == [1, 1]
