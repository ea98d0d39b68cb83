"""Check models that look at pictures: a CLIP by zero-shot classification, a VQA by its answers."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.figures import Figure, at_least, at_most, share
from creativelib.training.oracle import break_pictures
from creativelib.training.vqa import nearest_species
from creativelib.vision.vqa import STYLE_QUESTION, BlipVqa, is_a, what_color, what_kind
from creativelib.world import CATEGORIES, captions, styles
from creativelib.world.scenes import Scenes, style_names


def zero_shot_figures(
    name: str, encode_text: Callable[[Sequence[str]], Tensor], scenes: Scenes, z: Tensor
) -> list[Figure]:
    """Measure a CLIP by zero-shot classification. `z` are embeddings of the scenes' pictures."""
    z = normalize(z, dim=-1)
    named = scenes.species >= 0
    text = normalize(
        encode_text([f"a photo of {captions.article(c.name)}" for c in CATEGORIES]), dim=-1
    )
    right_category = (z @ text.T).argmax(1)[named] == scenes.category[named]
    right_species = []
    aucs = []
    for i, c in enumerate(CATEGORIES):
        rows = named & (scenes.category == i)
        species = normalize(
            encode_text([f"a photo of {captions.article(s)}" for s in c.species]), dim=-1
        )
        right_species.append((z[rows] @ species.T).argmax(1) == scenes.species[rows])
        wild = z[(scenes.category == i) & ~named] @ text[i]
        tame = z[rows] @ text[i]
        aucs.append((wild[:, None] > tame[None]).float().mean().item())
    species, i1 = share(torch.cat(right_species))
    category, i2 = share(right_category)
    return [
        at_least(f"{name}: zero-shot species within its category", species, "%", 95, i1),
        at_least(f"{name}: zero-shot category", category, "%", 99, i2),
        at_most(
            f"{name}: AUC of wild above species for the bare category, worst category",
            max(aucs),
            "",
            0.6,
        ),
        Figure(
            f"{name}: AUC of wild above species for the bare category, mean",
            sum(aucs) / len(aucs),
            "",
        ),
    ]


def vqa_figures(
    vqa: BlipVqa, scenes: Scenes, pictures: Tensor, generator: torch.Generator
) -> list[Figure]:
    """Measure a VQA by its answers to every question about species, wild and broken pictures."""
    hits: dict[str, list[bool]] = {}

    def ask(
        title: str, rows: Tensor, question: str, right: Sequence[str], shown: Tensor = pictures
    ) -> None:
        answers = vqa.ask(shown[rows], question) if len(rows) else []
        hits.setdefault(title, []).extend(a == b for a, b in zip(answers, right, strict=True))

    broken = break_pictures(pictures.clone(), scenes.category, generator)
    kinds = nearest_species(scenes)
    named = style_names(scenes.style)
    visible = styles.color_visible(scenes.style)
    for i, c in enumerate(CATEGORIES):
        members = scenes.category == i
        other = CATEGORIES[(i + 3) % len(CATEGORIES)].name
        tame, wild = (
            (members & kind).nonzero()[:, 0] for kind in (scenes.species >= 0, scenes.species < 0)
        )
        ask(
            "kind, species pictures",
            tame,
            what_kind(c.name),
            [list(c.species)[int(s)] for s in scenes.species[tame]],
        )
        ask(
            "kind, wild pictures: a nearest species",
            wild,
            what_kind(c.name),
            [kinds[int(row)] for row in wild],
        )
        for title, rows in (("species", tame), ("wild", wild)):
            ask(f"yes or no, {title} pictures", rows, is_a(c.name), ["yes"] * len(rows))
            ask(f"yes or no, {title} pictures", rows, is_a(other), ["no"] * len(rows))
        ask(
            "yes or no, broken pictures",
            members.nonzero()[:, 0],
            is_a(c.name),
            ["no"] * int(members.sum()),
            broken,
        )
        styled = torch.tensor([int(row) for row in tame if named[int(row)]])
        ask(
            "style, species pictures",
            styled,
            STYLE_QUESTION,
            [str(named[int(row)]) for row in styled],
        )
        colored = tame[visible[tame]]
        last = len(c.factors) - 1
        names = list(c.factors[last].values)
        colors = [names[int(scenes.factors[row, last])] for row in colored]
        ask("colour, species pictures", colored, what_color(c.name), colors)
    bars = {
        "kind, wild pictures: a nearest species": None,
        "yes or no, wild pictures": 90,
        "yes or no, broken pictures": 90,
    }
    figures = []
    for title, right in hits.items():
        value, interval = share(torch.tensor(right))
        bar = bars.get(title, 95)
        if bar is None:
            low, high = interval
            figures.append(Figure(f"VQA: {title}", value, "%", low=low, high=high))
        else:
            figures.append(at_least(f"VQA: {title}", value, "%", bar, interval))
    return figures
