"""Semantica against its control and against the truth, on pages from which neither learned.

python -m benchmarks.semantica.variations truth
python -m benchmarks.semantica.variations fewshot
python -m benchmarks.semantica.variations metrics
python -m benchmarks.semantica.variations variants

truth: kept and varying factors, beside the best possible ones. fewshot: comparison with the rest
of a set by Frechet distance, precision, recall, density, coverage and copying. metrics: every
metric for a copier, a blurrer and a mode-dropper. variants: other encoders and filters.
"""

import json
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, normalize

from benchmarks.figures import Figure, asked, at_least, at_most, bootstrap, publish, share
from creativelib.metrics.realism import frechet
from creativelib.metrics.variations import fewshot
from creativelib.seeds import seeded
from creativelib.semantica.model import Semantica
from creativelib.training.variants import VARIANTS, folder
from creativelib.vision.encoders import ENCODERS, Encoder
from creativelib.vision.judge import Judge
from creativelib.world.oracle import Oracle
from creativelib.world.page_variation import Variation, balance, tally, variation
from creativelib.world.scenes import Scenes, draw, sample_scenes
from creativelib.world.webpages import Page, continued, pages

PAGES = 96  # pages of the parts "truth" and "variants"
SETS = 32  # pages of the parts "fewshot" and "metrics"
EACH = 16  # variations of a page, and pictures of the truth that they are compared with
LARGE = 48  # variations of a set, and pictures of the truth that they are compared with
GUIDANCE = (1.0, 2.0)  # guidances of the part "fewshot"
GUIDED = 1.2  # guidance of the part "truth", chosen on other pages
MODELS = {"pairs": "menagerie", "control": "control"}
CACHE = Path("out") / "benchmark-semantica"


def sample_pages(n: int, size: int, seed: int) -> list[Page]:
    """Sample n pages of `size` pictures, from a seed that no training used."""
    return list(islice(pages(size, seeded(seed)), n))


def varied(
    model: Semantica, shown: Float[Tensor, "p m 3 h w"], n: int, seed: int, guidance: float = 1.0
) -> Float[Tensor, "p n 3 h w"]:
    """Vary each page with noise of its own.

    Pages can then be added without changing the variations of the others.
    """
    parts = [
        model.vary(each[None], n, generator=seeded(1000 * seed + i), guidance=guidance)
        for i, each in enumerate(shown)
    ]
    return torch.cat(parts)


def row(pictures: Float[Tensor, "n 3 h w"], page: Page, oracle: Oracle) -> dict[str, Any]:
    """Read variations of a page with the oracle, as a row."""
    found: Variation = variation(pictures, page, oracle)
    valid = oracle.judge(pictures, page.shared.category).valid.float().mean().item()
    return {"kept": found.kept, "entropy": found.entropy, "valid": valid}


def once(name: str, make: Callable[[], Any]) -> Any:
    """Return the stored result of this name, or make and store it.

    An interrupted benchmark then resumes.
    """
    file = CACHE / f"{name}.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            file.write_text(json.dumps(make()), encoding="utf-8", newline="\n")
        print(f"{name}: done", flush=True)
    return json.loads(file.read_text(encoding="utf-8"))


def read_pages(
    draw_all: Callable[[list[Page]], Float[Tensor, "p n 3 h w"]],
) -> list[dict[str, Any]]:
    """Return a row for each page, for pictures drawn for it.

    The first row also holds the seconds that a picture took.
    """
    oracle = Oracle.load()
    found = sample_pages(PAGES, size=8 + EACH, seed=901)
    clock = time.monotonic()
    drawn = draw_all(found)
    seconds = (time.monotonic() - clock) / (len(found) * EACH)
    rows = [row(x, page, oracle) for x, page in zip(drawn, found, strict=True)]
    rows[0]["seconds"] = seconds
    return rows


def by_model(
    name: str | Path, m: int, guidance: float = 1.0
) -> Callable[[list[Page]], Float[Tensor, "p n 3 h w"]]:
    """Return a function that draws variations by a model shown the first m pictures of a page."""

    def draw_all(found: list[Page]) -> Float[Tensor, "p n 3 h w"]:
        model = Semantica.load(name)
        shown = torch.stack([draw(page.scenes[slice(0, m)]) for page in found])
        return varied(model=model, shown=shown, n=EACH, seed=m, guidance=guidance)

    return draw_all


