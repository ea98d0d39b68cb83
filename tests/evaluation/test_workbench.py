"""The workbench's account: shared learning is charged to each, a category's work to nobody."""

import time

import torch


def seeds(seed):
    return torch.Generator().manual_seed(seed)


def test_learning_is_done_once_and_charged_each_time(bench):
    asked = []

    def learn(bench, word, seed):
        asked.append((word, seed))
        cond = bench.pipe.encode_text([f"a photo of a {word}"])
        time.sleep(0.02)
        return bench.pipe.sample_prior(cond, 3, noise=seeds(seed))

    def more(bench, word, seed):
        z = bench.learned(learn, word, seed)
        return bench.pipe.decode(z, generator=seeds(seed))

    def cost(function):
        before = bench.spent()
        bench.learned(function, "pet", 7)
        return bench.spent() - before

    found = [cost(function) for function in (more, learn, more, learn)]
    assert asked == [("pet", 7)]
    assert [each.prior for each in found] == [15] * 4
    guidance, steps = bench.pipe.decode_defaults
    rows = 3 * steps * (2 if guidance > 1 else 1)
    assert [each.decoder for each in found] == [rows, 0, rows, 0]
    assert min(each.seconds for each in found) > 0.019
    # The second time nothing is decoded, and the first time's seconds are charged.
    assert found[2].seconds > found[0].seconds * 0.999


def test_what_belongs_to_a_category_is_free(bench):
    before = bench.spent()
    with bench.free():
        time.sleep(0.02)
        bench.pipe.sample_prior(bench.pipe.encode_text(["a pet"]), 3, noise=seeds(0))
    reference = bench.reference("pet")
    cost = bench.spent() - before
    assert (cost.prior, cost.decoder) == (0, 0) and cost.seconds < 0.019
    assert bench.reference("pet") is reference and bench.density("pet") is reference.density
