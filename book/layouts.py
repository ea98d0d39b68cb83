"""Layouts of the tables of the model card and of the measurements.

A report is what benchmarks/figures.py writes: the machine, the seed, the commit, and figures, each
with a name, a value, a unit, an interval and a bar, of which the last two may be missing. A note
says what has changed since a report was written; a new measurement leaves it out. Most
figures are named "way: quantity", where a way is a method or a setting. They fill a table with a
row for each way and a column for each quantity.
"""

from collections.abc import Callable, Sequence
from typing import Any

from creativelib.notebook.tables import Cell, Table, numbers

MISSING = "*Not measured yet.*"

Report = dict[str, Any]
# From a table's title and a report to tables.
Layout = Callable[[str, Report], list[Table]]

# Quantities of which more or less is better, so that the best can stand out.
BEST: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(
        (
            "valid",
            "novel in form",
            "valid and novel",
            "valid and novel in form",
            "valid, worst seed of each category",
            "true: valid",
            "true: novel in form",
            "true: valid and novel",
            "positive similarity",
            "negative distance",
            "CLIP: positive similarity",
            "precision",
            "recall",
            "density",
            "coverage",
            "shared factors kept",
            "judge's cosine to the prompt",
            "cosine to the captioned picture's embedding",
        ),
        max,
    ),
    **dict.fromkeys(
        (
            "Frechet distance, judge",
            "CMMD, judge",
            "seconds a picture",
            "milliseconds an embedding",
        ),
        min,
    ),
}


def source(script: str, report: dict[str, Any]) -> str:
    """Say which benchmark measured a report, on which machine, at which commit, and its note."""
    measured = (
        f"Measured by `benchmarks/{script}` on {report['machine']}, with seed {report['seed']}, "
        f"at commit `{report['commit']}`."
    )
    return " ".join([measured, report.get("note", "")]).strip()


# What is said of a bar; None is one that was set for another measure.
MET = {True: "yes", False: "no", None: "not comparable"}


def figures(found: Sequence[dict[str, Any]], caption: str) -> Table:
    """Lay out figures, one row each, with their intervals and their bars, if they have any."""
    rows = []
    for figure in found:
        bar = figure["bar"]
        asked = ""
        met = ""
        if bar is not None:
            # A bar that is met from above is a lower one. One that is not comparable is a bar on a
            # distance.
            reached = (figure["value"] >= bar) == figure["holds"]
            asked = f"at {'least' if reached else 'most'} {bar:g}".replace(" ", "\u00a0")
            met = MET[figure["holds"]]
        measured = numbers([figure["value"]], [figure["low"]], [figure["high"]])
        words = [Cell(figure["unit"]), Cell(asked), Cell(met, best=met == "no")]
        rows.append([Cell(figure["name"]), *measured, *words])
    return Table(caption, ["figure", "measured", "unit", "asked", "met"], rows)


def pivot(
    found: Sequence[dict[str, Any]],
    corner: str,
    caption: str,
    between: str = ": ",
    best: Callable[..., Any] | None = None,
) -> Table:
    """Lay out a row for each way and a column for each quantity, as they first appear.

    `between` separates ways and quantities in the figures' names. A table of few ways is turned.
    `best` is max or min if it is the same for all quantities.
    """
    cells = {tuple(figure["name"].split(between, 1)): figure for figure in found}
    ways, quantities = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    units = {key[1]: figure["unit"] for key, figure in reversed(cells.items())}
    titles = [f"{name}, {units[name]}" if units[name] else name for name in quantities]
    columns = []
    for name in quantities:
        of_ways = [cells.get((way, name), {}) for way in ways]
        values, lows, highs = (
            [figure.get(part) for figure in of_ways] for part in ("value", "low", "high")
        )
        columns.append(numbers(values, lows, highs, best=best or BEST.get(name)))
    # Many quantities of few ways fit a page better as a tall table.
    if len(ways) < len(quantities) / 2:
        rows = [[Cell(title), *column] for title, column in zip(titles, columns, strict=True)]
        return Table(caption, ["figure", *ways], rows)
    named = zip(ways, zip(*columns, strict=True), strict=True)
    return Table(caption, [corner, *titles], [[Cell(way), *row] for way, row in named])