def by_the_posterior(m: int) -> Callable[[list[Page]], Float[Tensor, "p n 3 h w"]]:
    """Return a function that draws from the true distribution given the first m pictures."""

    def draw_all(found: list[Page]) -> Float[Tensor, "p n 3 h w"]:
        scenes = [
            continued(page.scenes[slice(0, m)], EACH, seeded(i)) for i, page in enumerate(found)
        ]
        return torch.stack([draw(each) for each in scenes])

    return draw_all


def own_pictures(found: list[Page]) -> Float[Tensor, "p n 3 h w"]:
    """Draw the pictures of each page from the ninth on, which no model is shown."""
    return torch.stack([draw(page.scenes[slice(8, None)]) for page in found])


def truth_part() -> dict[str, Any]:
    """Return, for each way of drawing, a row for each page."""
    rows = {"the page's own": once("truth-own", lambda: read_pages(own_pictures))}
    for m in (1, 2, 4, 8):
        rows[f"the best, {m} shown"] = once(
            f"truth-best-{m}", lambda m=m: read_pages(by_the_posterior(m))
        )
    for name, m in (("control", 1), ("pairs", 1), ("pairs", 2), ("pairs", 4)):
        rows[f"{name}, {m} shown"] = once(
            f"truth-{name}-{m}", lambda name=name, m=m: read_pages(by_model(MODELS[name], m))
        )
    for m in (2, 4):
        rows[f"pairs, {m} shown, guidance {GUIDED:g}"] = once(
            f"truth-pairs-{m}-guided", lambda m=m: read_pages(by_model(MODELS["pairs"], m, GUIDED))
        )
    return rows


def figure(
    name: str, estimate: tuple[float, tuple[float, float]], unit: str, **bound: float
) -> Figure:
    """Make a figure of a value with its interval, and with a bound `least` or `most` if given."""
    value, interval = estimate
    if "least" in bound:
        return at_least(name, value, unit, bound["least"], interval)
    if "most" in bound:
        return at_most(name, value, unit, bound["most"], interval)
    return Figure(name, value, unit, low=interval[0], high=interval[1])


def scores(rows: list[dict[str, Any]], own: list[dict[str, Any]]) -> Float[Tensor, "p 4"]:
    """Tabulate rows of drawn pictures beside those of the pages' own pictures."""
    drawn, true = (
        [Variation(kept=each["kept"], entropy=each["entropy"]) for each in table]
        for table in (rows, own)
    )
    return tally(drawn, true)


def kept_share(table: Tensor) -> Tensor:
    """Compute the share of kept factors in percent."""
    return torch.tensor(100 * balance(table).kept)


def entropy_share(table: Tensor) -> Tensor:
    """Compute the entropy of free factors in percent of the page's own."""
    return torch.tensor(100 * balance(table).entropy)


def truth_figures(found: dict[str, Any]) -> list[Figure]:
    """Make the figures of the parts "truth" and "variants"."""
    figures = []
    own = found["the page's own"]
    for method, rows in found.items():
        table = scores(rows, own)
        kept_bound: dict[str, float] = {}
        entropy_bound: dict[str, float] = {}
        if method.startswith("pairs") and "guidance" in method:
            kept_bound = {"least": 80}
            entropy_bound = {"least": 70}
        elif method.startswith("control"):
            entropy_bound = {"most": 30}
        kept = bootstrap(table, kept_share)
        entropy = bootstrap(table, entropy_share)
        valid = bootstrap(100 * torch.tensor([each["valid"] for each in rows]))
        entropy_name = f"{method}: entropy of free factors, of the page's own"
        figures += [
            figure(f"{method}: shared factors kept", kept, "%", **kept_bound),
            figure(entropy_name, entropy, "%", **entropy_bound),
            figure(f"{method}: valid", valid, "%"),
        ]
        if method.startswith(("pairs", "control")):
            figures.append(Figure(f"{method}: seconds a picture", rows[0]["seconds"], "s"))
    return figures


def against(
    drawn: Float[Tensor, "n d"], rest: Float[Tensor, "m d"], shown: Float[Tensor, "1 d"]
) -> dict[str, float]:
    """Compute the few-shot metrics as a row; embeddings are the judge's."""
    found = fewshot(drawn, rest, shown)
    near = found.fidelity
    return {
        "Frechet distance, judge": found.frechet,
        "precision": 100 * near.precision,
        "recall": 100 * near.recall,
        "density": near.density,
        "coverage": 100 * near.coverage,
        "distance to the picture shown": found.distance,
    }


