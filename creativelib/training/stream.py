"""Pictures to learn from: chunks of scenes that are drawn once and kept on disk, and a pool of them on a device.

    pool = Pool(see, place, batch=1024, source=MAIN)
    lesson = pool.draw(step, generator)

Chunk i of a source depends on the source's seed and i alone, and what a pool holds at a step on the step alone: so a
run that was cut off goes on as if it had not been, and several trainings side by side share what one of them has drawn.
"""

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..files import atomic_write, cache_folder
from ..pictures import as_picture, in_bytes
from ..world.scenes import Scenes, caption, draw, sample_scenes
from . import tokenizer
from .data import placed

SIDE = 128  # of the pictures, in pixels
CAPTIONS = 3  # made for each picture
PART = 2048  # pictures looked at together when a chunk comes into a pool
POSITIONS = 32  # the longest caption fits whole

# Turns pictures in [0, 1], their scenes and their captions' token ids into what a network learns from.
See = Callable[[Float[Tensor, "n 3 h w"], Scenes, Int[Tensor, "n c l"]], dict[str, Tensor]]


@dataclass(frozen=True)
class Source:
    """Where pictures come from."""

    name: str
    wild: float  # share of wild pictures: what is to be seen and drawn must have been seen
    seed: int
    part: float = 1.0  # of the distinct chunks that a device is supplied with


MAIN = Source("main", wild=0.5, seed=1)  # the generator's
APART = Source(
    "apart", wild=0.6, seed=4, part=0.5
)  # the oracles': what is rare is what they have to read


@dataclass(frozen=True)
class Supply:
    """How many pictures are drawn and at hand."""

    chunk: int  # pictures drawn at once
    distinct: int  # chunks of a source; then the first comes again
    pool: int  # chunks in a pool
    every: int  # steps from one new chunk in the pool to the next
    start: int = 1  # chunks in the pool at the first step, of which means and deviations are taken


def supply(device: torch.device) -> Supply:
    """What suits a device: drawing takes a GPU as long for many pictures as for few; few fit a processor's cache."""
    if device.type == "cuda":
        return Supply(chunk=16_384, distinct=16, pool=16, every=40)
    return Supply(chunk=256, distinct=480, pool=64, every=16, start=16)


@dataclass(frozen=True)
class Chunk:
    """Pictures in bytes, their scenes, and the token ids of their captions."""

    pixels: UInt8[Tensor, "n 3 h w"]
    scenes: Scenes
    ids: Int[Tensor, "n c l"]


def vocabulary(words: Any) -> dict[str, int]:
    """The token of every word of the world."""
    return {
        token.removesuffix("</w>"): number
        for token, number in words.get_vocab().items()
        if token.endswith("</w>")
    }


def encode(texts: list[str], numbers: dict[str, int], words: Any) -> Int[Tensor, "n l"]:
    """Token ids of captions, as the tokenizer gives them for texts of known words, in a third of the time."""
    out = torch.full((len(texts), POSITIONS), words.eos_token_id)
    out[:, 0] = words.bos_token_id
    for row, text in zip(out, texts, strict=True):
        found = [numbers[word] for word in text.split()]
        row[1 : len(found) + 1] = torch.tensor(found)
    return out


def make(source: Source, index: int, size: int, device: torch.device) -> Chunk:
    """Draw a chunk."""
    number = source.seed * 1_000_003 + index
    scenes = sample_scenes(size, torch.Generator().manual_seed(number), source.wild)
    words = tokenizer.build()
    numbers = vocabulary(words)
    rng = random.Random(number)
    ids = [encode(caption(scenes, rng, source.wild), numbers, words) for _ in range(CAPTIONS)]
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        pixels = in_bytes(draw(placed(scenes, device), SIDE)).cpu()
    return Chunk(pixels, scenes, torch.stack(ids, 1))


