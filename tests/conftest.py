"""Shared fixtures: complete stacks of a few thousand random weights, and the bundled models.

Shapes and types are checked on every call of the package.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxtyping import install_import_hook

install_import_hook(
    "creativelib", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)

import pytest
import torch

from creativelib.unclip import pipeline
from creativelib.unclip.pipeline import Pipeline, load
from stacks import DIM, hub_folder, make_kandinsky_22

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def other_decoding() -> Iterator[tuple[float, int]]:
    """Let stacks of random weights decode in few steps by default; give the package's default."""
    default = pipeline.OTHER_DECODING
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "OTHER_DECODING", (default[0], 5))
        yield default


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a tiny stack of the bundled model's classes: Kandinsky 2.2's, decoded by DDIM.

    Pictures are 16 x 16, embeddings have 16 dimensions.
    """
    from diffusers import DDIMScheduler

    folder = tmp_path_factory.mktemp("stack")
    make_kandinsky_22(
        folder / "prior",
        folder / "decoder",
        DDIMScheduler(
            prediction_type="v_prediction",
            clip_sample=False,
            timestep_spacing="trailing",
            rescale_betas_zero_snr=True,
        ),
    )
    return folder


@pytest.fixture(scope="session")
def pipe(stack: Path) -> Pipeline:
    return load(stack, device="cpu")


@pytest.fixture(scope="session")
def menagerie() -> Pipeline:
    """Load the bundled models, for tests that only trained models pass."""
    return load("menagerie", device="cpu")


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Replace the hub's cache by an empty one without a network.

    `cache(folder, repo)` copies a folder's files into it, as a download does. Names matching
    `without` are left out.
    """
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def put(folder: Path, repo: str, *without: str) -> Path:
        return shutil.copytree(
            folder,
            hub_folder(tmp_path, repo),
            ignore=shutil.ignore_patterns(*without),
            dirs_exist_ok=True,
        )

    return put


@pytest.fixture
def install_torchao(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """Give a function that installs an empty torchao of some version for a test."""
    from peft.import_utils import is_torchao_available

    def install(version: str) -> None:
        site = tmp_path / "torchao"
        about = site / f"torchao-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: torchao\nVersion: {version}\n"
        )
        (site / "torchao").mkdir()
        (site / "torchao" / "__init__.py").touch()
        monkeypatch.syspath_prepend(site)
        # peft remembers what it found.
        is_torchao_available.cache_clear()

    yield install
    is_torchao_available.cache_clear()


@pytest.fixture
def parts(tmp_path: Path) -> tuple[str, str]:
    """Save random networks of Semantica's classes for 16 x 16 pictures: a DINOv2 and a VQModel.

    Returns their folders.
    """
    import diffusers
    from transformers import CLIPImageProcessor, Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    encoder = tmp_path / "encoder"
    movq = tmp_path / "movq"
    Dinov2Model(
        Dinov2Config(
            hidden_size=DIM,
            num_hidden_layers=1,
            num_attention_heads=2,
            mlp_ratio=2,
            image_size=16,
            patch_size=8,
        )
    ).save_pretrained(encoder)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16).save_pretrained(encoder)
    diffusers.VQModel(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        num_vq_embeddings=8,
        vq_embed_dim=4,
        norm_num_groups=4,
    ).save_pretrained(movq)
    return str(encoder), str(movq)
