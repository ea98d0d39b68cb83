"""Chunks of pictures on disk, and the pool from which a training draws."""

import pytest
import torch

from creativelib.training import stream, tokenizer
from creativelib.training.stream import MAIN, Pool, Source, Supply
from creativelib.world.scenes import draw

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CREATIVELIB_CACHE", str(tmp_path))
    monkeypatch.setattr(stream, "SIDE", 16)
    return tmp_path


def supplied(monkeypatch, distinct=4, pool=2, start=1):
    """Replace the supply by one of small chunks."""
    small = Supply(chunk=6, distinct=distinct, pool=pool, every=3, start=start)
    monkeypatch.setattr(stream, "supply", lambda device: small)


def prepare(pictures, scenes, ids):
    return {"mean": pictures.mean((1, 2, 3)), "ids": ids}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_a_chunk_is_drawn_once_and_then_read(cache):
    first = stream.chunk(MAIN, index=2, size=6, device=CPU)
    again = stream.chunk(MAIN, index=2, size=6, device=CPU)
    assert len(list(cache.rglob("0002.safetensors"))) == 1
    assert torch.equal(first.pixels, again.pixels) and torch.equal(first.ids, again.ids)
    assert torch.equal(first.scenes.factors, again.scenes.factors)
    assert torch.equal(first.pixels, stream.in_bytes(draw(first.scenes, 16)))


def test_processes_share_the_chunks_drawn_ahead(cache, monkeypatch):
    supplied(monkeypatch, distinct=5)
    for part in range(2):
        stream.draw_ahead(MAIN, part=part, parts=2, device=CPU)
        assert len(list(cache.rglob("*.safetensors"))) == (3, 5)[part]


def test_chunks_and_sources_differ():
    other = Source("x", wild=0.5, seed=2)
    chunks = [
        stream.chunk(source, index=index, size=6, device=CPU)
        for source, index in ((MAIN, 0), (MAIN, 1), (other, 0))
    ]
    assert len({chunk.pixels.sum().item() for chunk in chunks}) == 3


def test_captions_are_encoded_as_the_tokenizer_does():
    words = tokenizer.build()
    texts = ["a photo of a pet with long ears and a bushy tail", "red guitar"]
    theirs = words(
        texts, padding="max_length", max_length=stream.POSITIONS, return_tensors="pt"
    ).input_ids
    assert torch.equal(stream.encode(texts, stream.vocabulary(words), words), theirs)


@pytest.mark.parametrize(("distinct", "start"), [(2, 1), (4, 1), (4, 2)])
def test_a_resumed_pool_equals_an_unbroken_one(monkeypatch, distinct, start):
    supplied(monkeypatch, distinct, start=start)
    unbroken = Pool(prepare, CPU, 5)
    for step in range(20):
        lesson = unbroken.draw(step, seeded(step))
        assert len(lesson) == 5
    for step in (0, 2, 3, 19):
        resumed = Pool(prepare, CPU, 5).draw(step, seeded(7))
        fresh = Pool(prepare, CPU, 5)
        for before in range(step):
            fresh.draw(before, seeded(before))
        expected = fresh.draw(step, seeded(7))
        assert torch.equal(resumed.inputs["mean"], expected.inputs["mean"])
        assert torch.equal(resumed.scenes.factors, expected.scenes.factors)


def test_a_pool_grows_to_its_size_and_no_further(monkeypatch):
    supplied(monkeypatch)
    pool = Pool(prepare, CPU, 5)
    sizes = []
    for step in range(9):
        pool.advance(step)
        sizes.append(len(pool))
    assert sizes == [6, 6, 6] + [12] * 6


def test_means_are_taken_of_the_pictures_that_a_pool_starts_with(monkeypatch):
    supplied(monkeypatch, pool=4, start=3)
    pool = Pool(prepare, CPU, 5)
    assert len(pool.all("mean", 0)) == 18
    assert len(pool.all("mean", 3)) == 24


def test_bytes_round_to_the_nearest():
    pictures = torch.tensor([0.0, 0.4999 / 255, 0.5001 / 255, 1.0]).expand(1, 3, 1, 4)
    assert stream.in_bytes(pictures)[0, 0, 0].tolist() == [0, 0, 1, 255]
    assert stream.as_picture(stream.in_bytes(pictures)).max() == 1