def chunk(source: Source, index: int, size: int, device: torch.device) -> Chunk:
    """A chunk from disk, drawn and kept there first if need be."""
    folder = (
        cache_folder()
        / "data"
        / f"{source.name}-{source.seed}-{source.wild:g}-{SIDE}-{size}-{CAPTIONS}"
    )
    file = folder / f"{index:04d}.safetensors"
    if not file.exists():
        made = make(source, index, size, device)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as part:
            save_file({"pixels": made.pixels, "ids": made.ids.short()} | asdict(made.scenes), part)
        return made
    stored = load_file(file)
    scenes = Scenes(**{name: stored[name] for name in Scenes.__dataclass_fields__})
    return Chunk(stored["pixels"], scenes, stored["ids"].long())


def draw_ahead(source: Source, part: int, parts: int, device: torch.device) -> None:
    """Draw every `parts`-th chunk of a source, from `part` on: what `parts` processes share."""
    size = supply(device)
    for index in range(part, round(source.part * size.distinct), parts):
        chunk(source, index, size.chunk, device)


@dataclass(frozen=True)
class Lesson:
    """A batch: the scenes, and what `See` made of their pictures."""

    scenes: Scenes
    seen: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.scenes)


class Pool:
    """The latest chunks of a source, as `see` keeps them, on a device. It starts with a few, gets another every
    `Supply.every` steps, and when it is full the oldest makes room, unless it holds all there are."""

    def __init__(self, see: See, device: torch.device, batch: int, source: Source = MAIN) -> None:
        self.see = see
        self.device = device
        self.batch = batch
        self.source = source
        self.size = supply(device)
        self.distinct = max(1, round(source.part * self.size.distinct))
        self.room = min(self.size.pool, self.distinct)
        self.next = -1  # the chunk to come; -1 before the first step
        self.held = 0  # chunks in the pool
        self.kept: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return self.size.chunk * self.held

    def advance(self, step: int) -> None:
        """Bring the pool to the state that it has at a step."""
        last = step // self.size.every + min(self.size.start, self.room) - 1
        if self.next < 0:
            self.next = max(0, last + 1 - self.room)
        while self.next <= last:
            if self.distinct > self.room or self.held < self.room:
                self._take(self.next)
                self.held = min(self.held + 1, self.room)
            self.next += 1

    def _take(self, index: int) -> None:
        found = chunk(self.source, index % self.distinct, self.size.chunk, self.device)
        first = index % self.room * self.size.chunk
        for start in range(0, self.size.chunk, PART):
            rows = slice(start, start + PART)
            scenes = placed(found.scenes[rows], self.device)
            with torch.no_grad():
                seen = self.see(
                    as_picture(found.pixels[rows].to(self.device)),
                    scenes,
                    found.ids[rows].to(self.device),
                )
            for name, value in (asdict(scenes) | seen).items():
                if name not in self.kept:
                    self.kept[name] = value.new_empty(self.room * self.size.chunk, *value.shape[1:])
                self.kept[name][first + start : first + start + len(value)] = value

    def all(self, name: str, step: int) -> Tensor:
        """Of every picture that the pool holds at a step, what `see` kept under a name."""
        self.advance(step)
        return self.kept[name][: len(self)]

    def draw(self, step: int, generator: torch.Generator) -> Lesson:
        """A random batch of what the pool holds at a step."""
        self.advance(step)
        rows = torch.randint(len(self), (self.batch,), generator=generator, device=generator.device)
        rows = rows.to(self.device)
        found = {name: value[rows] for name, value in self.kept.items()}
        scenes = Scenes(**{name: found.pop(name) for name in Scenes.__dataclass_fields__})
        return Lesson(scenes, found)


def one_caption(ids: Int[Tensor, "n c l"], generator: torch.Generator) -> Int[Tensor, "n l"]:
    """One of each picture's captions, at random."""
    which = torch.randint(ids.shape[1], (len(ids),), generator=generator, device=generator.device)
    return ids[torch.arange(len(ids), device=ids.device), which.to(ids.device)].long()
