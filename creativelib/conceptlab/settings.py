"""ConceptLab's settings (Richardson et al., arXiv 2308.02669)."""

from dataclasses import dataclass

from ..concept.base import KINDS, MOST_CONCEPTS
from ..english import clean_templates
from ..errors import MOST, InputError, above, check_fields, flag, one_of, whole, within
from ..unclip.prior import PriorSampling
from .spaces import SPACES

# As many plain templates as edits: the concept should be one thing in all of them.
TEMPLATES = (
    "a photo of a {}",
    "a picture of a {}",
    "a {}",
    "a pencil sketch of a {}",
    "a watercolor painting of a {}",
    "a photo of a {}",
)
# A style is learned like a thing, over many things. The place is where the style's name stands in
# the bundled world's captions. Other models know "a painting of a dog in the style of {}", and
# begin at "painting" (the paper).
STYLE_TEMPLATES = (
    "a {} of a pet",
    "a {} of a fruit",
    "a {} of a plant",
    "a {} of a building",
    "a {} of a vehicle",
    "a {} of a handbag",
)
# The least that counts may be, and the most where that is not `errors.MOST`.
COUNTS = {
    "concepts": (1, MOST_CONCEPTS),
    "samples": (1,),
    "steps": (1,),
    "ask_every": (1,),
    "pictures_per_question": (1,),
    "patience": (1,),
}


@dataclass(frozen=True)
class LearnConfig:
    """ConceptLab's settings; the paper's, where they differ, are in `LearnConfig.paper`.

    Raises InputError for values out of range.
    """

    # What is optimized, see `concept`.
    kind: str = "feature"
    # Concepts learned at once.
    concepts: int = 4
    # Embeddings drawn from each concept at a step.
    samples: int = 2
    # Steps of AdamW, and their length in units of the concept's scale.
    steps: int = 600
    lr: float = 0.05
    # Prompts with {} in the concept's place; a step takes the next of them.
    templates: tuple[str, ...] = TEMPLATES
    # Lambda: weight of being like the category, relative to being unlike its members.
    weight: float = 1.0
    # Whether to average in the largest similarity to a negative, equation (4).
    use_max: bool = True
    # Whether to use thresholds, see `constraints.calibrate`.
    use_thresholds: bool = True
    # Where constraints compare, see `spaces`.
    space: str = "prior"
    # Steps between questions to the VQA.
    ask_every: int = 20
    # Pictures of each concept that a question is about; the commonest answer counts.
    pictures_per_question: int = 2
    # A concept is finished when so many questions in a row brought no new negative.
    patience: int = 8
    # How the prior is sampled.
    sampling: PriorSampling = PriorSampling()

    def __post_init__(self) -> None:
        check_fields(self, whole, COUNTS)
        check_fields(self, within, {"weight": (0, MOST)})
        check_fields(self, above, {"lr": (0,)})
        check_fields(self, clean_templates, {"templates": ()})
        check_fields(self, flag, {"use_max": (), "use_thresholds": ()})
        one_of("kind", self.kind, KINDS)
        one_of("space", self.space, SPACES)
        if self.space != "prior" and self.kind == "embedding":
            raise InputError(
                f"space is {self.space!r} with kind 'embedding', which no text stands for; "
                "expected 'prior'"
            )

    @classmethod
    def paper(cls) -> "LearnConfig":
        """Return the paper's own settings, as far as they are its method's and not its model's.

        One vector in place of the word, one embedding a step, 2500 steps, guidance 4, and every 250
        steps a question about one picture. The released code's learning rate is 1e-4; in units of
        the token table's scale, which is of the order of 0.01 in ViT-L/14, that is about 0.01. Its
        weight decay is left out, see `optimize`.
        """
        return cls(
            kind="subject",
            concepts=1,
            samples=1,
            steps=2500,
            lr=0.01,
            ask_every=250,
            pictures_per_question=1,
            sampling=PriorSampling(guidance=4.0),
        )


LEARN_DEFAULTS = LearnConfig()
STYLE_CONFIG = LearnConfig(kind="subject", templates=STYLE_TEMPLATES, steps=300)
