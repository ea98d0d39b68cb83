"""The page that asks, in a notebook: one trial at a time, kept before the next is shown."""

import base64
import html
import io
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

import ipywidgets as widgets
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..pictures import to_image
from .design import Study, Trial, plan
from .store import Votes, ballot, new_code, now, seed_of

WIDTH = 256  # pixels: smaller pictures are enlarged
BUTTON = "126px"  # a scale's five answers stay on one line of a notebook
_ALTS = {1: ("the picture to rate",), 2: ("the left picture", "the right picture")}


@dataclass(frozen=True)
class Position:
    """Where a participant is: the trial to show next, None at the end, and how many of `total` are answered."""

    trial: Trial | None
    answered: int
    total: int


def position(study: Study, participant: str, answered: frozenset[str]) -> Position:
    """The first trial of a participant's plan that is not answered. Raises InputError for what is no participant code."""
    shown = plan(study, seed_of(participant))
    left = [trial for trial in shown if trial.id not in answered]
    return Position(left[0] if left else None, len(shown) - len(left), len(shown))


def pictures_html(
    trial: Trial, study: Study, pictures: Mapping[str, Float[Tensor, "c n 3 h w"]]
) -> str:
    """A trial's pictures side by side as PNG inside the page. Their alternative texts tell the side and not the method."""

    def tag(picture: Float[Tensor, "3 h w"], alt: str) -> str:
        image = to_image(picture)
        data = io.BytesIO()
        scale = max(1.0, WIDTH / image.width)
        image.resize(
            (round(scale * image.width), round(scale * image.height)), Image.Resampling.LANCZOS
        ).save(data, "png")
        return f'<img src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}" alt="{alt}" style="max-width:100%">'

    tags = [
        tag(pictures[item.method][study.categories.index(item.category), item.index], alt)
        for item, alt in zip(trial.items, _ALTS.get(len(trial.items), ()), strict=True)
    ]
    return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{"".join(tags)}</div>'


class RatingStudy(widgets.VBox):
    """Shows a participant one trial after the other and writes each to the store before it shows the next.

    `pictures` holds for each method its pictures in [0, 1]: c categories in the study's order, n of each. Without a `participant` it draws
    a new code and shows it; with one it goes on at the first trial that this participant has not answered. Everything is a button, so
    Tab, Space and Enter do what the mouse does. Raises InputError for pictures that are not the study's, and for what is no code.
    """

    def __init__(
        self,
        votes: Votes,
        pictures: Mapping[str, Float[Tensor, "c n 3 h w"]],
        participant: str | None = None,
    ) -> None:
        _check_pictures(pictures, votes.study)
        self.participant = new_code() if participant is None else participant
        self._votes = votes
        self._pictures = pictures
        self._position = position(votes.study, self.participant, votes.answered(self.participant))
        self._choices: dict[str, widgets.ToggleButtons] = {}
        self._next = widgets.Button(
            description="Next", disabled=True, tooltip="Keep the answers and go on"
        )
        self._next.on_click(lambda _: self._keep())
        self._message = widgets.HTML()
        super().__init__()
        self._show()

    def __repr__(self) -> str:
        return f"RatingStudy(participant {self.participant}, {self._position.answered} of {self._position.total} answered)"

    def _show(self) -> None:
        """Draw the page anew. The Next button stays the same one, so that it keeps the keyboard's focus."""
        trial = self._position.trial
        number = self._position.answered + 1
        total = self._position.total
        code = f"Your code is <b>{self.participant}</b>"
        if trial is None:
            self._choices = {}
            self.children = [
                widgets.HTML(
                    f'<p role="status">All {total} of {total} are answered. Thank you! {code}.</p>'
                )
            ]
            return
        self._choices = {
            question.name: widgets.ToggleButtons(
                options=[(label, answer) for answer, label in enumerate(question.options, 1)],
                value=None,
                description=question.text,
                tooltips=[f"{question.text} {label}" for label in question.options],
                style={"description_width": "initial", "button_width": BUTTON},
                layout={"width": "auto"},
            )
            for question in trial.questions
        }
        for choice in self._choices.values():
            choice.observe(lambda _: self._allow_next(), "value")
        self._allow_next()
        self._message.value = ""
        self.children = [
            widgets.HTML(
                f'<p role="status"><b>{number} of {total}</b>. {code}: with it you can go on later.</p>'
            ),
            widgets.HTML(pictures_html(trial, self._votes.study, self._pictures)),
            *self._choices.values(),
            self._next,
            self._message,
        ]

    def _allow_next(self) -> None:
        self._next.disabled = any(choice.value is None for choice in self._choices.values())

    def _keep(self) -> None:
        trial = self._position.trial
        answers = {
            name: choice.value for name, choice in self._choices.items() if choice.value is not None
        }
        # The second click of a double click comes when the next trial stands there unanswered, or none at all.
        if trial is None or len(answers) < len(self._choices):
            return
        try:
            self._votes.add(ballot(self.participant, trial, answers, now()))
            self._position = position(
                self._votes.study, self.participant, self._votes.answered(self.participant)
            )
        except sqlite3.OperationalError as error:
            self._message.value = f'<p role="alert">Your answers are not kept yet ({html.escape(str(error))}). Press Next once more.</p>'
            return
        self._show()


def _check_pictures(pictures: Mapping[str, Float[Tensor, "c n 3 h w"]], study: Study) -> None:
    if set(pictures) != set(study.methods):
        raise InputError(
            f"pictures holds methods {sorted(pictures)}; expected the study's, {sorted(study.methods)}"
        )
    wanted = (len(study.categories), study.pictures)
    for method, own in pictures.items():
        if tuple(own.shape[:2]) != wanted:
            raise InputError(
                f"pictures of {method!r} are {tuple(own.shape[:2])} (categories, pictures); expected the study's {wanted}"
            )
