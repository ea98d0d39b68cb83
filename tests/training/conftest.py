"""Small training stages: a few pictures, two steps, and folders of their own."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from creativelib.fitting.loop import Recipe, Run
from creativelib.models.networks import save_half
from creativelib.training import (
    autoregressive,
    clip,
    decoder,
    dino,
    export,
    finish,
    judge,
    oracle,
    pages,
    prior,
    reader,
    semantica,
    stream,
    variants,
    vqa,
    vqmodel,
)

SMALL = stream.Supply(chunk=16, distinct=3, pool=2, every=1)
WITH_RECIPES = (
    autoregressive,
    decoder,
    dino,
    judge,
    prior,
    reader,
    semantica,
    variants,
    vqa,
    vqmodel,
)
WITH_FOLDERS = (dino, judge, oracle, vqa)

Shrink = Callable[[pytest.MonkeyPatch, Path, Path], None]


def short(recipe: Recipe) -> Recipe:
    """Shorten a recipe to two steps of eight examples."""
    return replace(recipe, steps=2, batch=8, warmup=1)


def shrink_stages(patch: pytest.MonkeyPatch, folder: Path, cache: Path) -> None:
    """Make every stage take two steps, store pictures in the cache and write into the folder."""
    patch.setenv("CREATIVELIB_CACHE", str(cache))
    patch.setattr(stream, "supply", lambda device: SMALL)
    patch.setattr(export, "FOLDER", folder)
    patch.setattr(export, "PRIOR", folder / "prior")
    patch.setattr(export, "DECODER", folder / "decoder")
    index = {folder / path.name: parts for path, parts in finish.INDEX.items()}
    patch.setattr(finish, "INDEX", index)
    for module in WITH_FOLDERS:
        patch.setattr(module, "FOLDER", folder / module.FOLDER.name)
    for module in WITH_RECIPES:
        for name, value in list(vars(module).items()):
            if isinstance(value, Recipe):
                patch.setattr(module, name, short(value))
    plan = replace(clip.PLAN, recipe=short(clip.PLAN.recipe))
    patch.setattr(clip, "PLAN", plan)
    patch.setattr(semantica, "CONTROL_STEPS", 2)
    patch.setattr(vqmodel, "MEASURED", 2)
    for module in (judge, oracle):
        patch.setattr(module, "SETTLED", 2)
    full = oracle.recipe
    patch.setattr(oracle, "recipe", lambda name, stage: short(full(name, stage)))
    few = partial(pages.world_corpus, n=2)
    patch.setattr(semantica, "world_corpus", few)
    patch.setattr(variants, "world_corpus", few)


@pytest.fixture(scope="session")
def shrink() -> Shrink:
    """Return `shrink_stages`, for tests that need other folders."""
    return shrink_stages


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a stack as the stages do, with a CLIP of two steps and other networks untrained."""
    folder = tmp_path_factory.mktemp("untrained")
    with pytest.MonkeyPatch.context() as patch:
        shrink_stages(patch, folder, tmp_path_factory.mktemp("cache"))
        clip.main(Run(torch.device("cpu")))
        torch.manual_seed(0)
        save_half(vqmodel.build(), export.DECODER / "movq")
        save_half(decoder.build(), export.DECODER / "unet")
        decoder.scheduler().save_pretrained(export.DECODER / "scheduler")
        ones = torch.ones(clip.DIM)
        save_half(prior.build(0 * ones, ones), export.PRIOR / "prior")
        prior.scheduler().save_pretrained(export.PRIOR / "scheduler")
        finish.main(Run(torch.device("cpu")))
    return folder


@pytest.fixture
def tried(untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy that stack, for small stages to train on and to write into."""
    folder = shutil.copytree(untrained, tmp_path / "stack")
    shrink_stages(monkeypatch, folder, tmp_path / "cache")
    return folder
