"""The big table's methods, and one's own: rows like the table's, measured anew when changed."""

import pytest
import torch

from creativelib.errors import InputError
from creativelib.evaluation import scores
from creativelib.evaluation.baselines import Samples
from creativelib.evaluation.methods import (
    FULL,
    METHODS,
    Workbench,
    evaluate,
    identity,
    measure,
    negative_pair,
    own_method,
)
from creativelib.evaluation.protocol import Cell
from creativelib.notebook.stored import results
from creativelib.vision.judge import Judge
from creativelib.vision.vqa import BlipVqa
from creativelib.world import category
from creativelib.world.oracle import Oracle


@pytest.fixture(scope="module")
def bench(menagerie):
    """Load the bundled models with small references."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "SEEN", 24)
        patch.setattr(scores, "FLOOR_SIZE", 8)
        oracle = Oracle.load()
        yield Workbench(menagerie, Judge.load(), oracle, oracle, BlipVqa.load())


def repeated(pipe, word, n, generator):
    z = pipe.sample_prior(pipe.encode_text([f"a photo of a {word}"]), 1, noise=generator)[0]
    return z.expand(n, -1)


@pytest.mark.filterwarnings("ignore::creativelib.metrics.intervals.FewPicturesWarning")
def test_rows_are_like_the_tables(bench):
    rows = evaluate(repeated, "pet", seeds=2, pictures=4, bench=bench)
    assert [(row["method"], row["category"], row["seed"]) for row in rows] == [
        ("repeated", "pet", 0),
        ("repeated", "pet", 1),
    ]
    stored = results("evaluation")[0]
    assert set(rows[0]) == set(stored) | {"identity"}
    assert rows[0]["identity"]["model"] == bench.pipe.fingerprint[:12]
    # Copies of one picture do not vary: the metrics see it.
    assert rows[0]["Vendi, q = 1"] == pytest.approx(1, abs=0.2)


@pytest.mark.filterwarnings("ignore::creativelib.metrics.intervals.FewPicturesWarning")
def test_a_file_keeps_rows_until_the_method_changes(bench, tmp_path):
    file = tmp_path / "rows.jsonl"
    asked = []

    def counted(pipe, word, n, generator):
        asked.append(word)
        return repeated(pipe, word, n, generator)

    first = evaluate(counted, "pet", seeds=1, pictures=4, file=file, bench=bench)
    again = evaluate(counted, "pet", seeds=1, pictures=4, file=file, bench=bench)
    assert first == again and len(asked) == 1
    changed = {"strength": 2}
    evaluate(counted, "pet", seeds=1, pictures=4, file=file, bench=bench, settings=changed)
    assert len(asked) == 2


def test_samples_are_taken_as_they_are(bench):
    given = Samples(torch.zeros(2, 96), torch.rand(2, 3, 64, 64))
    method = own_method(lambda pipe, word, n, generator: given)
    assert method.draw(bench, "pet", 2, 0) is given


@pytest.mark.parametrize("wrong", [torch.zeros(3, 96), torch.zeros(96), None])
def test_a_method_that_returns_something_else_is_refused(bench, wrong):
    method = own_method(lambda pipe, word, n, generator: wrong)
    with pytest.raises(InputError, match=r"expected embeddings of shape \(2, 96\)"):
        method.draw(bench, "pet", 2, 0)


def test_unknown_names_are_refused(bench):
    with pytest.raises(InputError, match="method is 'magic'"):
        evaluate("magic", "pet", bench=bench)
    with pytest.raises(InputError, match="'zebra'"):
        evaluate(repeated, "zebra", bench=bench)


@pytest.mark.parametrize("pictures", [0, 3, 65])
def test_a_number_of_pictures_that_cannot_be_scored_is_refused_at_once(pictures):
    with pytest.raises(InputError, match=f"pictures is {pictures}; expected 4 to 64"):
        evaluate(repeated, "pet", pictures=pictures)


def test_the_tables_methods_are_those_that_are_stored():
    assert list(METHODS) == list(dict.fromkeys(row["method"] for row in results("evaluation")))
    assert len(FULL.cells()) == len(results("evaluation")) == 13 * 8 * 5


def test_negatives_are_pairs_of_species():
    pairs = [negative_pair("pet", seed) for seed in range(4)]
    assert pairs[0] == pairs[3] and sum(pairs[:3], []) == list(category("pet").species)[:6]


@pytest.mark.filterwarnings("ignore::creativelib.metrics.intervals.FewPicturesWarning")
@pytest.mark.parametrize("name", ["plain", "negative prompt, decoder", "random mix"])
def test_a_method_of_the_table_is_measured(bench, name):
    with torch.no_grad():
        row = measure(bench, METHODS[name], Cell(name, "pet", 0, 4))
    assert len(row["seen"]) == 4 and 0 <= row["true: valid"] <= 1
    assert identity(bench, METHODS[name])["settings"] == METHODS[name].settings
