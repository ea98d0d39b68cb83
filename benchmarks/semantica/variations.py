"""Semantica against its control and against the truth, on pages that neither has seen.

python -m benchmarks.semantica.variations truth          # what is kept and what varies, beside the best that can be known
python -m benchmarks.semantica.variations fewshot        # against the rest of a set: FID, precision, recall, density, coverage, copying
python -m benchmarks.semantica.variations metrics        # what each metric makes of a copier, a blurrer and a mode-dropper
python -m benchmarks.semantica.variations variants       # other encoders and filters
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, normalize

from benchmarks.figures import Figure, asked, at_least, at_most, bootstrap, publish, share
from creativelib.metrics.realism import frechet
from creativelib.metrics.variations import fewshot
from creativelib.semantica.model import Semantica
from creativelib.training.variants import VARIANTS, folder
from creativelib.vision.encoders import BUNDLED, Encoder
from creativelib.vision.judge import Judge
from creativelib.world.oracle import Oracle
from creativelib.world.page_variation import Variation, balance, tally, variation
from creativelib.world.scenes import Scenes, draw, sample_scenes
from creativelib.world.webpages import Page, continued, pages

PAGES = 96
SETS = 32
EACH = 16  # variations of a page, and pictures of the truth that they are compared with
LARGE = 48  # pictures of a set, without those that are shown
GUIDANCE = (1.0, 2.0)
GUIDED = 1.2  # chosen on other pages than those that are measured
MODELS = {"pairs": "menagerie", "control": "control"}
KEPT = Path("out") / "benchmark-semantica"


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some(n: int, size: int, seed: int) -> list[Page]:
    """Pages of a seed that no training used."""
    return [page for page, _ in zip(pages(size, seeded(seed)), range(n), strict=False)]


def varied(
    model: Semantica, shown: Float[Tensor, "p m 3 h w"], n: int, seed: int, guidance: float = 1.0
) -> Float[Tensor, "p n 3 h w"]:
    """Variations of each page with noise of its own, so that pages can be added without changing the others."""
    return torch.cat(
        [
            model.vary(each[None], n, generator=seeded(1000 * seed + i), guidance=guidance)
            for i, each in enumerate(shown)
        ]
    )


def row(pictures: Float[Tensor, "n 3 h w"], page: Page, oracle: Oracle) -> dict[str, Any]:
    found: Variation = variation(pictures, page, oracle)
    valid = oracle.judge(pictures, page.shared.category).valid.float().mean().item()
    return {"kept": found.kept, "entropy": found.entropy, "valid": valid}


def once(name: str, make: Callable[[], Any]) -> Any:
    """What was made under this name, or is made now, so that what was cut off goes on."""
    file = KEPT / f"{name}.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            file.write_text(json.dumps(make()))
        print(f"{name}: done", flush=True)
    return json.loads(file.read_text())


def read_pages(
    draw_all: Callable[[list[Page]], Float[Tensor, "p n 3 h w"]],
) -> list[dict[str, Any]]:
    """A row for each of the pages, for pictures drawn for it; the first of all says how many seconds a picture took."""
    oracle = Oracle.load()
    found = some(PAGES, 8 + EACH, 901)
    clock = time.monotonic()
    drawn = draw_all(found)
    seconds = (time.monotonic() - clock) / (len(found) * EACH)
    rows = [row(x, page, oracle) for x, page in zip(drawn, found, strict=True)]
    rows[0]["seconds"] = seconds
    return rows


def by_model(
    name: str | Path, m: int, guidance: float = 1.0
) -> Callable[[list[Page]], Float[Tensor, "p n 3 h w"]]:
    """Variations by a model that is shown the first m pictures of each page."""
    return lambda found: varied(
        Semantica.load(name),
        torch.stack([draw(page.scenes[slice(0, m)]) for page in found]),
        EACH,
        m,
        guidance,
    )


def by_the_posterior(m: int) -> Callable[[list[Page]], Float[Tensor, "p n 3 h w"]]:
    return lambda found: torch.stack(
        [draw(continued(page.scenes[slice(0, m)], EACH, seeded(i))) for i, page in enumerate(found)]
    )


def own_pictures(found: list[Page]) -> Float[Tensor, "p n 3 h w"]:
    return torch.stack([draw(page.scenes[slice(8, None)]) for page in found])


def truth_part() -> dict[str, Any]:
    """For each way a row for each page."""
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


def scores(rows: list[dict[str, Any]], own: list[dict[str, Any]]) -> Float[Tensor, "p 4"]:
    drawn, true = (
        [Variation(each["kept"], each["entropy"]) for each in ways] for ways in (rows, own)
    )
    return tally(drawn, true)


def kept(table: Tensor) -> Tensor:
    return torch.tensor(100 * balance(table).kept)


def spread(table: Tensor) -> Tensor:
    return torch.tensor(100 * balance(table).entropy)


def truth_figures(found: dict[str, Any]) -> list[Figure]:
    figures = []
    own = found["the page's own"]
    for way, rows in found.items():
        table = scores(rows, own)
        (keeps, keeps_in), (varies, varies_in) = bootstrap(table, kept), bootstrap(table, spread)
        bars = way.startswith("pairs") and "guidance" in way
        figures += [
            at_least(f"{way}: shared factors kept", keeps, "%", 80, keeps_in)
            if bars
            else Figure(
                f"{way}: shared factors kept", keeps, "%", low=keeps_in[0], high=keeps_in[1]
            )
        ]
        name = f"{way}: entropy of free factors, of the page's own"
        figures += [
            at_least(name, varies, "%", 70, varies_in)
            if bars
            else at_most(name, varies, "%", 30, varies_in)
            if way.startswith("control")
            else Figure(name, varies, "%", low=varies_in[0], high=varies_in[1])
        ]
        valid, valid_in = bootstrap(100 * torch.tensor([each["valid"] for each in rows]))
        figures.append(Figure(f"{way}: valid", valid, "%", low=valid_in[0], high=valid_in[1]))
        if way.startswith(("pairs", "control")):
            figures.append(Figure(f"{way}: seconds a picture", rows[0]["seconds"], "s"))
    return figures


def against(
    drawn: Float[Tensor, "n d"], rest: Float[Tensor, "m d"], shown: Float[Tensor, "1 d"]
) -> dict[str, float]:
    """The few-shot metrics as a row; embeddings are the judge's."""
    found = fewshot(drawn, rest, shown)
    near = found.fidelity
    return {
        "FID": found.fid,
        "precision": 100 * near.precision,
        "recall": 100 * near.recall,
        "density": near.density,
        "coverage": 100 * near.coverage,
        "distance to the picture shown": found.distance,
    }


