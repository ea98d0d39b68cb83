"""python -m benchmarks.models.bundled: measure how good the bundled models are, on fresh pictures.

    python -m benchmarks.models.bundled --model menagerie-128

The oracles, the judge and the VQA are menagerie's, whichever model draws.
"""

import argparse

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from benchmarks.figures import Figure, at_least, at_most, bootstrap, publish, share
from benchmarks.models.model_checks import vqa_figures, zero_shot_figures
from creativelib.metrics.pixels import psnr
from creativelib.models.names import BUNDLED_STACKS
from creativelib.seeds import seeded
from creativelib.training.data import visible_factors
from creativelib.training.oracle import break_pictures
from creativelib.unclip.pipeline import Pipeline, load
from creativelib.unclip.prior import PriorSampling
from creativelib.vision.judge import Judge
from creativelib.vision.vqa import BlipVqa
from creativelib.world import CATEGORIES, captions, styles, truth
from creativelib.world.oracle import Oracle, Reading, of_category, slots
from creativelib.world.scenes import Scenes, draw, sample_scenes, style_names

PROBE = 14_000  # wild pictures that the probe learns from
# Guidance of the prior for prompts that ask for three things at once; the others have none.
GUIDED = 3.0


def visible_mask(scenes: Scenes) -> Tensor:
    """Return (n, f), True for factors that exist and that the style does not hide."""
    return visible_factors(scenes) >= 0


def species_of(category: str, factors: Tensor) -> Tensor:
    """Find the most probable species under the truth."""
    return truth(category).posterior(factors)[:, :-1].argmax(1)


def read_species(oracle: Oracle, pictures: Tensor, category: str) -> Tensor:
    count = len(truth(category).category.factors)
    return species_of(category, oracle.read(pictures, category).scenes().factors[:, :count])


def lab(rgb: Tensor) -> Tensor:
    """Convert sRGB in [0, 1] to CIELAB under D65; the channels are the last dimension."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = rgb.new_tensor(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear @ matrix.T / rgb.new_tensor([0.95047, 1.0, 1.08883])
    f = torch.where(
        xyz > (6 / 29) ** 3, xyz.clamp_min(1e-9) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29
    )
    return torch.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )


def subject(scenes: Scenes, pictures: Tensor) -> Tensor:
    """Return (n, h, w), True on the subject.

    That is where the same scene looks the same on another background.
    """
    moved = Scenes(**{**scenes.__dict__, "pose": scenes.pose.clone()})
    moved.pose[:, 6:9] = 1.6 - moved.pose[:, 6:9]
    return (draw(moved, pictures.shape[-1]) - pictures).abs().amax(1) < 0.004


def same_share(a: Reading, b: Reading, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Compare two readings: per visible factor, and per picture for all visible factors at once."""
    same = a.factors.argmax(2) == b.factors.argmax(2)
    return same[mask], (same | ~mask).all(1)


def drawn(scenes: Scenes, side: int) -> Tensor:
    """Draw scenes, a few at a time."""
    starts = tqdm(range(0, len(scenes), 200), desc="drawing")
    return torch.cat([draw(scenes[slice(start, start + 200)], side) for start in starts])


