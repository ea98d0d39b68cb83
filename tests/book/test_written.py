"""The pages that scripts write: the model card's tables, the measurements, the API reference."""

import json
import re
from pathlib import Path

import pytest

from creativelib.models.names import MODELS
from creativelib.notebook.stored import read_report

ROOT = Path(__file__).parents[2]


def cells(page: str) -> list[list[str]]:
    """Read the rows of all tables of a page."""
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    texts = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows)
    plain = ([re.sub(r"<[^>]+>", "", text) for text in row] for row in texts)
    return [[text.replace("\u00a0", " ") for text in row] for row in plain]


def test_model_card_names_missing_results(card, tmp_path: Path):
    assert card.page(tmp_path, tmp_path / "models.json").count(card.MISSING) == 3


def test_model_card_has_tables_of_every_stack_that_ships(card):
    bundled = {name for name, model in MODELS.items() if model.folder is not None}
    assert set(card.STACKS) == bundled


def test_model_card_shows_runs_and_figures(card, tmp_path: Path):
    run = {"steps": 2600, "batch": 128, "seconds": 1230, "seed": 1}
    (tmp_path / "training.json").write_text(
        json.dumps({"clip": run, "vqmodel": {"together": run, "note": {}}})
    )
    rows = [
        {
            "name": "CLIP: species",
            "value": 97.14,
            "unit": "%",
            "bar": 95,
            "holds": True,
            "low": 96.1,
            "high": 97.7,
        },
        {
            "name": "CLIP: wild above species",
            "value": 0.7,
            "unit": "",
            "bar": 0.6,
            "holds": False,
            "low": None,
            "high": None,
        },
        {
            "name": "oracle: false alarms",
            "value": 1.5,
            "unit": "%",
            "bar": 2,
            "holds": True,
            "low": None,
            "high": None,
        },
        {
            "name": "decoder: whole pictures",
            "value": 81.0,
            "unit": "%",
            "bar": None,
            "holds": None,
            "low": None,
            "high": None,
        },
    ]
    (tmp_path / "models.json").write_text(
        json.dumps({"machine": "a laptop", "seed": 0, "commit": "abc", "figures": rows})
    )
    page = card.page(tmp_path, tmp_path / "models.json")
    found = cells(page)
    assert ["clip", "2,600", "128", "20", "1"] in found
    assert ["vqmodel, together", "2,600", "128", "20", "1"] in found
    assert ["CLIP: species", "97.1", "96.1–97.7", "%", "at least 95", "yes"] in found
    assert ["CLIP: wild above species", "0.700", "", "", "at most 0.6", "no"] in found
    assert ["oracle: false alarms", "1.50", "", "%", "at most 2", "yes"] in found
    assert ["decoder: whole pictures", "81", "", "%", "", ""] in found


@pytest.fixture
def measurements(card, monkeypatch: pytest.MonkeyPatch):
    import make_measurements

    return make_measurements


def test_measurements_have_a_row_for_each_way_and_a_column_for_each_figure(
    measurements, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def figure(name: str, value: float, unit: str = "%", bar: float | None = None) -> dict:
        return {
            "name": name,
            "value": value,
            "unit": unit,
            "bar": bar,
            "holds": bar is not None and value >= bar or None,
            "low": value - 1,
            "high": value + 1,
        }

    about = {"machine": "a laptop", "seed": 0, "commit": "abc", "note": "Intervals are narrow."}
    rows = [
        figure("steering: valid", 80.0, bar=70),
        figure("lora; none: valid", 50.0),
        figure("lora; none: surprisal, nats", 99.0, ""),
        figure("lora; both: valid", 60.0),
        figure("lora; both: valid, worst seed", 40.0),
    ]
    (tmp_path / "steering-ablation.json").write_text(json.dumps(about | {"figures": rows}))
    monkeypatch.setattr(measurements, "RESULTS", tmp_path)
    page = "".join(measurements.pages().values())
    found = cells(page)
    assert ["steering: valid", "80", "79–81", "%", "at least 70", "yes"] in found
    assert ["way", "valid, %", "surprisal, nats", "valid, worst seed, %"] in found
    assert ["lora; none", "50", "49–51", "99", "98–100", "", ""] in found
    assert ["lora; both", "60", "59–61", "", "", "40", "39–41"] in found
    assert "<strong>60</strong>" in page and "<strong>50</strong>" not in page
    assert "`benchmarks/steering/runs.py ablation` on a laptop" in page
    assert "at commit `abc`. Intervals are narrow." in page
    measured = sum(len(each.measurements) for each in measurements.PAGES)
    assert page.count(measurements.MISSING) == measured - 1


def test_every_result_is_on_one_page(measurements):
    """But those of the models, which the model card shows, and those of the command."""
    shown = [each.name for page in measurements.PAGES for each in page.measurements]
    results = {file.stem for file in measurements.RESULTS.glob("*.json")}
    others = {name for name in results if name.startswith("models") or name == "create"}
    assert sorted(shown) == sorted(results - others)


def test_no_metric_of_the_methods_is_left_out_of_their_tables(measurements):
    import layouts

    report = read_report(ROOT / "benchmarks" / "results" / "evaluation-table.json")
    shown = {name for group in layouts.GROUPS.values() for name in group}
    assert {f["name"].split(": ", 1)[1] for f in report["figures"]} <= shown


def test_written_pages_are_those_of_the_results_and_of_the_package(card, measurements):
    import make_api

    written = card.pages() | measurements.pages() | make_api.pages()
    assert [file.name for file, text in written.items() if file.read_text() != text] == [], (
        "run `make book`"
    )


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "book"))
    import make_model_card

    return make_model_card