def fewshot_part() -> dict[str, Any]:
    """One picture of each set is shown; variations are compared with the rest of the set."""
    judge = Judge.load()
    found = some(SETS, 1 + LARGE + LARGE, 902)
    pictures = [draw(page.scenes) for page in found]
    shown = torch.stack([x[:1] for x in pictures])
    seen = [judge.encode_images(x) for x in pictures]

    def judged(name: str, guidance: float) -> list[dict[str, float]]:
        drawn = varied(Semantica.load(MODELS[name]), shown, LARGE, 7, guidance)
        return [
            against(judge.encode_images(x), own[1 + LARGE :], own[:1])
            for x, own in zip(drawn, seen, strict=True)
        ]

    best = [
        judge.encode_images(draw(continued(page.scenes[slice(0, 1)], LARGE, seeded(i))))
        for i, page in enumerate(found)
    ]
    rows: dict[str, Any] = {
        "the set's own": [against(x[1 : 1 + LARGE], x[1 + LARGE :], x[:1]) for x in seen],
        "the best, 1 shown": [
            against(x, own[1 + LARGE :], own[:1]) for x, own in zip(best, seen, strict=True)
        ],
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
    """Recall at a precision, interpolated along the guidances, with an interval over sets."""
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


def fewshot_figures(found: dict[str, Any]) -> list[Figure]:
    figures = []
    for way, rows in found.items():
        for name in rows[0]:
            value, interval = bootstrap(torch.tensor([each[name] for each in rows]))
            unit = "%" if name in ("precision", "recall", "coverage") else ""
            figures.append(Figure(f"{way}: {name}", value, unit, low=interval[0], high=interval[1]))
    best = [
        max(
            sum(each["precision"] for each in found[f"{name}, guidance {g:g}"]) / SETS
            for g in GUIDANCE
        )
        for name in MODELS
    ]
    common = min(best)
    (ours, ours_in), (other, other_in) = (at_precision(found, name, common) for name in MODELS)
    figures.append(
        Figure(
            "control: recall at the common precision", other, "%", low=other_in[0], high=other_in[1]
        )
    )
    figures.append(Figure("the common precision", common, "%"))
    return [*figures, at_least("pairs: recall at the common precision", ours, "%", other, ours_in)]


def blurred(pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    return interpolate(avg_pool2d(pictures, 2), scale_factor=2, mode="bilinear")


def metrics_part() -> dict[str, Any]:
    """Four imagined models on the same sets, by each way of scoring them."""
    judge = Judge.load()
    oracle = Oracle.load()
    found = some(SETS, 1 + LARGE + LARGE, 903)
    rows: dict[str, Any] = {name: [] for name in ("truth", "copier", "blurrer", "mode-dropper")}
    shown_all = []
    drawn_all = {name: [] for name in rows}
    for i, page in enumerate(found):
        pictures = draw(page.scenes)
        seen = judge.encode_images(pictures)
        jitter = (
            pictures[:1] + 0.01 * torch.randn(LARGE, *pictures.shape[1:], generator=seeded(i))
        ).clamp(0, 1)
        one = page.scenes[slice(1, 2)]
        posed = page.scenes[slice(1, 1 + LARGE)]
        narrow = Scenes(
            one.category.expand(LARGE),
            one.factors.expand(LARGE, -1),
            one.species.expand(LARGE),
            one.style.expand(LARGE, -1),
            posed.pose,
        )
        made = {
            "truth": pictures[1 : 1 + LARGE],
            "copier": jitter,
            "blurrer": blurred(pictures[1 : 1 + LARGE]),
            "mode-dropper": draw(narrow),
        }
        shown_all.append(seen[:1])
        for name, x in made.items():
            own = judge.encode_images(x)
            drawn_all[name].append(own[:1])
            rows[name].append(
                against(own, seen[1 + LARGE :], seen[:1]) | row(x[:EACH], page, oracle)
            )
    own = rows["truth"]
    plain = {name: frechet(torch.cat(drawn_all[name]), torch.cat(shown_all)) for name in rows}
    return {"rows": rows, "plain": plain, "own": own}


def metrics_figures(found: dict[str, Any]) -> list[Figure]:
    figures = []
    for way, rows in found["rows"].items():
        figures.append(
            Figure(f"{way}: plain FID, variations against what was shown", found["plain"][way], "")
        )
        for name in (
            "distance to the picture shown",
            "FID",
            "precision",
            "recall",
            "density",
            "coverage",
        ):
            value, interval = bootstrap(torch.tensor([each[name] for each in rows]))
            figures.append(
                Figure(
                    f"{way}: {name}",
                    value,
                    "%" if name in ("precision", "recall", "coverage") else "",
                    low=interval[0],
                    high=interval[1],
                )
            )
        table = scores(rows, found["own"])
        for name, statistic in (
            ("shared factors kept", kept),
            ("entropy of free factors, of the page's own", spread),
        ):
            value, interval = bootstrap(table, statistic)
            figures.append(Figure(f"{way}: {name}", value, "%", low=interval[0], high=interval[1]))
        valid, interval = bootstrap(100 * torch.tensor([each["valid"] for each in rows]))
        figures.append(Figure(f"{way}: valid", valid, "%", low=interval[0], high=interval[1]))
    return figures


def same_as_nearest(name: str, shown: int = 1200, asked: int = 400) -> dict[str, list[float]]:
    """Of pictures of the world, whether the nearest of others in the eyes of an encoder is of the same category, and drawn on the same
    ground and with the same ink."""
    scenes = sample_scenes(shown + asked, seeded(904), 0.0)
    whole = Encoder.load(name).encode(draw(scenes)).pooled
    whole = normalize((whole - whole.mean(0)) / whole.std(0), dim=1)
    nearest = (whole[shown:] @ whole[:shown].T).argmax(1)
    values = {"category": scenes.category, "ground": scenes.style[:, 0], "ink": scenes.style[:, 2]}
    return {
        what: (value[:shown][nearest] == value[shown:]).float().tolist()
        for what, value in values.items()
    }


def variants_part() -> dict[str, Any]:
    """Other encoders and filters, trained alike (`python -m creativelib.training variants`), on the pages of the part "truth"."""
    rows = {"the page's own": once("truth-own", lambda: read_pages(own_pictures))}
    for name in VARIANTS:
        for m in (1, 4):
            rows[f"{name}, {m} shown"] = once(
                f"{folder(name).name}-{m}",
                lambda name=name, m=m: read_pages(by_model(folder(name), m)),
            )
    return {
        "rows": rows,
        "nearest": {
            name: once(f"nearest-{name}", lambda name=name: same_as_nearest(name))
            for name in BUNDLED
        },
    }


def variants_figures(found: dict[str, Any]) -> list[Figure]:
    figures = truth_figures(found["rows"])
    for name, hits in found["nearest"].items():
        for what, values in hits.items():
            value, interval = share(torch.tensor(values))
            figures.append(
                Figure(
                    f"{name}: nearest picture is of the same {what}",
                    value,
                    "%",
                    low=interval[0],
                    high=interval[1],
                )
            )
    return figures


PARTS: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[dict[str, Any]], list[Figure]]]] = {
    "truth": (truth_part, truth_figures),
    "fewshot": (fewshot_part, fewshot_figures),
    "metrics": (metrics_part, metrics_figures),
    "variants": (variants_part, variants_figures),
}


def main() -> None:
    """What is made is kept in out/benchmark-semantica; after a change of the code or the weights, delete it there."""
    for part in asked(__doc__ or "", PARTS):
        make, figures = PARTS[part]
        publish(f"semantica-{part}", figures(once(part, make)), 0)


if __name__ == "__main__":
    main()
