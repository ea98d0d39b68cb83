"""The big table's methods, and one's own: rows like the table's, measured anew when changed."""

from dataclasses import replace

import pytest
import torch

from creativelib.errors import InputError
from creativelib.evaluation.baselines import Samples
from creativelib.evaluation.drafts import negative_pair
from creativelib.evaluation.methods import (
    ALONE,
    BASES,
    FULL,
    METHODS,
    SELECTED,
    evaluate,
    family,
    identity,
    measure,
    own_method,
)
from creativelib.evaluation.protocol import Cell
from creativelib.notebook.stored import results
from creativelib.world import category

COUNTED = {"candidates", "prior evaluations a picture", "decoder evaluations a picture"}
# Metrics that stored rows have once they are measured anew.
NEW = {"CMMD, judge", "KEN, judge", "rarity score, judge", "authenticity, judge"}


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
    assert set(rows[0]) - NEW == set(stored) - NEW | COUNTED | {"identity"}
    assert rows[0]["identity"]["model"] == bench.pipe.fingerprint[:12]
    # One embedding of five steps serves four pictures.
    assert rows[0]["prior evaluations a picture"] == 5 / 4


@pytest.mark.filterwarnings("ignore::creativelib.metrics.intervals.FewPicturesWarning")
def test_a_file_keeps_rows_until_the_method_changes(bench, tmp_path):
    file = tmp_path / "rows.jsonl"
    asked = []

    def counted(pipe, word, n, generator):
        asked.append(n)
        return repeated(pipe, word, n, generator)

    first = evaluate(counted, "pet", seeds=1, pictures=4, file=file, bench=bench)
    again = evaluate(counted, "pet", seeds=1, pictures=4, file=file, bench=bench)
    assert first == again and asked == [4]
    changed = {"strength": 2}
    evaluate(counted, "pet", seeds=1, pictures=4, file=file, bench=bench, settings=changed)
    assert asked == [4, 4]
    named = {"name": "counted", "candidates": 3}
    (row,) = evaluate(counted, "pet", 1, pictures=4, file=file, bench=bench, **named)
    assert asked == [4, 4, 12] and row["candidates"] == 3


def test_samples_are_taken_as_they_are(bench):
    given = Samples(torch.zeros(2, 96), torch.rand(2, 3, 64, 64))
    method = own_method(lambda pipe, word, n, generator: given)
    assert method.draw(bench, "pet", 2, 0) is given


@pytest.mark.parametrize("wrong", [torch.zeros(3, 96), torch.zeros(96), None])
def test_a_method_that_returns_something_else_is_refused(bench, wrong):
    method = own_method(lambda pipe, word, n, generator: wrong)
    with pytest.raises(InputError, match=r"expected embeddings of shape \(2, 96\), or Samples"):
        method.draw(bench, "pet", 2, 0)


def test_pictures_that_are_there_already_cannot_be_chosen(bench):
    given = Samples(torch.zeros(8, 96), torch.rand(8, 3, 64, 64))
    method = own_method(lambda pipe, word, n, generator: given, candidates=4)
    words = r"returned Samples; expected embeddings of shape \(8, 96\) for 4 candidates"
    with pytest.raises(InputError, match=words):
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


@pytest.mark.parametrize("name", ["rarity steering", "ConceptLab, settled, best of 4"])
def test_pictures_that_concepts_cannot_share_are_refused_at_once(name):
    with pytest.raises(InputError, match="pictures is 18; expected a multiple of 4, the concepts"):
        evaluate(name, "pet", pictures=18)


@pytest.mark.parametrize("candidates", [0, -1, True])
def test_candidates_that_are_no_number_are_refused_at_once(candidates):
    with pytest.raises(InputError, match="candidates is"):
        evaluate(repeated, "pet", candidates=candidates)


def test_each_method_comes_without_selection_and_with_it():
    stored = list(dict.fromkeys(row["method"] for row in results("evaluation")))
    assert [name for name in METHODS if name in stored] == stored and set(stored) <= set(BASES)
    for name, method in BASES.items():
        found = {member.candidates: title for title, member in family(name, method).items()}
        assert set(found) >= ({1} if name in ALONE else {1, SELECTED})
        assert found[method.candidates] == name
        assert all(METHODS[title].candidates == c for c, title in found.items())
    assert METHODS["rarity steering"].candidates == 4
    assert METHODS["rarity steering, one candidate"].candidates == 1
    assert METHODS["plain, best of 4"].settings == METHODS["plain"].settings
    for name, of in (("plain", 256), ("plain", 2000), ("random parts", 64), ("random parts", 256)):
        assert METHODS[f"{name}, best of {of // 16}"].candidates == of // 16
    assert len(FULL.cells()) == len(METHODS) * 8 * 5 and FULL.pictures == 16


def test_negatives_are_pairs_of_species():
    pairs = [negative_pair("pet", seed) for seed in range(4)]
    assert pairs[0] == pairs[3] and sum(pairs[:3], []) == list(category("pet").species)[:6]


@pytest.mark.filterwarnings("ignore::creativelib.metrics.intervals.FewPicturesWarning")
@pytest.mark.parametrize(
    "name, embeddings",
    [
        ("plain", 1),
        ("plain, best of 4", 4),
        ("guidance 4", 2),
        # The negatives of the decoder are drawn for the chosen alone.
        ("negative prompt, decoder", 1 + 1),
        ("negative prompt, decoder, best of 4", 4 + 1),
        ("random mix", 2),
    ],
)
def test_a_method_of_the_table_is_measured(bench, name, embeddings):
    with torch.no_grad():
        row = measure(bench, METHODS[name], Cell(name, "pet", 0, 4))
    assert len(row["seen"]) == 4 and 0 <= row["true: valid"] <= 1
    assert row["prior evaluations a picture"] == 5 * embeddings
    guidance, steps = bench.pipe.decode_defaults
    rows = 2 if guidance > 1 or "negative" in name else 1
    assert row["decoder evaluations a picture"] == rows * steps
    assert row["candidates"] == METHODS[name].candidates


def test_a_row_depends_on_settings_and_selection(bench):
    found = identity(bench, METHODS["temperature 2"])
    assert found["settings"] == {"temperature": 2.0} and found["candidates"] == 1
    assert identity(bench, replace(METHODS["temperature 2"], candidates=4)) != found
