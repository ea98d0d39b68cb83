"""The notebook page of a study: it shows one trial at a time and stores it before the next."""

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
from ..pictures import check_pictures, to_image
from .design import Study, Trial, plan
from .store import Votes, ballot, new_code, now, seed_of

# Least width of a picture in pixels; smaller pictures are enlarged.
WIDTH = 256
# Width of an answer's button: the five answers of a scale fit on one line of a notebook.
BUTTON = "126px"
# Alternative texts of the pictures, by their number on the page.
_ALTS = {1: ("the picture to rate",), 2: ("the left picture", "the right picture")}


@dataclass(frozen=True)
class Position:
    """Progress of a participant."""

    # Trial to show next; None at the end.
    trial: Trial | None
    # Number of answered trials.
    answered: int
    # Number of all trials.
    total: int


def position(study: Study, participant: str, answered: frozenset[str]) -> Position:
    """Find the first trial of a participant's plan that is not answered.

    Raises InputError if `participant` is not a code.
    """
    shown = plan(study, seed_of(participant))
    left = [trial for trial in shown if trial.id not in answered]
    return Position(
        trial=left[0] if left else None,
        answered=len(shown) - len(left),
        total=len(shown),
    )


def pictures_html(
    trial: Trial, study: Study, pictures: Mapping[str, Float[Tensor, "c n 3 h w"]]
) -> str:
    """Show a trial's pictures side by side, as PNG inside the page.

    Their alternative texts name the side and not the method.
    """

    def tag(picture: Float[Tensor, "3 h w"], alt: str) -> str:
        image = to_image(picture)
        scale = max(1.0, WIDTH / image.width)
        size = (round(scale * image.width), round(scale * image.height))
        data = io.BytesIO()
        image.resize(size, Image.Resampling.LANCZOS).save(data, "png")
        source = f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
        return f'<img src="{source}" alt="{alt}" style="max-width:100%">'

    tags = [
        tag(pictures[item.method][study.categories.index(item.category), item.index], alt)
        for item, alt in zip(trial.items, _ALTS.get(len(trial.items), ()), strict=True)
    ]
    return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{"".join(tags)}</div>'


class RatingStudy(widgets.VBox):
    """A page that shows one trial after the other and stores each before it shows the next.

    `pictures` holds the pictures of each method in [0, 1]: c categories in the study's order, n of
    each. Without a `participant` the page draws a new code and shows it. With a code it resumes at
    the first trial that this participant has not answered. Every control is a button, so Tab, Space
    and Enter do what the mouse does.

    Raises InputError for pictures that do not match the study or are not floats in [0, 1], and for
    a participant that is not a code.
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
        self._next.on_click(lambda _: self._store_answers())
        self._message = widgets.HTML()
        super().__init__()
        self._show()

    def __repr__(self) -> str:
        progress = f"{self._position.answered} of {self._position.total} answered"
        return f"RatingStudy(participant {self.participant}, {progress})"

    def _show(self) -> None:
        """Redraw the page. The Next button stays the same object, so that it keeps its focus."""
        trial = self._position.trial
        number = self._position.answered + 1
        total = self._position.total
        code = f"Your code is <b>{self.participant}</b>"
        if trial is None:
            self._choices = {}
            status = f"All {total} of {total} are answered. Thank you! {code}."
            self.children = [widgets.HTML(f'<p role="status">{status}</p>')]
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
        status = f"<b>{number} of {total}</b>. {code}: with it you can go on later."
        self.children = [
            widgets.HTML(f'<p role="status">{status}</p>'),
            widgets.HTML(pictures_html(trial, self._votes.study, self._pictures)),
            *self._choices.values(),
            self._next,
            self._message,
        ]

    def _allow_next(self) -> None:
        self._next.disabled = any(choice.value is None for choice in self._choices.values())

    def _store_answers(self) -> None:
        """Store the answers and show the next trial, unless the store cannot be written."""
        trial = self._position.trial
        answers = {
            name: choice.value for name, choice in self._choices.items() if choice.value is not None
        }
        # The second click of a double click arrives when the next trial is shown unanswered, or
        # when no trial is left.
        if trial is None or len(answers) < len(self._choices):
            return
        try:
            self._votes.add(ballot(self.participant, trial, answers, now()))
            self._position = position(
                self._votes.study, self.participant, self._votes.answered(self.participant)
            )
        except (sqlite3.OperationalError, InputError) as error:
            reason = html.escape(str(error))
            text = f"Your answers are not kept yet ({reason}). Press Next once more."
            self._message.value = f'<p role="alert">{text}</p>'
            return
        self._show()


def _check_pictures(pictures: Mapping[str, Float[Tensor, "c n 3 h w"]], study: Study) -> None:
    if set(pictures) != set(study.methods):
        raise InputError(
            f"pictures holds methods {sorted(pictures)}; expected the study's, "
            f"{sorted(study.methods)}"
        )
    wanted = (len(study.categories), study.pictures)
    for method, own in pictures.items():
        check_pictures(own, "c n 3 h w")
        if tuple(own.shape[:2]) != wanted:
            raise InputError(
                f"pictures of {method!r} are {tuple(own.shape[:2])} (categories, pictures); "
                f"expected the study's {wanted}"
            )
