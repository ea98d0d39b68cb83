"""Training pictures: chunks of scenes that are drawn once and kept on disk, and a pool of them.

    pool = Pool(prepare, device, batch=1024, source=MAIN)
    lesson = pool.draw(step, generator)

Chunk i of a source depends on the source's seed and i alone. The content of a pool at a step
depends on the step alone. So a run that was interrupted resumes to the same result, and trainings
side by side share the chunks that one of them has drawn.
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
from ..seeds import seeded
from ..world.scenes import Scenes, caption, draw, sample_scenes
from . import tokenizer
from .data import placed

SIDE = 128  # of the pictures, in pixels
CAPTIONS = 3  # for each picture
PART = 2048  # pictures prepared together when a chunk enters a pool
POSITIONS = 32  # tokens of a caption; the longest one fits

# Turns pictures in [0, 1], their scenes and their captions' token ids into a network's inputs.
Prepare = Callable[[Float[Tensor, "n 3 h w"], Scenes, Int[Tensor, "n c l"]], dict[str, Tensor]]


@dataclass(frozen=True)
class Source:
    """A random stream of pictures."""

    # Name of its folder on disk.
    name: str
    # Share of wild pictures. The models must learn to read and draw combinations that no species
    # has.
    wild: float
    # Seed of its scenes and captions.
    seed: int
    # Share of the distinct chunks that a device is supplied with.
    part: float = 1.0


# The generator's pictures.
MAIN = Source("main", wild=0.5, seed=1)
# The oracles' pictures. More of them are wild, since the oracles have to read rare combinations.
APART = Source("apart", wild=0.6, seed=4, part=0.5)


@dataclass(frozen=True)
class Supply:
    """Numbers of pictures that are drawn and held."""

    # Pictures drawn at once.
    chunk: int
    # Chunks of a source; after the last the first comes again.
    distinct: int
    # Chunks in a full pool.
    pool: int
    # Steps from one new chunk in the pool to the next.
    every: int
    # Chunks in the pool at the first step, from which means and deviations are computed.
    start: int = 1


def supply(device: torch.device) -> Supply:
    """Choose the numbers for a device.

    A GPU draws many pictures in the time of few, while only few fit a processor's cache.
    """
    if device.type == "cuda":
        return Supply(chunk=16_384, distinct=16, pool=16, every=40)
    return Supply(chunk=256, distinct=480, pool=64, every=16, start=16)


@dataclass(frozen=True)
class Chunk:
    """n pictures that were drawn at once."""

    # Pictures in bytes.
    pixels: UInt8[Tensor, "n 3 h w"]
    # Their scenes.
    scenes: Scenes
    # Token ids of each picture's captions.
    ids: Int[Tensor, "n c l"]


def vocabulary(words: Any) -> dict[str, int]:
    """Return the token id of every word of the world."""
    return {
        token.removesuffix("</w>"): number
        for token, number in words.get_vocab().items()
        if token.endswith("</w>")
    }


def encode(texts: list[str], numbers: dict[str, int], words: Any) -> Int[Tensor, "n l"]:
    """Encode captions as the tokenizer does, in a third of its time.

    `numbers` are the words' ids from `vocabulary`; other words raise KeyError.
    """
    out = torch.full((len(texts), POSITIONS), words.eos_token_id)
    out[:, 0] = words.bos_token_id
    for row, text in zip(out, texts, strict=True):
        found = [numbers[word] for word in text.split()]
        row[1 : len(found) + 1] = torch.tensor(found)
    return out


def make(source: Source, index: int, size: int, device: torch.device) -> Chunk:
    """Draw a chunk and write its captions."""
    number = source.seed * 1_000_003 + index
    scenes = sample_scenes(size, seeded(number), source.wild)
    words = tokenizer.build()
    numbers = vocabulary(words)
    rng = random.Random(number)
    ids = [encode(caption(scenes, rng, source.wild), numbers, words) for _ in range(CAPTIONS)]
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        pixels = in_bytes(draw(placed(scenes, device), SIDE)).cpu()
    return Chunk(pixels, scenes, torch.stack(ids, 1))


def chunk(source: Source, index: int, size: int, device: torch.device) -> Chunk:
    """Read a chunk from disk, or draw it and write it there."""
    name = f"{source.name}-{source.seed}-{source.wild:g}-{SIDE}-{size}-{CAPTIONS}"
    folder = cache_folder() / "data" / name
    file = folder / f"{index:04d}.safetensors"
    if not file.exists():
        made = make(source=source, index=index, size=size, device=device)
        tensors = {"pixels": made.pixels, "ids": made.ids.short()} | asdict(made.scenes)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as part:
            save_file(tensors, part)
        return made
    stored = load_file(file)
    scenes = Scenes(**{name: stored[name] for name in Scenes.__dataclass_fields__})
    return Chunk(stored["pixels"], scenes, stored["ids"].long())


def draw_ahead(source: Source, part: int, parts: int, device: torch.device) -> None:
    """Draw every `parts`-th chunk of a source, from `part` on.

    `parts` processes, each with a `part` of its own, then draw all chunks.
    """
    size = supply(device)
    for index in range(part, round(source.part * size.distinct), parts):
        chunk(source=source, index=index, size=size.chunk, device=device)


@dataclass(frozen=True)
class Lesson:
    """A batch of n scenes."""

    scenes: Scenes
    # Output of `Prepare` for the scenes' pictures.
    inputs: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.scenes)


class Pool:
    """The latest chunks of a source on a device, in the form that `prepare` returns.

    The pool starts with `Supply.start` chunks and gets another one every `Supply.every` steps. A
    new chunk replaces the oldest one of a full pool. A pool that holds all distinct chunks stays as
    it is.
    """

    def __init__(
        self, prepare: Prepare, device: torch.device, batch: int, source: Source = MAIN
    ) -> None:
        self.prepare = prepare
        self.device = device
        self.batch = batch
        self.source = source
        self.size = supply(device)
        self.distinct = max(1, round(source.part * self.size.distinct))
        self.room = min(self.size.pool, self.distinct)
        self.next = -1  # the number of the next chunk; -1 before the first step
        self.held = 0  # chunks in the pool
        self.tensors: dict[str, Tensor] = {}  # scenes and inputs of all pictures

    def __len__(self) -> int:
        return self.size.chunk * self.held

    def advance(self, step: int) -> None:
        """Take chunks until the pool has the content that it has at a step."""
        last = step // self.size.every + min(self.size.start, self.room) - 1
        if self.next < 0:
            self.next = max(0, last + 1 - self.room)
        while self.next <= last:
            if self.distinct > self.room or self.held < self.room:
                self._take(self.next)
                self.held = min(self.held + 1, self.room)
            self.next += 1

    def _take(self, index: int) -> None:
        size = self.size.chunk
        drawn = chunk(
            source=self.source, index=index % self.distinct, size=size, device=self.device
        )
        first = index % self.room * size
        for start in range(0, size, PART):
            rows = slice(start, start + PART)
            scenes = placed(drawn.scenes[rows], self.device)
            pictures = as_picture(drawn.pixels[rows].to(self.device))
            with torch.no_grad():
                inputs = self.prepare(pictures, scenes, drawn.ids[rows].to(self.device))
            for name, value in (asdict(scenes) | inputs).items():
                if name not in self.tensors:
                    self.tensors[name] = value.new_empty(self.room * size, *value.shape[1:])
                self.tensors[name][first + start : first + start + len(value)] = value

    def all(self, name: str, step: int) -> Tensor:
        """Return one of the inputs, by name, for every picture that the pool holds at a step."""
        self.advance(step)
        return self.tensors[name][: len(self)]

    def draw(self, step: int, generator: torch.Generator) -> Lesson:
        """Draw a random batch of the pictures that the pool holds at a step."""
        self.advance(step)
        rows = torch.randint(len(self), (self.batch,), generator=generator, device=generator.device)
        rows = rows.to(self.device)
        inputs = {name: value[rows] for name, value in self.tensors.items()}
        scenes = Scenes(**{name: inputs.pop(name) for name in Scenes.__dataclass_fields__})
        return Lesson(scenes, inputs)


def one_caption(ids: Int[Tensor, "n c l"], generator: torch.Generator) -> Int[Tensor, "n l"]:
    """Choose one of each picture's captions at random."""
    which = torch.randint(ids.shape[1], (len(ids),), generator=generator, device=generator.device)
    rows = torch.arange(len(ids), device=ids.device)
    return ids[rows, which.to(ids.device)].long()
