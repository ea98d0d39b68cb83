"""Contact sheets: their pictures, titles and alternative texts."""

import matplotlib.pyplot as plt
import pytest
import torch
from PIL import Image

from creativelib.commands.cli import main
from creativelib.world import category, sheet, styles


def test_species_sheet():
    result = sheet.species("handbag", each=2, size=32)
    names = list(category("handbag").species)
    assert result.pictures.shape == (2 * len(names), 3, 32, 32)
    assert [title for title in result.titles if title] == names
    assert result.titles[:3] == [names[0], "", names[1]]
    assert result.columns % 2 == 0
    assert all(name in result.alt for name in ("handbag", *names))


@pytest.mark.parametrize("seed", range(5))
def test_every_species_has_all_its_members(seed):
    assert len(sheet.species("pet", each=3, seed=seed, size=8).pictures) == 3 * len(
        category("pet").species
    )


def test_wild_sheet():
    result = sheet.wild("pet", count=10, size=32)
    assert result.pictures.shape == (10, 3, 32, 32)
    assert not any(result.titles)
    assert all(word in result.alt for word in ("10", "wild", "pet", "ears"))


def test_style_sheet_repeats_the_members():
    result = sheet.in_styles("fruit", each=3, size=32)
    assert result.pictures.shape == (18, 3, 32, 32)
    assert result.titles[::3] == list(styles.NAMES)
    assert result.columns == 3
    assert all(name in result.alt for name in styles.NAMES)
    assert (result.pictures[:3] - result.pictures[3:6]).abs().mean() > 0.02


@pytest.mark.parametrize("make", [sheet.species, sheet.wild, sheet.in_styles])
def test_seeds_reproduce(make):
    assert torch.equal(
        make("plant", 2, seed=1, size=16).pictures, make("plant", 2, seed=1, size=16).pictures
    )
    assert not torch.equal(
        make("plant", 2, seed=1, size=16).pictures, make("plant", 2, seed=2, size=16).pictures
    )


def test_unknown_categories_are_refused():
    with pytest.raises(ValueError, match="'dragon'"):
        sheet.species("dragon")


@pytest.mark.parametrize(
    ("show", "name"), [("species", "sheet.png"), ("wild", "sheet.jpg"), ("styles", "sheet.png")]
)
def test_the_command_draws_a_sheet(tmp_path, capsys, show, name):
    plt.switch_backend("agg")
    main(["world", "sheet", "musical instrument", "--show", show, "--out", str(tmp_path / name)])
    plt.close("all")
    assert Image.open(tmp_path / name).width > 500
    assert "Contact sheet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dragon"], "'dragon' is not in the Menagerie; expected pet"),
        (["pet", "--out", "sheet.txt"], ".png"),
        (["handbag", "--out", "FILE/sheet.png"], "cannot be written"),
    ],
)
def test_the_command_refuses_bad_input(tmp_path, arguments, words, capsys):
    plt.switch_backend("agg")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SystemExit) as stop:
        main(["world", "sheet", *[argument.replace("FILE", str(file)) for argument in arguments]])
    plt.close("all")
    assert stop.value.code == 2
    assert words in capsys.readouterr().err
