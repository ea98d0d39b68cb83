"""A CLIP tokenizer in which every word of the world is one token; other text still encodes."""

import json
import tempfile
from pathlib import Path
from typing import Any

from ..world import CATEGORIES, captions

# Tokens of a prompt, ends included. It is short because the prior attends to every position.
LENGTH = 24


def byte_symbols() -> list[str]:
    """Return GPT-2's printable stand-ins for the 256 bytes, in its order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def split(word: str, merges: dict[tuple[str, str], int]) -> list[str]:
    """Encode one word by byte pairs: join the pair of lowest rank until none is left."""
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
    """Build the `CLIPTokenizer`.

    Merges are added word by word at the end of the list, so they never split a word that is already
    one token.
    """
    from transformers import CLIPTokenizer

    merges: dict[tuple[str, str], int] = {}
    vocabulary = byte_symbols() + [symbol + "</w>" for symbol in byte_symbols()]
    for word in captions.words(CATEGORIES):
        while len(pieces := split(word, merges)) > 1:
            merges[pieces[0], pieces[1]] = len(merges)
            vocabulary.append(pieces[0] + pieces[1])
    vocabulary = list(dict.fromkeys(vocabulary)) + ["<|startoftext|>", "<|endoftext|>"]
    numbers = {symbol: i for i, symbol in enumerate(vocabulary)}
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.json").write_text(
            json.dumps(numbers), encoding="utf-8", newline="\n"
        )
        (Path(folder) / "merges.txt").write_text(
            "\n".join(lines) + "\n", encoding="utf-8", newline="\n"
        )
        return CLIPTokenizer.from_pretrained(folder, model_max_length=LENGTH)
