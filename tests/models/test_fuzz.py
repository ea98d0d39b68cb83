"""Folders of models, spoiled in thousands of ways: readers answer with InputError or read them.

Run with -s to see the counts. The seeds are fixed, and the tests end after some seconds at most.
"""

import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from creativelib.errors import InputError
from creativelib.models.folders import read_config, read_part
from creativelib.models.location import bundled, locate
from creativelib.models.parts import DECODERS, ENCODER, JUDGE, JUDGE_WORDS, PRIORS, VQA
from creativelib.pictures import Preprocess
from creativelib.reading import verify
from creativelib.unclip.pipeline import load
from creativelib.world.oracle import Oracle

VALUES = (
    None,
    True,
    0,
    -1,
    2.5,
    10**30,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "text",
    "../up",
    "/etc/passwd",
    "owner/name",
    "x" * 5000,
    [],
    {},
    [[]],
    ["a", 1],
    {"a": {}},
    {"shortest_edge": 1},
)
NAMES = ("_class_name", "model_type", "tokenizer_class", "auto_map", "weight_map", "size", "layers")
Spoil = Callable[[Path, random.Random], None]


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield the path of every value in a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inner:
        yield (*path, key)
        if isinstance(each, dict | list):
            yield from places(each, (*path, key))


def spoil_json(file: Path, rng: random.Random) -> None:
    """Replace, remove, nest, rename or add one value."""
    content = json.loads(file.read_text())
    target = content
    *above, last = rng.choice(list(places(content)) or [("new",)])
    for key in above:
        target = target[key]
    match rng.randrange(6):
        case 0 | 1:
            target[last] = rng.choice(VALUES)
        case 2:
            target.pop(last, None) if isinstance(target, dict) else target.clear()
        case 3:
            target[last] = rng.choice(([target], {"inner": content}, [content] * 3))
        case 4 if isinstance(target, dict):
            target[rng.choice(NAMES)] = rng.choice(VALUES)
        case _:
            content = rng.choice((*VALUES, [content]))
    try:
        file.write_text(json.dumps(content))
    except ValueError:  # a circle
        file.write_text('{"a":' * 5000)


def spoil_header(file: Path, rng: random.Random) -> None:
    """Change a word of a safetensors header, and keep its length."""
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].decode()
    old, new = rng.choice(
        [("F32", "F16"), ("F32", "F99"), ("shape", "shope"), ("weight", "weiggt"), ("0", "9")]
    )
    header = header.replace(old, new, rng.choice((1, -1)))
    file.write_bytes(content[:8] + header.encode() + content[8 + size :])


def truncate(file: Path, rng: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: rng.choice((0, 1, 7, 8, 9, rng.randrange(len(content) + 1)))])


