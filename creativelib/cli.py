"""The command `creativelib`. Bad input ends it with exit code 2 and one line that says what was wrong."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from .errors import InputError


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
    """A model's name or a folder that holds prior/ and decoder/."""
    device: str | None = None
    """cpu or cuda; a GPU is used if there is one."""

    def run(self) -> None:
        from .create import create

        creation = create(self.prompt, self.out, self.seed, self.count, self.model, self.device)
        typical, creative = creation.report["typical"], creation.report["creative"]
        print(f"{self.out / 'gallery.png'}: typical pictures above, creative ones below")
        print(f"median surprisal {typical['surprisal']:.1f} -> {creative['surprisal']:.1f} nats, beyond "
              f"{creative['percentile']:.1f} % of what the model usually makes")
        if "valid" in creative:
            print(f"valid {100 * creative['valid']:.0f} %, novel in form {100 * creative['novel_in_form']:.0f} % "
                  f"(typical: {100 * typical['valid']:.0f} %, {100 * typical['novel_in_form']:.0f} %)")


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
        from .plots import grid
        from .world import sheet

        drawn = {"species": sheet.species, "wild": sheet.wild, "styles": sheet.in_styles}[self.show](self.category, seed=self.seed)
        file = self.out or Path(f"{self.category}-{self.show}.png".replace(" ", "-"))
        if file.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise InputError(f"out is {file}; allowed are names that end in .png, .jpg or .jpeg")
        try:
            grid(drawn.pictures, drawn.titles, drawn.columns).savefig(file)
        except OSError as error:
            raise InputError(f"out is {file}, which cannot be written: {error.strerror}") from error
        print(f"{file}: {drawn.alt}")


COMMANDS = {"create": Create, "world": World}


def main(arguments: list[str] | None = None) -> None:
    """Run one command; for the entry point `creativelib`."""
    command = tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="creativelib", args=arguments)
    try:
        command.run()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