def probe_figures(
    pipe: Pipeline, scenes: Scenes, z: Tensor, generator: torch.Generator
) -> list[Figure]:
    """Measure how much of a wild picture its embedding keeps.

    An MLP of two hidden layers learns to read the factors of wild pictures from their embeddings.
    """
    learned = sample_scenes(PROBE, generator, wild=1.0)
    embeddings = torch.cat(
        [
            pipe.encode_images(drawn(learned[slice(i, i + 1000)], pipe.decoder.side))
            for i in range(0, PROBE, 1000)
        ]
    )
    mean = embeddings.mean(0)
    std = embeddings.std(0)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(z.shape[1], 768),
        nn.GELU(),
        nn.Dropout(0.1),
        nn.Linear(768, 768),
        nn.GELU(),
        nn.Dropout(0.1),
        nn.Linear(768, int(slots().max())),
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)
    steps = 3000
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    target = visible_factors(learned)
    with torch.enable_grad():
        for _ in range(steps):
            rows = torch.randint(PROBE, (256,), generator=generator)
            logits = of_category(net((embeddings[rows] - mean) / std), learned.category[rows])
            loss = cross_entropy(logits.flatten(0, 1), target[rows].flatten(), ignore_index=-1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    wild = scenes.species < 0
    mask = visible_mask(scenes)[wild]
    logits = of_category(net.eval()((z[wild] - mean) / std), scenes.category[wild])
    right = logits.argmax(2) == scenes.factors[wild]
    each, i1 = share(right[mask])
    whole, i2 = share((right | ~mask).all(1))
    return [
        at_least(
            "CLIP: a probe on embeddings of wild pictures reads visible factors", each, "%", 97, i1
        ),
        at_least("CLIP: a probe reads all of a wild picture's visible factors", whole, "%", 80, i2),
    ]


def redrawn_figures(
    oracle: Oracle, scenes: Scenes, decoded: Tensor, encoded: Tensor
) -> list[Figure]:
    """Measure how far pictures are from the pictures drawn from the oracle's reading of them."""
    distance = {}
    for name, pictures in (("decoded", decoded), ("autoencoded", encoded)):
        parts = [
            oracle.judge(pictures[scenes.category == i], c.name).distance
            for i, c in enumerate(CATEGORIES)
        ]
        distance[name] = torch.cat(parts).median().item()
    return [
        at_most(
            "distance to the picture drawn from what the oracle reads, "
            "decoded / autoencoded (median)",
            distance["decoded"] / distance["autoencoded"],
            "",
            1.5,
        )
    ]


def autoencoded(pipe: Pipeline, pictures: Tensor) -> Tensor:
    return torch.cat(
        [pipe.decoder.render(pipe.decoder.encode(x)) for x in pictures.split(100)]
    ).clamp(0, 1)


def autoencoder_figures(
    oracle: Oracle, scenes: Scenes, pictures: Tensor, out: Tensor
) -> list[Figure]:
    """Measure the autoencoder. `out` are the pictures encoded and decoded."""
    ratio, i1 = bootstrap(psnr(out, pictures))
    mask = visible_mask(scenes)
    color = []
    same = []
    alike = []
    for i, c in enumerate(CATEGORIES):
        rows = scenes.category == i
        a = oracle.read(pictures[rows], c.name)
        b = oracle.read(out[rows], c.name)
        each, whole = same_share(a, b, mask[rows])
        same.append(each)
        alike.append(whole)
        last = len(c.factors) - 1
        color.append(
            (a.factors[:, last].argmax(1) == b.factors[:, last].argmax(1))[mask[rows][:, last]]
        )
    inside = subject(scenes, pictures) & styles.color_visible(scenes.style)[:, None, None]
    difference = (lab(out.permute(0, 2, 3, 1)) - lab(pictures.permute(0, 2, 3, 1))).norm(dim=-1)[
        inside
    ]
    factors, i2 = share(torch.cat(same))
    whole, i3 = share(torch.cat(alike))
    colors, i4 = share(torch.cat(color))
    return [
        at_least("VQModel: PSNR", ratio, "dB", 31, i1),
        at_least("VQModel: visible factors unchanged", factors, "%", 95, i2),
        Figure(
            "VQModel: pictures with all visible factors unchanged",
            whole,
            "%",
            low=i3[0],
            high=i3[1],
        ),
        at_least("VQModel: colour unchanged", colors, "%", 99, i4),
        at_most(
            "VQModel: median colour error on the subject",
            difference.median().item(),
            "delta-E (CIE 1976)",
            5,
        ),
    ]


def decoder_figures(oracle: Oracle, scenes: Scenes, out: Tensor) -> list[Figure]:
    """Measure the decoder. `out` was decoded from the embeddings of the scenes' pictures."""
    species = []
    same = []
    alike = []
    mask = visible_mask(scenes)
    for i, c in enumerate(CATEGORIES):
        rows = scenes.category == i
        count = len(c.factors)
        tame = rows & (scenes.species >= 0)
        species.append(
            read_species(oracle, out[tame], c.name)
            == species_of(c.name, scenes.factors[tame, :count])
        )
        wild = rows & (scenes.species < 0)
        read = oracle.read(out[wild], c.name).scenes().factors
        right = read == scenes.factors[wild]
        same.append(right[mask[wild]])
        alike.append((right | ~mask[wild]).all(1))
    named, i1 = share(torch.cat(species))
    each, i2 = share(torch.cat(same))
    whole, i3 = share(torch.cat(alike))
    return [
        at_least("decoder: same species from a picture's embedding", named, "%", 95, i1),
        at_least("decoder: same visible factors on wild pictures", each, "%", 93, i2),
        at_least("decoder: wild pictures with all visible factors the same", whole, "%", 55, i3),
    ]


def text_figures(
    pipe: Pipeline, oracle: Oracle, generator: torch.Generator, each: int
) -> list[Figure]:
    """Measure text to picture: species, then style and color, then the bare category."""
    right = []
    styled = []
    valid = []
    novel = []
    entropies = []
    false_novel = []
    for c in tqdm(CATEGORIES, desc="text to picture"):
        names = list(c.species)
        z = pipe.sample_prior(
            pipe.encode_text([f"a photo of {captions.article(s)}" for s in names]),
            each,
            noise=generator,
        )
        out = pipe.decode(z, generator=generator)
        for s, pictures in enumerate(out):
            right.append(read_species(oracle, pictures, c.name) == s)
            false_novel.append(oracle.judge(pictures, c.name).novel_in_form)
        wanted = [
            (style, color, name)
            for style in styles.NAMES
            for color in ("red", "blue", "green", "yellow")
            for name in names[:: max(1, len(names) // 2)][:2]
        ]
        prompts = [
            f"{captions.article(style)} of {captions.article(color)} {name}"
            for style, color, name in wanted
        ]
        z = pipe.sample_prior(
            pipe.encode_text(prompts),
            max(1, each // 10),
            noise=generator,
            sampling=PriorSampling(guidance=GUIDED),
        )
        out = pipe.decode(z, generator=generator)
        for (style, color, _), pictures in zip(wanted, out, strict=True):
            read = oracle.read(pictures, c.name).scenes()
            hit = torch.tensor([found == style for found in style_names(read.style)])
            if styles.color_visible(torch.tensor([styles.index(style)])).item():
                last = len(c.factors) - 1
                hit &= read.factors[:, last] == list(c.factors[last].values).index(color)
            styled.append(hit)
        z = pipe.sample_prior(
            pipe.encode_text([f"a photo of {captions.article(c.name)}"]), 4 * each, noise=generator
        )
        pictures = pipe.decode(z, generator=generator)[0]
        judged = oracle.judge(pictures, c.name)
        valid.append(judged.valid)
        novel.append(judged.novel_in_form)
        counts = torch.bincount(read_species(oracle, pictures, c.name), minlength=len(names))
        p = counts.double() / len(pictures)
        largest = torch.tensor(float(len(names))).log()
        entropies.append((torch.special.entr(p).sum() / largest).item())
    species, i1 = share(torch.cat(right))
    style, i2 = share(torch.cat(styled))
    v, i3 = share(torch.cat(valid))
    f, i4 = share(torch.cat(false_novel))
    new, i5 = share(torch.cat(novel))
    return [
        at_least('prior + decoder: "a photo of a {species}" is that species', species, "%", 92, i1),
        at_least(
            f'prior (guidance {GUIDED:g}) + decoder: "a {{style}} of a {{colour}} {{species}}" has '
            "style and visible colour",
            style,
            "%",
            90,
            i2,
        ),
        at_least('prior + decoder: "a photo of a {category}" is valid', v, "%", 97, i3),
        at_most(
            'prior + decoder: "a photo of a {category}" is novel in form, where the truth has 3 %',
            new,
            "%",
            5,
            i5,
        ),
        at_least(
            "prior + decoder: entropy over decoded species / the table's, mean",
            sum(entropies) / len(entropies),
            "",
            0.85,
        ),
        Figure(
            "prior + decoder: entropy over decoded species / the table's, worst category",
            min(entropies),
            "",
        ),
        at_most("oracle: false novelty on decoded pictures of named species", f, "%", 5, i4),
    ]


def expected_calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> float:
    """Average the absolute gaps of confidence and accuracy over equally wide bins, in percent."""
    index = (confidence * bins).long().clamp(max=bins - 1)
    gaps = [
        (
            (confidence[index == b].mean() - right[index == b].float().mean()).abs()
            * (index == b).float().mean()
        )
        for b in range(bins)
        if (index == b).any()
    ]
    return 100 * torch.stack(gaps).sum().item()


def oracle_figures(
    oracle: Oracle,
    other: Oracle,
    scenes: Scenes,
    pictures: Tensor,
    decoded: Tensor,
    generator: torch.Generator,
) -> list[Figure]:
    """Measure the oracle, and how often the `other` one agrees with it."""
    mask = visible_mask(scenes)
    right = []
    confidence = []
    wild = scenes.species < 0
    tame_hits = []
    wild_hits = []
    wholes = []
    for i, c in enumerate(CATEGORIES):
        rows = scenes.category == i
        read = oracle.read(pictures[rows], c.name)
        most, value = read.factors.max(2)
        hit = value == scenes.factors[rows]
        tame_hits.append(hit[mask[rows] & ~wild[rows, None]])
        wild_hits.append(hit[mask[rows] & wild[rows, None]])
        wholes.append((hit | ~mask[rows]).all(1)[wild[rows]])
        right.append(hit[mask[rows]])
        confidence.append(most[mask[rows]])
    category = oracle.read(pictures).category.argmax(1) == scenes.category
    broken_pictures = break_pictures(pictures.clone(), scenes.category, generator)
    broken = oracle.read(broken_pictures).broken >= oracle.broken_limit
    alarm = oracle.read(torch.cat([pictures, decoded])).broken >= oracle.broken_limit
    agree = []
    for i, c in enumerate(CATEGORIES):
        a, b = (
            o.judge(decoded[scenes.category[: len(decoded)] == i], c.name) for o in (oracle, other)
        )
        agree.append((a.valid == b.valid) & (a.novel_in_form == b.novel_in_form))
    t, i1 = share(torch.cat(tame_hits))
    w, i2 = share(torch.cat(wild_hits))
    cat, i3 = share(category)
    br, i4 = share(broken)
    al, i5 = share(alarm)
    ag, i6 = share(torch.cat(agree))
    every, i7 = share(torch.cat(wholes))
    gap = expected_calibration_error(torch.cat(confidence), torch.cat(right))
    return [
        at_least("oracle: visible factors, species pictures", t, "%", 98, i1),
        at_least("oracle: visible factors, wild pictures", w, "%", 98.5, i2),
        at_least("oracle: all visible factors, wild pictures", every, "%", 88, i7),
        at_least("oracle: category", cat, "%", 99.5, i3),
        at_least("oracle: broken pictures recognised", br, "%", 95, i4),
        at_most("oracle: false alarms on clean and decoded pictures", al, "%", 2, i5),
        at_most("oracle: expected calibration error of factors", gap, "%", 3),
        at_least("oracles: agree on valid and novel, decoded pictures", ag, "%", 95, i6),
    ]


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=BUNDLED_STACKS, default=BUNDLED_STACKS[0])
    parser.add_argument("--pictures", type=int, default=4000, help="fresh pictures")
    parser.add_argument("--decoded", type=int, default=600, help="of these decoded")
    parser.add_argument("--each", type=int, default=6, help="pictures for each species")
    parser.add_argument("--seed", type=int, default=12345)
    options = parser.parse_args()
    generator = seeded(options.seed)
    pipe = load(options.model)
    oracle = Oracle.load()
    other = Oracle.load("mix")
    scenes = sample_scenes(options.pictures, generator, wild=0.3)
    pictures = drawn(scenes, pipe.decoder.side)
    z = pipe.encode_images(pictures)
    some = slice(0, options.decoded)
    figures = zero_shot_figures("CLIP", lambda prompts: pipe.encode_text(prompts).pooled, scenes, z)
    figures += probe_figures(pipe, scenes, z, seeded(options.seed + 1))
    encoded = autoencoded(pipe, pictures[some])
    figures += autoencoder_figures(oracle, scenes[some], pictures[some], encoded)
    decoded = torch.cat(
        [
            pipe.decode(part[None], generator=generator)[0]
            for part in tqdm(z[some].split(100), desc="decoding")
        ]
    )
    figures += decoder_figures(oracle, scenes[some], decoded)
    figures += redrawn_figures(oracle, scenes[some], decoded, encoded)
    figures += text_figures(pipe, oracle, generator, options.each)
    figures += oracle_figures(oracle, other, scenes, pictures, decoded, generator)
    judge = Judge.load()
    figures += zero_shot_figures("judge", judge.encode_text, scenes, judge.encode_images(pictures))
    figures += vqa_figures(BlipVqa.load(), scenes, pictures, generator)
    publish(
        "models" if options.model == BUNDLED_STACKS[0] else f"models-{options.model}",
        figures,
        options.seed,
    )


if __name__ == "__main__":
    main()
