"""A CLIP tokenizer in which every word of the world is one token and any other text still encodes."""

import json
import tempfile
from pathlib import Path
from typing import Any

from ..world import CATEGORIES, captions

LENGTH = 24  # of a prompt, ends included; short, because the prior attends to every position


def byte_symbols() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in its order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def split(word: str, merges: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair encoding of one word: join the pair of lowest rank until none is left."""
    pieces = [*word[:-1], word[-1] + "</w>"]
    while len(pieces) > 1:
        ranked = [
            (merges.get(pair, len(merges)), i)
            for i, pair in enumerate(zip(pieces, pieces[1:], strict=False))
        ]
        rank, i = min(ranked)
        if rank == len(merges):
            break
        pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
    return pieces


def build() -> Any:
    """A `CLIPTokenizer`. Merges are added word by word at the end of the list, so no word already joined can fall apart."""
    from transformers import CLIPTokenizer

    merges: dict[tuple[str, str], int] = {}
    vocabulary = byte_symbols() + [symbol + "</w>" for symbol in byte_symbols()]
    for word in captions.words(CATEGORIES):
        while len(pieces := split(word, merges)) > 1:
            merges[pieces[0], pieces[1]] = len(merges)
            vocabulary.append(pieces[0] + pieces[1])
    vocabulary = list(dict.fromkeys(vocabulary)) + ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.json").write_text(
            json.dumps({symbol: i for i, symbol in enumerate(vocabulary)})
        )
        (Path(folder) / "merges.txt").write_text(
            "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n"
        )
        return CLIPTokenizer.from_pretrained(folder, model_max_length=LENGTH)
