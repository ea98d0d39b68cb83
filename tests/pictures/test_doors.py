"""Every function that takes pictures refuses what are not floats in [0, 1], in the same words."""

import ast
from pathlib import Path
from types import SimpleNamespace

import jaxtyping
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import creativelib
from creativelib.commands import report
from creativelib.density import GaussianDensity
from creativelib.errors import InputError
from creativelib.metrics.pixels import psnr
from creativelib.notebook import plots
from creativelib.notebook.widgets import FrameSlider
from creativelib.optimization.objectives import Direction
from creativelib.pictures import check_pictures, save_gallery, save_picture, to_image
from creativelib.semantica.model import Semantica
from creativelib.steering.inversion import textual_inversion
from creativelib.study import rating
from creativelib.unclip.latent import ddim_inversion
from creativelib.vision.encoders import Encoder
from creativelib.vision.judge import Judge
from creativelib.vision.vqa import Blip2Vqa, BlipVqa, SmolVlmVqa, ZeroShotVqa
from creativelib.world.oracle import Oracle
from creativelib.world.page_variation import variation

PACKAGE = Path(creativelib.__file__).parent
BARE = SimpleNamespace()
DENSITY = GaussianDensity.fit(torch.randn(64, 16, generator=torch.Generator().manual_seed(0)))
TRIAL = SimpleNamespace(items=[SimpleNamespace(method="own", category="pet", index=0)])
STUDY = SimpleNamespace(categories=("pet",), methods=("own",), pictures=2)
PAGE = SimpleNamespace(shared=SimpleNamespace(category="pet"))

# What takes pictures, by its place in the package. Where pictures are checked first, the rest of an
# object is not needed.
DOORS = {
    "commands.report.describe": lambda pipe, x: report.describe(
        "own", torch.zeros(len(x), 16), x, DENSITY, pipe, None
    ),
    "metrics.pixels.psnr": lambda pipe, x: psnr(x, x),
    "notebook.plots.family_tree": lambda pipe, x: plots.family_tree(x, [[]] * len(x)),
    "notebook.plots.grid": lambda pipe, x: plots.grid(x),
    "notebook.widgets.FrameSlider": lambda pipe, x: FrameSlider(x, ["a", "b"], "x")._repr_html_(),
    "optimization.objectives.Direction.of_pictures": lambda pipe, x: Direction.of_pictures(
        DENSITY, pipe, x
    ),
    "pictures.save_gallery": lambda pipe, x: save_gallery({"own": x}, "nowhere/at/all.png"),
    "pictures.save_picture": lambda pipe, x: save_picture(x[0], "nowhere/at/all.png"),
    "pictures.to_image": lambda pipe, x: to_image(x[0]),
    "semantica.model.Semantica.vary": lambda pipe, x: Semantica(BARE, BARE, BARE).vary(
        x[None], 1, generator=torch.Generator()
    ),
    "steering.inversion.textual_inversion": lambda pipe, x: textual_inversion(pipe, "pet", x),
    "study.rating.RatingStudy.__init__": lambda pipe, x: rating.RatingStudy(
        SimpleNamespace(study=STUDY), {"own": x[None]}
    ),
    "study.rating.pictures_html": lambda pipe, x: rating.pictures_html(
        TRIAL, STUDY, {"own": x[None]}
    ),
    "unclip.latent.ddim_inversion": lambda pipe, x: ddim_inversion(pipe, x),
    "unclip.pipeline.Pipeline.encode_images": lambda pipe, x: pipe.encode_images(x),
    "unclip.pipeline.Pipeline.encode_latents": lambda pipe, x: pipe.encode_latents(x),
    "vision.encoders.Encoder.encode": lambda pipe, x: Encoder("own", BARE, BARE).encode(x),
    "vision.judge.Judge.classify": lambda pipe, x: judge().classify(x, ["a pet"]),
    "vision.judge.Judge.encode_images": lambda pipe, x: judge().encode_images(x),
    "vision.vqa.Blip2Vqa.ask": lambda pipe, x: Blip2Vqa.ask(BARE, x, "what is it?"),
    "vision.vqa.BlipVqa.ask": lambda pipe, x: BlipVqa(BARE, BARE).ask(x, "what is it?"),
    "vision.vqa.SmolVlmVqa.ask": lambda pipe, x: SmolVlmVqa(BARE, BARE).ask(x, "what is it?"),
    "vision.vqa.ZeroShotVqa.ask": lambda pipe, x: ZeroShotVqa(pipe, ["pet", "cat"]).ask(x, "what?"),
    "world.oracle.Oracle.judge": lambda pipe, x: oracle().judge(x, "pet"),
    "world.oracle.Oracle.read": lambda pipe, x: oracle().read(x),
    "world.page_variation.variation": lambda pipe, x: variation(x, PAGE, oracle()),
}
# What takes pictures behind these doors, where they have been checked; rooms end in a point.
INSIDE = (
    "evaluation.baselines.with_answers",
    "models.networks.encode_latents",
    "pictures.Preprocess.__call__",
    "pictures.as_picture",
    "pictures.fit_picture",
    "pictures.in_bytes",
    "training.",
    "unclip.decoders.",
    "vision.vqa.Vqa.ask",
    "world.oracle.Net.forward",
    "world.oracle.blurred_distance",
)
BAD = {
    "bytes": (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), r"torch.uint8; .* bytes / 255"),
    "integers": (torch.zeros(2, 3, 8, 8, dtype=torch.int64), "torch.int64"),
    "floats from 0 to 255": (torch.full((2, 3, 8, 8), 255.0), r"from 255 to 255; .* bytes / 255"),
    "floats from -1 to 1": (
        torch.linspace(-1, 1, 192).repeat(2).view(2, 3, 8, 8),
        "values from -1 to 1",
    ),
    "no number": (torch.full((2, 3, 8, 8), torch.nan), "values from nan to nan"),
    "infinite": (torch.full((2, 3, 8, 8), torch.inf), "values from inf to inf"),
    "channels last": (torch.zeros(2, 8, 8, 3), "shape .*8, 8, 3.; expected"),
    "alpha": (torch.zeros(2, 4, 8, 8), "shape .*4, 8, 8.; expected"),
    "no pixel": (torch.zeros(2, 3, 0, 8), "shape .*3, 0, 8.; .* at least one pixel"),
}


