"""The rendered book: it builds without a warning, and its links and pictures have no faults."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from checks import pages
from creativelib.models.names import MODELS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the book from nothing with warnings as errors."""
    out = tmp_path_factory.mktemp("book")
    command = [
        Path(sys.executable).parent / "jupyter-book",
        "build",
        ROOT,
        "--path-output",
        out,
        "-W",
        "-n",
        "--keep-going",
        "-q",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "_build" / "html"


def test_pages_have_no_faults(site: Path):
    assert len(list(site.glob("book/*.html"))) >= 5
    assert pages.faults(site) == []


def test_pages_include_our_own_style_and_script(site: Path):
    intro = (site / "book" / "intro.html").read_text()
    assert "book.css" in intro and "a11y.js" in intro


def test_solutions_are_closed_on_screen_and_paper(site: Path):
    for page in site.glob("notebooks/*.html"):
        text = page.read_text()
        start = text.index('<section id="solutions">')
        code, prose = (
            text.count(tag, start) for tag in ('<details class="admonition hide', "<details>")
        )
        assert code + prose >= text.count('<section id="solution-') > 0
        # Without this a script would open them before printing.
        assert "toggleOpenOnPrint = 'false'" in text and "solutions.js" in text


def test_sliders_work_without_a_kernel(site: Path):
    assert any('type="range"' in page.read_text() for page in site.glob("notebooks/*.html"))


@pytest.mark.parametrize(
    "body, fault",
    [
        ('<a href="b.html#here">b</a><img src="x.png" alt="A pet.">', ""),
        ('<a href="b.html#there">b</a>', "no such place"),
        ('<a href="c.html">c</a>', "no file"),
        ('<img src="y.png" alt="A pet.">', "no file"),
        ('<img src="x.png">', "alt text None"),
        ('<img src="x.png" alt="">', "alt text ''"),
        ('<img src="x.png" alt="../_images/5d41402a.png">', "alt text '../_images"),
        ('<a href="https://example.org/c.html">elsewhere</a>', ""),
    ],
)
def test_faults_of_pages_are_found(tmp_path: Path, body: str, fault: str):
    (tmp_path / "a.html").write_text(body)
    (tmp_path / "b.html").write_text('<p id="here">b</p>')
    (tmp_path / "x.png").touch()
    found = "\n".join(pages.faults(tmp_path))
    assert fault in found if fault else found == ""


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
    assert "| clip | 2,600 | 128 | 20 | 1 |" in page
    assert "| vqmodel, together | 2,600 |" in page
    assert "| CLIP: species | 97.14 (96.1 to 97.7) | % | at least 95 | yes |" in page
    assert "| CLIP: wild above species | 0.7 |  | at most 0.6 | **no** |" in page
    assert "| oracle: false alarms | 1.5 | % | at most 2 | yes |" in page
    assert "| decoder: whole pictures | 81 | % |  |  |" in page


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

    about = {"machine": "a laptop", "seed": 0, "commit": "abc"}
    rows = [
        figure("steering: valid", 80.0, bar=70),
        figure("lora; none: valid", 50.0),
        figure("lora; none: surprisal, nats", 99.0, ""),
        figure("lora; both: valid", 60.0),
        figure("lora; both: valid, worst seed", 40.0),
    ]
    (tmp_path / "steering-ablation.json").write_text(json.dumps(about | {"figures": rows}))
    monkeypatch.setattr(measurements, "RESULTS", tmp_path)
    page = measurements.page().replace("\u2060", "")
    assert "| steering: valid | 80 (79 to 81) | % | at least 70 | yes |" in page
    assert "| way | valid, % | surprisal, nats | valid, worst seed, % |" in page
    assert "| lora; none | 50 (49–51) | 99 (98–100) |  |" in page
    assert "| lora; both | 60 (59–61) |  | 40 (39–41) |" in page
    assert "`benchmarks/steering/runs.py ablation` on a laptop" in page
    assert page.count(measurements.MISSING) == len(measurements.MAKERS) - 1


def test_no_metric_of_the_methods_is_left_out_of_their_tables(measurements):
    report = json.loads((ROOT / "benchmarks" / "results" / "evaluation-table.json").read_text())
    assert {f["name"].split(": ", 1)[1] for f in report["figures"]} == {
        name for group in measurements.GROUPS for name in group
    }


def test_tables_of_the_book_are_those_of_the_results(card, measurements):
    tables = card.pages() | {measurements.PAGE: measurements.page()}
    assert all(file.read_text(encoding="utf-8") == text for file, text in tables.items()), (
        "run `make book`"
    )


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "book"))
    import make_model_card

    return make_model_card
