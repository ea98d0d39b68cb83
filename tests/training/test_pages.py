"""Pairs of pictures to learn from, and the world's pages on disk."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from creativelib.errors import InputError
from creativelib.pictures import in_bytes
from creativelib.semantica.corpus import Corpus, Filter, pairs, self_pairs
from creativelib.training import export, vqmodel
from creativelib.training import pages as pages_module
from creativelib.training.pages import FORMAT, SIZE, draw_some, page_scenes, world_corpus
from creativelib.training.semantica import load_encoder
from creativelib.training.stream import SIDE
from creativelib.world.scenes import draw


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def corpus(page, pooled=None):
    n = len(page)
    if pooled is None:
        pooled = torch.nn.functional.normalize(torch.randn(n, 4, generator=seeded(0)), dim=1)
    return Corpus(
        latents=torch.zeros(n, 1, 2, 2).half(),
        tokens=torch.zeros(n, 1, 1).half(),
        pooled=pooled,
        page=torch.tensor(page),
    )


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=6).filter(lambda sizes: max(sizes) > 1),
    st.integers(1, 5),
    st.integers(0, 99),
)
def test_others_of_the_same_page_are_shown_and_each_once_while_there_are_enough(sizes, m, seed):
    pages = [i for i, size in enumerate(sizes) for _ in range(size)]
    target, shown = pairs(corpus(pages), Filter()).sample(16, m, seeded(seed))
    page = torch.tensor(pages)
    assert shown.shape == (16, m) and (shown >= 0).all()
    assert (page[shown] == page[target][:, None]).all() and (shown != target[:, None]).all()
    for row, of in zip(shown.tolist(), page[target].tolist(), strict=True):
        assert len(set(row)) == min(m, sizes[of] - 1)


def test_every_pair_is_drawn():
    target, shown = pairs(corpus([0, 0, 0, 1, 1]), Filter()).sample(400, 1, seeded(1))
    assert {*zip(target.tolist(), shown[:, 0].tolist(), strict=True)} == {
        (i, j) for group in ([0, 1, 2], [3, 4]) for i in group for j in group if i != j
    }


def test_pairs_outside_the_thresholds_are_left_out():
    # 0 and 1 are nearly alike, 3 is opposite to them, and 2 lies between.
    angle = torch.tensor([0.0, 0.1, 1.0, 3.0])
    pooled = torch.stack([angle.cos(), angle.sin()], 1)
    usable = pairs(corpus([0, 0, 0, 0], pooled), Filter(0.2, 0.95))
    target, shown = usable.sample(200, 1, seeded(2))
    assert {*zip(target.tolist(), shown[:, 0].tolist(), strict=True)} == {
        (0, 2),
        (2, 0),
        (1, 2),
        (2, 1),
    }


def test_a_filter_that_leaves_nothing_is_refused():
    with pytest.raises(InputError, match="filter is 0.99 to 1; no two pictures of a page have"):
        pairs(corpus([0, 0, 1, 1], torch.eye(4)), Filter(0.99, 1))


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.5), (-2, 1), (0, 1.5)])
def test_thresholds_out_of_range_are_refused(low, high):
    with pytest.raises(InputError, match="expected -1 <= low < high <= 1"):
        Filter(low, high)


def test_the_control_is_shown_the_picture_itself():
    target, shown = self_pairs(corpus([0, 0, 1])).sample(20, 1, seeded(3))
    assert torch.equal(target, shown[:, 0])


def test_a_page_depends_on_its_number_and_the_seed_alone():
    whole = page_scenes(range(0, 5), 7)
    part = page_scenes(range(3, 5), 7)
    for name, value in vars(part).items():
        assert torch.equal(getattr(whole, name)[3 * SIZE :], value)
    assert not torch.equal(page_scenes(range(3, 5), 8).pose, part.pose)
    assert (whole.category.view(5, SIZE) == whole.category.view(5, SIZE)[:, :1]).all()


def test_pages_are_drawn_in_parts_into_one_file(tmp_path):
    file = tmp_path / "pictures.npy"
    np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(3 * SIZE, 3, SIDE, SIDE))
    for numbers in (range(2, 3), range(0, 2)):
        count = draw_some(numbers, file=file, seed=7, device=torch.device("cpu"), rows=5)
        assert count == len(numbers)
    expected = in_bytes(draw(page_scenes(range(3), 7), SIDE)).int()
    assert (torch.from_numpy(np.load(file)).int() - expected).abs().max() <= 1


def test_the_worlds_pages_are_drawn_and_encoded_once(tried, monkeypatch):
    encoder = load_encoder("clip", torch.device("cpu"))
    movq = export.load_movq()
    first = world_corpus(encoder, movq, n=2)
    assert len(first) == 2 * SIZE and first.page.tolist() == [0] * SIZE + [1] * SIZE
    places = SIDE // vqmodel.SHRINK
    assert first.latents.shape[1:] == (vqmodel.CHANNELS, places, places)
    assert first.tokens.shape[2] == encoder.width
    monkeypatch.setattr(pages_module, "encode", None)
    monkeypatch.setattr(pages_module, "draw_all", None)
    again = world_corpus(encoder, movq, n=2)
    assert all(torch.equal(value, getattr(again, name)) for name, value in vars(first).items())


@pytest.fixture
def drawn_here(monkeypatch):
    """Draw pages in this process, where no other has to start."""

    def draw_here(n, file, seed, device):
        shape = (n * SIZE, 3, SIDE, SIDE)
        np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
        draw_some(range(n), file=file, seed=seed, device=device, rows=SIZE)

    monkeypatch.setattr(pages_module, "draw_all", draw_here)


def test_a_corpus_of_an_older_format_is_encoded_again(tried, drawn_here, tmp_path):
    encoder = load_encoder("clip", torch.device("cpu"))
    movq = export.load_movq()
    first = world_corpus(encoder, movq, n=1)
    (file,) = (tmp_path / "cache" / "data").glob("pages-*/*.safetensors")
    assert file.stem.endswith(f"-{FORMAT}")
    # Format 1 had no number in its name, and "whole" for "pooled".
    tensors = load_file(file)
    tensors["whole"] = tensors.pop("pooled")
    save_file(tensors, file.with_stem(file.stem.removesuffix(f"-{FORMAT}")))
    file.unlink()
    again = world_corpus(encoder, movq, n=1)
    assert file.exists()
    assert all(torch.equal(value, getattr(again, name)) for name, value in vars(first).items())


def test_a_changed_encoder_encodes_the_pages_again(tried, drawn_here):
    encoder = load_encoder("clip", torch.device("cpu"))
    movq = export.load_movq()
    first = world_corpus(encoder, movq, n=1)
    encoder.model.visual_projection.weight.mul_(-1)
    assert torch.allclose(world_corpus(encoder, movq, n=1).pooled, -first.pooled, atol=1e-6)


@pytest.mark.parametrize("cores, processes", [(128, 61), (4, 4), (None, 1)])
def test_pages_are_drawn_by_processes_that_every_system_can_start(
    monkeypatch, tmp_path, cores, processes
):
    """Simulated: none is started. Windows waits for 61 at most, and all begin with pickles."""
    started = []

    class Pool:
        def __init__(self, count, context):
            started.append((count, context.get_start_method()))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def map(self, function, parts):
            assert pickle.loads(pickle.dumps(function)).func is function.func
            return [len(part) for part in parts]

    monkeypatch.setattr(pages_module, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    pages_module.draw_all(2, tmp_path / "pictures.npy", 0, torch.device("cpu"))
    assert started == [(processes, "spawn")]