def listed(title: str, report: Report) -> list[Table]:
    """Lay out all figures, one row each."""
    return [figures(report["figures"], f"{title}, figure by figure.")]


def by_way(title: str, report: Report) -> list[Table]:
    """Lay out figures with a bar, then a row for each way that has several figures."""
    barred = [f for f in report["figures"] if f["bar"] is not None]
    ways = [f["name"].split(": ")[0] for f in report["figures"]]
    others = [f for f, way in zip(report["figures"], ways, strict=True) if ways.count(way) > 1]
    tables = []
    if barred:
        tables.append(figures(barred, f"{title}: what was asked."))
    groups = alike(others)
    for number, group in enumerate(groups, 1):
        which = f" ({number} of {len(groups)})" if len(groups) > 1 else ""
        tables.append(pivot(group, "way", f"{title}, way by way{which}."))
    return tables


def alike(found: list[Report]) -> list[list[Report]]:
    """Split figures into groups of ways with the same quantities, if one table had many gaps."""
    split = [figure["name"].split(": ", 1) for figure in found]
    quantities = {way: [q for other, q in split if other == way] for way, _ in split}
    names = {quantity for _, quantity in split}
    if len(found) >= len(quantities) * len(names) / 2:
        return [found] if found else []
    groups: dict[tuple[str, ...], list[Report]] = {}
    for figure, (way, _) in zip(found, split, strict=True):
        groups.setdefault(tuple(quantities[way]), []).append(figure)
    return list(groups.values())


def density(title: str, report: Report) -> list[Table]:
    """Lay out how well densities rank the truth."""
    prefix = "rank correlation with the truth: "
    short = [f | {"name": f["name"].removeprefix(prefix)} for f in report["figures"]]
    # "estimator; exposure, size" gives a column to each exposure and size.
    caption = "Rank correlation with the truth, by exposure and number of samples."
    return [pivot(short, "density", caption, between="; ", best=max)]


# Columns of the tables of all methods, one table for each group.
GROUPS = {
    "What is true of the pictures": (
        "true: valid",
        "true: novel in form",
        "true: valid and novel",
        "true: surprisal",
        "seconds a picture",
    ),
    "Likeness and distance in the judge's eyes": (
        "positive similarity",
        "relative typicality",
        "distance to the nearest",
        "Frechet distance, judge",
        "CMMD, judge",
        "rarity score, judge",
        "KEN, judge",
        "authenticity, judge",
    ),
    "Fidelity and diversity in the judge's eyes": (
        "precision",
        "recall",
        "density",
        "coverage",
        "Vendi, q = 1",
        "Vendi, q = 2",
        "total variance",
    ),
    "In the eyes of the CLIP that methods are steered by": (
        "CLIP: positive similarity",
        "CLIP: relative typicality",
        "CLIP: surprisal",
        "CLIP: KL above its floor",
        "CLIP: distance to the nearest",
    ),
}


def methods(title: str, report: Report) -> list[Table]:
    """Lay out all methods by all metrics, in groups of columns that fit a page."""
    tables = []
    for caption, group in GROUPS.items():
        found = [f for f in report["figures"] if f["name"].split(": ", 1)[1] in group]
        tables.append(pivot(found, "method", f"{caption}."))
    return tables


def categories(title: str, report: Report) -> list[Table]:
    """Lay out methods, a row each, by category; none of a row's numbers competes with another."""
    return [pivot(report["figures"], "method", f"{title}.")]


def correlations(title: str, report: Report) -> list[Table]:
    """Lay out correlations, a row for each metric and a column for each quantity of the truth."""
    short = [f | {"name": f["name"].replace("CLIP: ", "CLIP's ")} for f in report["figures"]]
    return [pivot(short, "metric", "Rank correlation with the truth over all runs.", best=max)]


def seconds(title: str, report: Report) -> list[Table]:
    """Lay out seconds, a row for each thing that was timed."""
    # Names may hold colons of their own; the last one ends the name.
    named = [f | {"name": "\n".join(f["name"].rsplit(": ", 1))} for f in report["figures"]]
    return [pivot(named, "what", f"{title}.", between="\n")]


def chapters(title: str, report: Report) -> list[Table]:
    """Lay out the running times of the book's chapters."""
    return [pivot(report["figures"], "chapter", f"{title}.")]
