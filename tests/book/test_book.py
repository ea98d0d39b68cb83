"""The rendered book: it builds without a warning, and its links and pictures have no faults."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import creativelib
from checks import browser, pages

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "creativelib"


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


def test_pages_fetch_nothing_from_other_hosts(site: Path):
    assert (site / "_static" / "mathjax" / "tex-chtml.js").is_file()
    assert pages.remote(site) == []


@pytest.mark.skipif(browser.BROWSER is None, reason="no browser is installed")
def test_pages_are_whole_without_a_network(site: Path):
    """In a browser that reaches no other host: nothing fails, formulas are set, nothing sticks out.

    Pages of the reference are alike, so one stands for all.
    """
    files = [
        file for part in ("book", "notebooks") for file in sorted((site / part).rglob("*.html"))
    ]
    names = [file.relative_to(site).as_posix() for file in files]
    alike = re.compile(r"book/api/(?!density)")
    visited = browser.visit(site, [name for name in names if not alike.match(name)])
    assert visited.failed == []
    unset = {file: page for file, page in visited.pages.items() if page["set"] < page["formulas"]}
    assert unset == {} and sum(page["set"] for page in visited.pages.values()) > 100
    assert [file for file, page in visited.pages.items() if page["wide"] > 0] == []


@pytest.mark.skipif(browser.BROWSER is None, reason="no browser is installed")
def test_the_browser_tells_what_it_did_not_get(tmp_path: Path):
    scripts = '<script src="https://example.org/x.js"></script><script src="y.js"></script>'
    (tmp_path / "a.html").write_text(f'<p class="math">x</p><p style="width:2000px">z</p>{scripts}')
    visited = browser.visit(tmp_path, ["a.html"])
    assert sorted(visited.failed) == ["404 /y.js", "https://example.org/x.js"]
    page = visited.pages["a.html"]
    assert page["formulas"] == 1 and page["set"] == 0 and page["wide"] > 0


def public_names() -> set[str]:
    """List the functions and classes of all rooms, by the files that define them."""
    names = set()
    for file in PACKAGE.rglob("*.py"):
        if file.stem == "__main__":
            continue
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            kinds = (ast.FunctionDef, ast.ClassDef)
            if isinstance(node, kinds) and not node.name.startswith("_"):
                names.add(f"{module}.{node.name}")
    return names


def test_the_reference_has_every_public_name(site: Path):
    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, name: name)
    named = {name for kind, found in inventory.items() if kind.startswith("py:") for name in found}
    assert public_names() - named == set()
    listed = (site / "book" / "api.html").read_text()
    links = {name: f"#creativelib.{home}.{name}" for name, home in creativelib._HOMES.items()}
    assert [name for name, link in links.items() if link not in listed] == []


def test_the_reference_shows_shapes_fields_and_arguments(site: Path):
    page = re.sub(r"<[^>]+>", "", (site / "book" / "api" / "density.html").read_text())
    assert "Float[Tensor, '*b d']" in page and "jaxtyping.Float" not in page
    assert "covariance: Full covariance of the coordinates in the components." in page
    page = re.sub(r"<[^>]+>", "", (site / "book" / "api" / "steering.html").read_text())
    assert "vqa: switches the semantic check on." in page


def test_chapters_are_numbered_as_their_files(site: Path):
    intro = (site / "book" / "intro.html").read_text()
    for file in (site / "notebooks").glob("*.html"):
        number = file.name[:2]
        title = re.search(r"<title>\s*(.*?)\s", file.read_text())
        assert title and title[1] == number
        side = re.search(rf'href="../notebooks/{file.name}">\s*(\d\d) ', intro)
        assert side and side[1] == number


def test_links_to_measurements_lead_to_their_tables(site: Path):
    """Not to the top of a page."""
    for file in (site / "notebooks").glob("*.html"):
        article = file.read_text().split("<article", 1)[1].split("</article", 1)[0]
        for link in re.findall(r'href="(\.\./book/measurements[^"]*)"', article):
            assert "#" in link, f"{file.name}: {link}"


def test_the_map_says_how_long_chapters_take():
    intro = (ROOT / "book" / "intro.md").read_text()
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        minutes = re.search(r"It takes\*\*\D*?(\d+)\D*?minutes", file.read_text())
        row = re.search(rf"\| {file.name[:2]} \[.*\| (\d+) \| \d+ \|", intro)
        assert minutes and row and row[1] == minutes[1], file.name


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


@pytest.mark.parametrize(
    "body",
    [
        '<script src="https://example.org/x.js"></script>',
        '<link rel="stylesheet" href="//example.org/x.css">',
        '<img src="https://example.org/x.png" alt="A pet.">',
        '<iframe src="https://example.org/"></iframe>',
    ],
)
def test_what_a_page_fetches_from_other_hosts_is_found(tmp_path: Path, body: str):
    (tmp_path / "a.html").write_text(f'<a href="https://example.org">elsewhere</a>{body}')
    assert len(pages.remote(tmp_path)) == 1


def test_what_a_style_fetches_from_other_hosts_is_found(tmp_path: Path):
    style = '@import "https://example.org/a.css"; p { background: url(//example.org/b.png) }'
    (tmp_path / "a.css").write_text(f"{style} q {{ background: url(c.png) }}")
    assert len(pages.remote(tmp_path)) == 2