def judge():
    return Judge(BARE, BARE, 16, (0.5,) * 3, (0.5,) * 3, False)


def oracle():
    return Oracle(torch.nn.Identity(), {}, {})


@pytest.fixture
def unchecked():
    """Switch the checks of shapes and types off, which readers do not have."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
    plt.close("all")


def takers():
    """Find the functions of the package that take pictures, by their signatures."""
    for file in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            members = node.body if isinstance(node, ast.ClassDef) else [node]
            for member in members:
                if not isinstance(member, ast.FunctionDef):
                    continue
                arguments = [*member.args.args, *member.args.kwonlyargs]
                hints = [ast.unparse(each.annotation) for each in arguments if each.annotation]
                if not any("3 h w" in hint or "3 s s" in hint for hint in hints):
                    continue
                names = [module, member.name]
                if member is not node:
                    names.insert(1, node.name)
                if not names[-1].startswith("_") or names[-1].endswith("__"):
                    yield ".".join(names)


def test_every_door_is_known():
    found = {name for name in takers() if not name.startswith(INSIDE)}
    # A dataclass takes its fields.
    assert found | {"notebook.widgets.FrameSlider"} == set(DOORS)


@pytest.mark.parametrize("name", DOORS)
def test_a_door_refuses_what_are_no_pictures(pipe, unchecked, name):
    for bad, words in BAD.values():
        with pytest.raises(InputError, match=rf"(pictures|a) (is of|has) .*{words}"):
            DOORS[name](pipe, bad)
    assert not Path("nowhere").exists()


def test_other_containers_and_axes_are_named(pipe, unchecked):
    for bad, words in (
        (np.zeros((1, 3, 8, 8)), r"pictures is a ndarray; expected a tensor \(n, 3, h, w\)"),
        ([torch.zeros(3, 8, 8)], "pictures is a list"),
        (torch.zeros(3, 8, 8), r"of shape \(3, 8, 8\); expected \(n, 3, h, w\)"),
        (torch.zeros(1, 1, 3, 8, 8), "of shape"),
    ):
        with pytest.raises(InputError, match=words):
            pipe.encode_latents(bad)
    for bad in (torch.zeros(8, 8), torch.tensor(0.5)):
        with pytest.raises(InputError, match=r"expected \(..., 3, h, w\)"):
            pipe.encode_images(bad)
    with pytest.raises(InputError, match="rows is empty"):
        save_gallery({}, "nowhere.png")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_rounding_is_no_reason(dtype):
    pictures = torch.tensor([0, 0.5, 1], dtype=dtype)[None, :, None, None]
    check_pictures(pictures)
    check_pictures(pictures.float() + 1e-3)
    check_pictures(pictures.float() - 1e-3)
    with pytest.raises(InputError, match="values from -0.01 to"):
        check_pictures(pictures.float() - 0.01)


def test_gradients_pass(pipe):
    pictures = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    pictures.requires_grad_()
    for door in (pipe.encode_images, pipe.encode_latents):
        (slope,) = torch.autograd.grad(door(pictures).square().sum(), pictures)
        assert slope.isfinite().all() and slope.abs().sum() > 0