def flip(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(rng.choice((1, 1, 8))):
        content[rng.randrange(min(len(content), 2000))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def replace(file: Path, rng: random.Random) -> None:
    """Put something else in the file's place."""
    file.unlink()
    match rng.randrange(6):
        case 0:
            pass
        case 1:
            file.mkdir()
        case 2:
            file.symlink_to(rng.choice(("/etc/hostname", "nothing", file.name, "/dev/null", "..")))
        case 3:
            file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        case 4:
            file.write_bytes(rng.randbytes(300))
        case _:
            file.write_text(rng.choice(("[" * 10**5, '{"a":' * 10**5, "nul", "\ufeff{}", "{}" * 2)))


def spoilers(file: Path) -> list[Spoil]:
    """Vocabularies are not parsed by readers."""
    own = {".json": [spoil_json] * 4, ".safetensors": [spoil_header]}
    if file.name == "tokenizer.json":
        own = {}
    return [*own.get(file.suffix, []), truncate, flip, replace]


def restore(file: Path, content: bytes) -> None:
    if file.is_symlink():
        file.unlink()
    elif file.is_dir():
        file.rmdir()
    file.write_bytes(content)


def outcome(read: Callable[[], object], what: str) -> str:
    """Say whether something was read or refused. Anything else fails the test, by name."""
    try:
        read()
    except InputError as error:
        assert len(str(error)) < 1500 and "\n" not in str(error), what
        return "refused"
    except Exception as error:
        raise AssertionError(f"{what} raised {error!r}") from error
    return "read"


def fuzz(
    files: list[tuple[Path, Callable[[], object]]], seed: int, cases: int, seconds: float
) -> Counter[str]:
    """Spoil one file at a time, read, and put it back."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    end = time.process_time() + seconds
    for case in range(cases):
        if time.process_time() > end:
            break
        file, read = rng.choice(files)
        content = file.read_bytes()
        spoil = rng.choice(spoilers(file))
        spoil(file, rng)
        what = f"seed {seed}, case {case}: {getattr(spoil, '__name__', '')} of {file}"
        counts[outcome(read, what)] += 1
        restore(file, content)
    return counts


@pytest.fixture
def models(stack, tmp_path) -> Path:
    """Copy tiny models and the small bundled files of others."""
    shutil.copytree(stack, tmp_path / "stack")
    for name in ("vqa", "dino", "judge"):
        folder = tmp_path / name
        folder.mkdir()
        for file in bundled(name).glob("*.json"):
            if file.name not in ("tokenizer.json", "vocab.json"):
                shutil.copy(file, folder)
        (folder / "tokenizer.json").write_text('{"model": {}}')
        weights = stack / "prior" / "image_encoder" / "model.safetensors"
        shutil.copy(weights, folder)
        shutil.copy(weights, folder / "open_clip_model.safetensors")
    folder = tmp_path / "summed" / "oracle"
    folder.mkdir(parents=True)
    shutil.copy(bundled("oracle") / "residual.json", folder)
    sums = json.loads((bundled() / "sha256.json").read_text())
    listed = {"oracle/residual.json": sums["oracle/residual.json"]}
    (tmp_path / "summed" / "sha256.json").write_text(json.dumps(listed))
    return tmp_path


def test_readers_refuse_or_read(models):
    """Every part by itself, without a network being built."""
    stack = models / "stack"
    halves = {
        "prior": PRIORS["KandinskyV22PriorPipeline"],
        "decoder": DECODERS["KandinskyV22Pipeline"],
    }
    files: list[tuple[Path, Callable[[], object]]] = []
    for half, parts in halves.items():
        files.append((stack / half / "model_index.json", lambda: locate(stack)))
        for name, part in parts.items():
            folder = stack / half / name
            for file in folder.iterdir():
                files.append((file, lambda folder=folder, part=part: read_part(folder, part)))
    pictures = stack / "prior" / "image_processor"
    files.append((pictures / "preprocessor_config.json", lambda: Preprocess.read(pictures)))
    for name, parts in (("vqa", VQA), ("dino", ENCODER), ("judge", (JUDGE, JUDGE_WORDS))):
        folder = models / name
        for file in folder.iterdir():
            for part in parts:
                files.append((file, lambda folder=folder, part=part: read_part(folder, part)))
    summed = models / "summed"
    files += [(file, lambda: verify(summed)) for file in summed.rglob("*") if file.is_file()]
    card = summed / "oracle" / "residual.json"
    files.append((card, lambda: read_config(card, summed)))
    for _, read in files:
        read()
    counts = fuzz(files, seed=1, cases=4000, seconds=5.0)
    print(f"{counts['refused']} refused and {counts['read']} read")
    assert counts["refused"] > 200 and counts["read"] > 100


def test_loaders_refuse_or_load(models):
    """Whole models: what readers let through, the libraries may still not take."""
    stack = models / "stack"
    oracle = models / "oracle"
    shutil.copytree(bundled("oracle"), oracle)
    files = [
        (file, lambda: load(stack, device="cpu"))
        for file in stack.rglob("*")
        if file.is_file() and file.suffix in (".json", ".safetensors")
    ]
    files += [(oracle / "residual.json", lambda: Oracle.load(folder=oracle))]
    counts = fuzz(files, seed=2, cases=400, seconds=2.5)
    print(f"{counts['refused']} refused and {counts['read']} loaded")
    assert counts["refused"] > 10
