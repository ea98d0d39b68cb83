"""The command `creativelib`.

Bad input and files that cannot be read or written end it with exit code 2 and one line that says
why, Ctrl-C with 130. A folder belongs to one run: the same arguments resume or repeat it, others
are refused with the arguments that differ.
"""

import io
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import tyro

from ..errors import InputError, end_in_one_line
from ..files import atomic_write


@dataclass(frozen=True)
class Create:
    """Draw typical and creative pictures of a prompt.

    Writes a gallery, each picture, a report and the steered concept.
    """

    prompt: tyro.conf.Positional[str]
    """What to draw, such as "a photo of a pet"."""
    out: Path
    """The folder to write into; the same arguments make it again, others are refused."""
    seed: int = 0
    """The same seed gives the same pictures on the same machine; 0 to 2**63 - 1."""
    count: int = 16
    """The number of typical pictures, and of creative ones, up to 100,000."""
    model: str = "menagerie"
    """A model's name such as kandinsky-2-1, a hub's id, or a folder with prior/ and decoder/."""
    device: str | None = None
    """cpu or cuda; by default a GPU if there is one."""
    word: str | None = None
    """The word of the prompt to steer; by default the last one that names what to draw."""
    dial: float = 1.3
    """How rare: 0 is the median of what the model usually makes, 1 its 99th percentile."""
    batches: int = 1
    """Batches of concepts, each of which turns away from what those before it show."""

    def run(self) -> None:
        from ..steering.habituation import HabituationConfig
        from ..steering.settings import STEER_DEFAULTS
        from .creation import create

        creation = create(
            self.prompt,
            self.out,
            seed=self.seed,
            count=self.count,
            model=self.model,
            device=self.device,
            config=replace(STEER_DEFAULTS, dial=self.dial),
            word=self.word,
            habituation=HabituationConfig(batches=self.batches),
        )
        typical = creation.report["typical"]
        creative = creation.report["creative"]
        print(f"{self.out / 'gallery.png'}: typical pictures above, creative ones below")
        dials = ", ".join(f"{value:.2f}" for value in creation.result.dial.tolist())
        print(f"steered: {creation.report['word']}, on the dial to {dials}")
        print(
            f"median surprisal {typical['surprisal']:.1f} -> {creative['surprisal']:.1f} nats, "
            f"beyond {creative['percentile']:.1f} % of what the model usually makes"
        )
        if "valid" in creative:
            print(
                f"{_truth(creative)} (typical: {100 * typical['valid']:.0f} %, "
                f"{100 * typical['novel_in_form']:.0f} %)"
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
    """The file to write, PNG or JPEG; by default CATEGORY-SHOW.png in the current folder."""
    seed: int = 0
    """Another seed draws other members."""

    def run(self) -> None:
        from ..notebook.plots import grid
        from ..world import sheet

        makers = {"species": sheet.species, "wild": sheet.wild, "styles": sheet.in_styles}
        drawn = makers[self.show](self.category, seed=self.seed)
        file = self.out or Path(f"{self.category}-{self.show}.png".replace(" ", "-"))
        if file.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise InputError(f"out is {file}; expected a name that ends in .png, .jpg or .jpeg")
        try:
            with atomic_write(file) as part:
                grid(drawn.pictures, drawn.titles, drawn.columns).savefig(part)
        except OSError as error:
            raise InputError(f"out is {file}, which cannot be written: {error.strerror}") from error
        print(f"{file}: {drawn.alt}")


@dataclass(frozen=True)
class Concept:
    """Learn members of a category that do not exist yet (ConceptLab).

    Writes a gallery, pictures, a report and the concepts.
    """

    word: tyro.conf.Positional[str]
    """The category, such as pet; with --style, the word to begin with, such as picture."""
    out: Path
    """The folder to write into; the same arguments resume a run there, others are refused."""
    negatives: tuple[str, ...] = ()
    """Different words that the concepts must not be; by default a VQA model finds some."""
    style: bool = False
    """Learn styles instead."""
    settle: bool = False
    """Make each concept one thing: choose its most novel sample and learn to draw that one."""
    concepts: int = 4
    """The number of concepts to learn."""
    steps: int | None = None
    """The largest number of steps."""
    seed: int = 0
    """Another seed learns other concepts."""
    count: int = 8
    """The number of pictures of each concept."""
    model: str = "menagerie"
    """A model's name such as kandinsky-2-1, a hub's id, or a folder with prior/ and decoder/."""
    vqa: str = "menagerie"
    """A BlipForQuestionAnswering: menagerie, a folder, or a hub's id (Salesforce/blip-vqa-base)."""
    device: str | None = None
    """cpu or cuda; by default a GPU if there is one."""

    def run(self) -> None:
        from ..conceptlab.settings import LEARN_DEFAULTS, STYLE_CONFIG
        from ..unclip.pipeline import load
        from .concepts import check_learning, learn

        base = STYLE_CONFIG if self.style else LEARN_DEFAULTS
        steps = base.steps if self.steps is None else self.steps
        config = replace(base, concepts=self.concepts, steps=steps)
        check_learning(
            self.word,
            self.negatives,
            self.seed,
            self.count,
            style=self.style,
            settled=self.settle,
        )
        report = learn(
            load(self.model, self.device),
            self.word,
            self.out,
            negatives=self.negatives,
            config=config,
            seed=self.seed,
            count=self.count,
            vqa=self.vqa,
            style=self.style,
            settled=self.settle,
        )
        for i, words in enumerate(report["negatives"]):
            print(f"concept {i} is none of: {', '.join(words)}")
        _print_summary(self.out, report)


@dataclass(frozen=True)
class Mix:
    """Learn a mixture of concepts, pictures or words."""

    parents: tyro.conf.Positional[tuple[str, ...]]
    """At least two of: a learned concept's folder, a picture's file, a word."""
    out: Path
    """The folder to write into; the same arguments leave it as it is, others are refused."""
    weights: tuple[float, ...] | None = None
    """How much each parent counts, relative to the others; by default all the same."""
    word: str | None = None
    """The word that the mixture starts from; by default the first parent's."""
    seed: int = 0
    """Another seed learns another mixture."""
    count: int = 8
    """The number of pictures."""
    model: str = "menagerie"
    """A model's name such as kandinsky-2-1, a hub's id, or a folder with prior/ and decoder/."""
    device: str | None = None
    """cpu or cuda; by default a GPU if there is one."""

    def run(self) -> None:
        from ..unclip.pipeline import load
        from .concepts import check_mixing, mix

        check_mixing(self.parents, self.weights, self.word, self.seed, self.count)
        report = mix(
            load(self.model, self.device),
            self.parents,
            self.out,
            weights=self.weights,
            word=self.word,
            seed=self.seed,
            count=self.count,
        )
        _print_summary(self.out, report)


@dataclass(frozen=True)
class Evolve:
    """Mix learned concepts, generation after generation, until one is left."""

    founders: tyro.conf.Positional[Path]
    """A folder with at least two learned concepts."""
    out: Path
    """The folder to write into; the same arguments resume a run there, others are refused."""
    seed: int = 0
    """Another seed learns other children."""
    count: int = 8
    """The number of pictures of the youngest."""
    model: str = "menagerie"
    """A model's name such as kandinsky-2-1, a hub's id, or a folder with prior/ and decoder/."""
    device: str | None = None
    """cpu or cuda; by default a GPU if there is one."""

    def run(self) -> None:
        from ..unclip.pipeline import load
        from .concepts import check_numbers, evolve

        check_numbers(self.seed, self.count)
        report = evolve(
            load(self.model, self.device), self.founders, self.out, seed=self.seed, count=self.count
        )
        print(f"{self.out / 'family.png'}: {len(report['family'])} members")
        _print_summary(self.out, report)


@dataclass(frozen=True)
class Draw:
    """Draw learned concepts in a prompt."""

    concept: tyro.conf.Positional[Path]
    """A folder with learned concepts."""
    prompt: tyro.conf.Positional[str]
    """A text with {} in the concept's place, such as "a pencil sketch of a {}"."""
    out: Path
    """The folder to write into; the same arguments leave it as it is, others are refused."""
    seed: int = 0
    """The same seed gives the same pictures on the same machine."""
    count: int = 8
    """The number of pictures of each concept."""
    model: str = "menagerie"
    """A model's name such as kandinsky-2-1, a hub's id, or a folder with prior/ and decoder/."""
    device: str | None = None
    """cpu or cuda; by default a GPU if there is one."""

    def run(self) -> None:
        from ..english import check_template
        from ..unclip.pipeline import load
        from .concepts import check_numbers, draw

        check_numbers(self.seed, self.count)
        check_template(self.prompt)
        report = draw(
            load(self.model, self.device),
            self.concept,
            self.prompt,
            self.out,
            seed=self.seed,
            count=self.count,
        )
        _print_summary(self.out, report)


@dataclass(frozen=True)
class Semantica:
    """Train Semantica on folders of pictures that belong together, one folder for each page."""

    pages: tyro.conf.Positional[Path]
    """A folder of folders of pictures."""
    out: Path
    """The folder to write into; the same arguments resume a run there, others are refused."""
    encoder: str = "clip"
    """The encoder: clip, dino, or a folder with the vision model of a CLIP or a DINOv2."""
    movq: str = "menagerie"
    """The autoencoder: menagerie for the bundled one, or a folder with a VQModel."""
    size: int = 64
    """The side of the pictures in pixels."""
    steps: int = 2000
    """The number of training steps."""
    batch: int = 32
    """Pictures in a step."""
    low: float = -1.0
    """Pairs of pictures with a smaller cosine are left out."""
    high: float = 1.0
    """Pairs of pictures with a larger cosine are left out."""
    channels: tuple[int, int] = (48, 96)
    """The network's widths; photographs need more."""
    layers: int = 4
    """The network's transformer layers."""
    seed: int = 0
    """Another seed gives other weights."""
    device: str | None = None
    """cpu or cuda; by default a GPU if there is one."""

    def run(self) -> None:
        from ..semantica.folders import FolderConfig, learn

        config = FolderConfig(
            size=self.size,
            steps=self.steps,
            batch=self.batch,
            seed=self.seed,
            low=self.low,
            high=self.high,
            channels=self.channels,
            layers=self.layers,
        )
        facts = learn(
            self.pages,
            self.out,
            encoder=self.encoder,
            movq=self.movq,
            config=config,
            device=self.device,
        )
        print(f"{self.out}: {facts['steps']} steps, loss {facts['losses']['loss']:.3f}")


@dataclass(frozen=True)
class Vary:
    """Draw variations of pictures with Semantica, as if from the same page."""

    pictures: tyro.conf.Positional[tuple[Path, ...]]
    """One picture, or several of one page."""
    out: Path
    """The folder to write into; the same arguments leave it as it is, others are refused."""
    semantica: str = "menagerie"
    """menagerie for the bundled model, control for its control, or a folder of a trained one."""
    seed: int = 0
    """Another seed draws other variations."""
    count: int = 8
    """The number of variations."""
    guidance: float = 1.0
    """Above 1, variations are closer to the pictures shown; 1 is none."""
    steps: int = 20
    """The number of denoising steps."""
    device: str | None = None
    """cpu or cuda; by default a GPU if there is one."""

    def run(self) -> None:
        from .concepts import vary

        vary(
            self.pictures,
            self.out,
            semantica=self.semantica,
            seed=self.seed,
            count=self.count,
            guidance=self.guidance,
            steps=self.steps,
            device=self.device,
        )
        print(f"{self.out / 'gallery.png'}: {len(self.pictures)} shown, {self.count} drawn")


def _print_summary(out: Path, report: dict[str, Any]) -> None:
    print(f"{out / 'gallery.png'}: {report['count']} pictures of each concept")
    if "truth" in report:
        print(_truth(report["truth"]))


def _truth(shares: dict[str, float]) -> str:
    valid = 100 * shares["valid"]
    novel = 100 * shares["novel_in_form"]
    return f"valid {valid:.0f} %, novel in form {novel:.0f} %"


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
    """Run one command. This is the entry point `creativelib`."""
    with end_in_one_line():
        _parsed(arguments).run()


def _parsed(arguments: list[str] | None) -> Any:
    """Return the command with its options. Raises InputError where tyro would draw a box."""
    told = io.StringIO()
    try:
        with redirect_stderr(told):
            return tyro.extras.subcommand_cli_from_dict(
                COMMANDS, prog="creativelib", args=arguments
            )
    except SystemExit:
        if not told.getvalue():
            raise  # --help, which writes to stdout
        lines = [line.strip(" \u2502") for line in told.getvalue().splitlines()]
        # The first line is the box's title. What follows the first rule is help.
        reasons = takewhile(lambda line: not line.startswith("\u2500"), lines[1:])
        raise InputError(" ".join(line for line in reasons if line)) from None