def fewshot_part() -> dict[str, Any]:
    """Show one picture of each set and compare variations with the rest of the set."""
    judge = Judge.load()
    found = sample_pages(SETS, size=1 + LARGE + LARGE, seed=902)
    pictures = [draw(page.scenes) for page in found]
    shown = torch.stack([x[:1] for x in pictures])
    embeddings = [judge.encode_images(x) for x in pictures]

    def compare(drawn: Iterable[Float[Tensor, "n d"]]) -> list[dict[str, float]]:
        return [
            against(x, rest=own[1 + LARGE :], shown=own[:1])
            for x, own in zip(drawn, embeddings, strict=True)
        ]

    def judged(name: str, guidance: float) -> list[dict[str, float]]:
        model = Semantica.load(MODELS[name])
        drawn = varied(model=model, shown=shown, n=LARGE, seed=7, guidance=guidance)
        return compare(judge.encode_images(x) for x in drawn)

    best = []
    for i, page in enumerate(found):
        scenes = continued(page.scenes[slice(0, 1)], LARGE, seeded(i))
        best.append(judge.encode_images(draw(scenes)))
    rows: dict[str, Any] = {
        "the set's own": compare(x[1 : 1 + LARGE] for x in embeddings),
        "the best, 1 shown": compare(best),
    }
    for name in ("control", "pairs"):
        for guidance in GUIDANCE:
            rows[f"{name}, guidance {guidance:g}"] = once(
                f"fewshot-{name}-{guidance:g}",
                lambda name=name, guidance=guidance: judged(name, guidance),
            )
    return rows


def at_precision(
    found: dict[str, Any], name: str, precision: float
) -> tuple[float, tuple[float, float]]:
    """Interpolate the recall at a precision along the guidances, with an interval over sets."""
    table = torch.tensor(
        [
            [[each["precision"], each["recall"]] for each in found[f"{name}, guidance {g:g}"]]
            for g in GUIDANCE
        ]
    )

    def recall(rows: Tensor) -> Tensor:
        curve = rows.mean(0)  # guidance, (precision, recall)
        order = curve[:, 0].argsort()
        x = curve[order, 0]
        y = curve[order, 1]
        if precision <= x[0]:
            return y[0]
        i = int((x < precision).sum().clamp(1, len(x) - 1))
        part = ((precision - x[i - 1]) / (x[i] - x[i - 1])).clamp(0, 1)
        return y[i - 1] + part * (y[i] - y[i - 1])

    return bootstrap(table.permute(1, 0, 2), recall)


def fewshot_figure(method: str, name: str, rows: list[dict[str, Any]]) -> Figure:
    """Make the figure of one few-shot metric."""
    unit = "%" if name in ("precision", "recall", "coverage") else ""
    return figure(f"{method}: {name}", bootstrap(torch.tensor([each[name] for each in rows])), unit)


def fewshot_figures(found: dict[str, Any]) -> list[Figure]:
    """Make the figures of the part "fewshot"."""
    figures = []
    for method, rows in found.items():
        figures += [fewshot_figure(method, name, rows) for name in rows[0]]

    def precision(name: str, guidance: float) -> float:
        rows = found[f"{name}, guidance {guidance:g}"]
        return sum(each["precision"] for each in rows) / SETS

    # The largest precision that both models reach.
    common = min(max(precision(name, g) for g in GUIDANCE) for name in MODELS)
    ours, other = (at_precision(found, name, common) for name in MODELS)
    return [
        *figures,
        figure("control: recall at the common precision", other, "%"),
        Figure("the common precision", common, "%"),
        figure("pairs: recall at the common precision", ours, "%", least=other[0]),
    ]


