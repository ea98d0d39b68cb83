"""The command `creativelib`. Bad input ends it with exit code 2 and one line that says what was wrong."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tyro

from ..errors import InputError


@dataclass(frozen=True)
class Create:
    """Draw typical and creative pictures of a prompt: a gallery, each picture, a report and the steered concept."""

    prompt: tyro.conf.Positional[str]
    """What to draw, such as "a photo of a pet"."""
    out: Path
    """The folder to write into."""
    seed: int = 0
    """The same seed gives the same pictures on the same machine."""
    count: int = 16
    """How many typical and how many creative pictures."""
    model: str = "menagerie"
    """A model's name, such as kandinsky-2-1, a hub's id, or a folder that holds prior/ and decoder/."""
    device: str | None = None
    """cpu or cuda; a GPU is used if there is one."""

    def run(self) -> None:
        from .creation import create

        creation = create(self.prompt, self.out, self.seed, self.count, self.model, self.device)
        typical = creation.report["typical"]
        creative = creation.report["creative"]
        print(f"{self.out / 'gallery.png'}: typical pictures above, creative ones below")
        print(
            f"median surprisal {typical['surprisal']:.1f} -> {creative['surprisal']:.1f} nats, beyond "
            f"{creative['percentile']:.1f} % of what the model usually makes"
        )
        if "valid" in creative:
            print(
                f"valid {100 * creative['valid']:.0f} %, novel in form {100 * creative['novel_in_form']:.0f} % "
                f"(typical: {100 * typical['valid']:.0f} %, {100 * typical['novel_in_form']:.0f} %)"
            )


@dataclass(frozen=True)
class World:
    """Draw a contact sheet of a category of the Menagerie."""

    what: tyro.conf.Positional[Literal["sheet"]]
    """What to draw."""
    category: tyro.conf.Positional[str]
    """The category, such as pet or "musical instrument"."""
    show: Literal["species", "wild", "styles"] = "species"
    """Named species, free combinations of all factors, or some members in every style."""
    out: Path | None = None
    """The file to write, PNG or JPEG; without it CATEGORY-SHOW.png in the current folder."""
    seed: int = 0
    """Another seed draws other members."""

    def run(self) -> None:
        from ..notebook.plots import grid
        from ..world import sheet

        drawn = {"species": sheet.species, "wild": sheet.wild, "styles": sheet.in_styles}[
            self.show
        ](self.category, seed=self.seed)
        file = self.out or Path(f"{self.category}-{self.show}.png".replace(" ", "-"))
        if file.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise InputError(f"out is {file}; expected names that end in .png, .jpg or .jpeg")
        try:
            grid(drawn.pictures, drawn.titles, drawn.columns).savefig(file)
        except OSError as error:
            raise InputError(f"out is {file}, which cannot be written: {error.strerror}") from error
        print(f"{file}: {drawn.alt}")


@dataclass(frozen=True)
class Concept:
    """Learn members of a category that do not exist yet (ConceptLab): a gallery, pictures, a report, the concepts."""

    word: tyro.conf.Positional[str]
    """The category, such as pet; or, with --style, what the style begins as, such as picture."""
    out: Path
    """The folder to write into; a run that was cut off goes on there."""
    negatives: tuple[str, ...] = ()
    """What they must not be; without any, a VQA model finds it out on the way."""
    style: bool = False
    """Learn styles instead."""
    settle: bool = False
    """Make each concept one thing: choose its newest sample and learn to draw that one."""
    concepts: int = 4
    """How many to learn."""
    steps: int | None = None
    """How many steps at most."""
    seed: int = 0
    """Another seed learns others."""
    count: int = 8
    """How many pictures of each."""
    model: str = "menagerie"
    """A model's name, such as kandinsky-2-1, a hub's id, or a folder that holds prior/ and decoder/."""
    vqa: str = "menagerie"
    """A folder or a hub's id of a BlipForQuestionAnswering, for other models, such as Salesforce/blip-vqa-base."""
    device: str | None = None
    """cpu or cuda; a GPU is used if there is one."""

    def run(self) -> None:
        from ..conceptlab.settings import LEARN_DEFAULTS, STYLE_CONFIG
        from ..unclip.pipeline import load
        from .concepts import learn

        base = STYLE_CONFIG if self.style else LEARN_DEFAULTS
        config = replace(
            base, concepts=self.concepts, steps=base.steps if self.steps is None else self.steps
        )
        report = learn(
            load(self.model, self.device),
            self.word,
            self.out,
            self.negatives,
            config,
            self.seed,
            self.count,
            self.vqa,
            self.style,
            self.settle,
        )
        for i, words in enumerate(report["negatives"]):
            print(f"concept {i} is none of: {', '.join(words)}")
        _say(self.out, report)


@dataclass(frozen=True)
class Mix:
    """Learn a mixture of concepts, pictures or words."""

    parents: tyro.conf.Positional[tuple[str, ...]]
    """At least two of: a learned concept's folder, a picture's file, a word."""
    out: Path
    """The folder to write into."""
    weights: tuple[float, ...] | None = None
    """How much each parent counts; by default all the same."""
    word: str | None = None
    """What the mixture begins as; by default the first parent's word."""
    seed: int = 0
    """Another seed, another mixture."""
    count: int = 8
    """How many pictures."""
    model: str = "menagerie"
    """A model's name, such as kandinsky-2-1, a hub's id, or a folder that holds prior/ and decoder/."""
    device: str | None = None
    """cpu or cuda; a GPU is used if there is one."""

    def run(self) -> None:
        from ..unclip.pipeline import load
        from .concepts import mix

        _say(
            self.out,
            mix(
                load(self.model, self.device),
                self.parents,
                self.out,
                self.weights,
                self.word,
                seed=self.seed,
                count=self.count,
            ),
        )


