"""ConceptLab's settings."""

from dataclasses import dataclass

from ..errors import InputError, at_least
from ..unclip.prior import PriorSampling
from .spaces import SPACES

# As many plain ones as edits: the concept shall be one thing in all of them.
TEMPLATES = (
    "a photo of a {}",
    "a picture of a {}",
    "a {}",
    "a pencil sketch of a {}",
    "a watercolor painting of a {}",
    "a photo of a {}",
)


@dataclass(frozen=True)
class LearnConfig:
    """ConceptLab's settings; the paper's are in brackets.

    k `concepts` are learned at once, from `samples` embeddings each a step [1], for `steps` [2500] with AdamW, whose `lr` is in units of
    the concept's scale. A step takes the next of the `templates`. `weight` is lambda, what being like the category is worth against being
    unlike its members [1]. `largest` False leaves out equation (4), `clamps` False both thresholds. `space` is where the constraints
    compare, see `spaces`.

    Every `every` steps [250] the VQA is asked about `asked` pictures of each concept [1], and the commonest answer counts; without one,
    the next of the words that are to come is added. A concept ends when `patience` questions in a row brought no new negative.
    """

    kind: str = "feature"
    concepts: int = 4
    samples: int = 2
    steps: int = 600
    lr: float = 0.05
    templates: tuple[str, ...] = TEMPLATES
    weight: float = 1.0
    use_max: bool = True
    use_thresholds: bool = True
    space: str = "prior"
    ask_every: int = 20
    pictures_per_question: int = 2
    patience: int = 8
    sampling: PriorSampling = PriorSampling()

    def __post_init__(self) -> None:
        limits = {
            "concepts": 1,
            "samples": 1,
            "steps": 1,
            "ask_every": 1,
            "pictures_per_question": 1,
            "patience": 1,
            "weight": 0,
        }
        for name, least in limits.items():
            at_least(name, getattr(self, name), least)
        if not self.lr > 0:
            raise InputError(f"lr is {self.lr}; expected a number above 0")
        if self.space not in SPACES:
            raise InputError(f"space is {self.space!r}; expected {', '.join(SPACES)}")
        if self.space != "prior" and self.kind == "embedding":
            raise InputError(
                f"space is {self.space!r} with kind 'embedding', which no text stands for; expected 'prior'"
            )
        if not self.templates or isinstance(self.templates, str):
            raise InputError(
                f"templates is {self.templates!r}; expected one or more texts with {{}}"
            )


LEARN_DEFAULTS = LearnConfig()

# A style is learned like a thing, over many things: the place is where the style's name stands in the bundled world's captions. Other
# models know "a painting of a dog in the style of {}", and begin at "painting" (the paper).
STYLE_TEMPLATES = (
    "a {} of a pet",
    "a {} of a fruit",
    "a {} of a plant",
    "a {} of a building",
    "a {} of a vehicle",
    "a {} of a handbag",
)
STYLE_CONFIG = LearnConfig(kind="subject", templates=STYLE_TEMPLATES, steps=300)