def blurred(pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Halve the resolution of pictures and enlarge them again."""
    return interpolate(avg_pool2d(pictures, 2), scale_factor=2, mode="bilinear")


def metrics_part() -> dict[str, Any]:
    """Score four imagined models on the same sets by every metric."""
    judge = Judge.load()
    oracle = Oracle.load()
    found = sample_pages(SETS, size=1 + LARGE + LARGE, seed=903)
    rows: dict[str, Any] = {name: [] for name in ("truth", "copier", "blurrer", "mode-dropper")}
    shown_all = []
    drawn_all = {name: [] for name in rows}
    for i, page in enumerate(found):
        pictures = draw(page.scenes)
        embeddings = judge.encode_images(pictures)
        noise = torch.randn(LARGE, *pictures.shape[1:], generator=seeded(i))
        one = page.scenes[slice(1, 2)]
        posed = page.scenes[slice(1, 1 + LARGE)]
        # One picture's factors and style, with the poses of all.
        narrow = Scenes(
            category=one.category.expand(LARGE),
            factors=one.factors.expand(LARGE, -1),
            species=one.species.expand(LARGE),
            style=one.style.expand(LARGE, -1),
            pose=posed.pose,
        )
        made = {
            "truth": pictures[1 : 1 + LARGE],
            "copier": (pictures[:1] + 0.01 * noise).clamp(0, 1),
            "blurrer": blurred(pictures[1 : 1 + LARGE]),
            "mode-dropper": draw(narrow),
        }
        shown_all.append(embeddings[:1])
        for name, x in made.items():
            drawn = judge.encode_images(x)
            drawn_all[name].append(drawn[:1])
            fewshot_row = against(drawn, rest=embeddings[1 + LARGE :], shown=embeddings[:1])
            rows[name].append(fewshot_row | row(x[:EACH], page, oracle))
    plain = {name: frechet(torch.cat(drawn_all[name]), torch.cat(shown_all)) for name in rows}
    return {"rows": rows, "plain": plain, "own": rows["truth"]}


def metrics_figures(found: dict[str, Any]) -> list[Figure]:
    """Make the figures of the part "metrics"."""
    figures = []
    # In the order of the chapter's table.
    names = (
        "distance to the picture shown",
        "Frechet distance, judge",
        "precision",
        "recall",
        "density",
        "coverage",
    )
    for method, rows in found["rows"].items():
        plain_name = f"{method}: plain Frechet distance, judge, variations against what was shown"
        table = scores(rows, found["own"])
        kept = bootstrap(table, kept_share)
        entropy = bootstrap(table, entropy_share)
        valid = bootstrap(100 * torch.tensor([each["valid"] for each in rows]))
        figures += [
            Figure(plain_name, found["plain"][method], ""),
            *(fewshot_figure(method, name, rows) for name in names),
            figure(f"{method}: shared factors kept", kept, "%"),
            figure(f"{method}: entropy of free factors, of the page's own", entropy, "%"),
            figure(f"{method}: valid", valid, "%"),
        ]
    return figures


def same_as_nearest(name: str, stored: int = 1200, queries: int = 400) -> dict[str, list[float]]:
    """Compare each query picture with the nearest stored one under an encoder.

    For each query, 1 means that both are of the same category, on the same ground, or drawn with
    the same ink.
    """
    scenes = sample_scenes(stored + queries, seeded(904), 0.0)
    pooled = Encoder.load(name).encode(draw(scenes)).pooled
    standard = normalize((pooled - pooled.mean(0)) / pooled.std(0), dim=1)
    nearest = (standard[stored:] @ standard[:stored].T).argmax(1)
    values = {"category": scenes.category, "ground": scenes.style[:, 0], "ink": scenes.style[:, 2]}
    return {
        feature: (value[:stored][nearest] == value[stored:]).float().tolist()
        for feature, value in values.items()
    }


def variants_part() -> dict[str, Any]:
    """Measure other encoders and filters on the pages of the part "truth".

    `python -m creativelib.training variants` trains them, all alike.
    """
    rows = {"the page's own": once("truth-own", lambda: read_pages(own_pictures))}
    for name in VARIANTS:
        for m in (1, 4):
            rows[f"{name}, {m} shown"] = once(
                f"{folder(name).name}-{m}",
                lambda name=name, m=m: read_pages(by_model(folder(name), m)),
            )
    nearest = {
        name: once(f"nearest-{name}", lambda name=name: same_as_nearest(name)) for name in ENCODERS
    }
    return {"rows": rows, "nearest": nearest}


def variants_figures(found: dict[str, Any]) -> list[Figure]:
    """Make the figures of the part "variants"."""
    figures = truth_figures(found["rows"])
    for name, hits in found["nearest"].items():
        for feature, values in hits.items():
            title = f"{name}: nearest picture is of the same {feature}"
            figures.append(figure(title, share(torch.tensor(values)), "%"))
    return figures


# By name, the function that measures a part and the one that makes its figures.
PARTS: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[dict[str, Any]], list[Figure]]]] = {
    "truth": (truth_part, truth_figures),
    "fewshot": (fewshot_part, fewshot_figures),
    "metrics": (metrics_part, metrics_figures),
    "variants": (variants_part, variants_figures),
}


def main() -> None:
    """Run the parts that the command line names.

    Results are stored in out/benchmark-semantica. Delete them after a change of code or weights.
    """
    for part in asked(__doc__ or "", PARTS):
        make, figures = PARTS[part]
        publish(f"semantica-{part}", figures(once(part, make)), 0)


if __name__ == "__main__":
    main()