@dataclass(frozen=True)
class Evolve:
    """Let learned concepts have children, generation after generation."""

    founders: tyro.conf.Positional[Path]
    """A folder with at least two learned concepts."""
    out: Path
    """The folder to write into; a run that was cut off goes on there."""
    seed: int = 0
    """Another seed, other children."""
    count: int = 8
    """How many pictures of the youngest."""
    model: str = "menagerie"
    """A model's name, such as kandinsky-2-1, a hub's id, or a folder that holds prior/ and decoder/."""
    device: str | None = None
    """cpu or cuda; a GPU is used if there is one."""

    def run(self) -> None:
        from ..unclip.pipeline import load
        from .concepts import evolve

        report = evolve(
            load(self.model, self.device), self.founders, self.out, seed=self.seed, count=self.count
        )
        print(f"{self.out / 'family.png'}: {len(report['family'])} members")
        _say(self.out, report)


@dataclass(frozen=True)
class Draw:
    """Draw learned concepts in a prompt."""

    concept: tyro.conf.Positional[Path]
    """A folder with learned concepts."""
    prompt: tyro.conf.Positional[str]
    """A text with {} in the concept's place, such as "a pencil sketch of a {}"."""
    out: Path
    """The folder to write into."""
    seed: int = 0
    """The same seed gives the same pictures on the same machine."""
    count: int = 8
    """How many pictures of each concept."""
    model: str = "menagerie"
    """A model's name, such as kandinsky-2-1, a hub's id, or a folder that holds prior/ and decoder/."""
    device: str | None = None
    """cpu or cuda; a GPU is used if there is one."""

    def run(self) -> None:
        from ..unclip.pipeline import load
        from .concepts import draw

        _say(
            self.out,
            draw(
                load(self.model, self.device),
                self.concept,
                self.prompt,
                self.out,
                self.seed,
                self.count,
            ),
        )


@dataclass(frozen=True)
class Semantica:
    """Train Semantica on folders of pictures that belong together, one folder a page."""

    pages: tyro.conf.Positional[Path]
    """A folder of folders of pictures."""
    out: Path
    """The folder to write into; a run that was cut off goes on there."""
    encoder: str = "clip"
    """What looks at the pictures: clip, dino, or a folder with a CLIP's or DINOv2's vision model."""
    movq: str = "menagerie"
    """Whose latents are drawn: the bundled autoencoder's, or a folder with a VQModel."""
    size: int = 64
    """The pictures' side in pixels."""
    steps: int = 2000
    """How long to train."""
    batch: int = 32
    """Pictures a step."""
    low: float = -1.0
    """Pairs of pictures with a smaller cosine are left out."""
    high: float = 1.0
    """Pairs of pictures with a larger cosine are left out."""
    channels: tuple[int, int] = (48, 96)
    """The network's widths; real pictures need more."""
    layers: int = 4
    """The network's transformer layers."""
    seed: int = 0
    """Another seed, other weights."""
    device: str | None = None
    """cpu or cuda; a GPU is used if there is one."""

    def run(self) -> None:
        from ..semantica.folders import FolderConfig, learn

        config = FolderConfig(
            self.size,
            self.steps,
            self.batch,
            seed=self.seed,
            low=self.low,
            high=self.high,
            channels=self.channels,
            layers=self.layers,
        )
        facts = learn(self.pages, self.out, self.encoder, self.movq, config, self.device)
        print(f"{self.out}: {facts['steps']} steps, loss {facts['losses']['loss']:.3f}")


@dataclass(frozen=True)
class Vary:
    """Draw variations of pictures with Semantica: more of the page they might be of."""

    pictures: tyro.conf.Positional[tuple[Path, ...]]
    """One picture, or several of one page."""
    out: Path
    """The folder to write into."""
    semantica: str = "menagerie"
    """The bundled model, its control, or a folder that was trained."""
    seed: int = 0
    """Another seed, other variations."""
    count: int = 8
    """How many."""
    guidance: float = 1.0
    """Above 1: closer to what is shown."""
    steps: int = 20
    """Steps of denoising."""
    device: str | None = None
    """cpu or cuda; a GPU is used if there is one."""

    def run(self) -> None:
        from .concepts import vary

        vary(
            self.pictures,
            self.out,
            self.semantica,
            self.seed,
            self.count,
            self.guidance,
            self.steps,
            self.device,
        )
        print(f"{self.out / 'gallery.png'}: {len(self.pictures)} shown, {self.count} drawn")


def _say(out: Path, report: dict[str, Any]) -> None:
    print(f"{out / 'gallery.png'}: {report['count']} pictures of each concept")
    if "truth" in report:
        print(
            f"valid {100 * report['truth']['valid']:.0f} %, novel in form {100 * report['truth']['novel_in_form']:.0f} %"
        )


COMMANDS = {
    "create": Create,
    "concept": Concept,
    "mix": Mix,
    "evolve": Evolve,
    "draw": Draw,
    "semantica": Semantica,
    "vary": Vary,
    "world": World,
}


def main(arguments: list[str] | None = None) -> None:
    """Run one command; for the entry point `creativelib`."""
    command = tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="creativelib", args=arguments)
    try:
        command.run()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
