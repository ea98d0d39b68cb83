"""The scores of one run: by the CLIP that steers, by the judge, and by the world's truth.

    reference = Reference.of(pipe, judge, "pet")
    figures = score(drawn, reference, pipe, judge, Oracle.load())

Scores by the CLIP that methods are steered by are called "CLIP: ...", since a method can cheat it,
and those by the world's oracle "true: ..."; the others are the judge's. Names that
elsewhere stand for another encoder's numbers say so: "Frechet distance, judge" is not the FID,
which is Inception's.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..density import Density
from ..errors import InputError
from ..metrics.divergence import excess_over_floor, gaussian_kl
from ..metrics.diversity import total_variance, vendi
from ..metrics.intervals import warn_if_few
from ..metrics.novelty import authenticity, ken, nearest_distance, rarity_scores
from ..metrics.realism import cmmd, fidelity, frechet
from ..metrics.similarity import negative_distance, positive_similarity
from ..seeds import seeded
from ..steering.target import fit_baseline
from ..unclip.pipeline import Pipeline
from ..vision.judge import Judge
from ..world import category
from ..world.oracle import Oracle
from ..world.scenes import draw, sample_scenes
from .baselines import Samples, photo

# Pictures that a run is compared with, of the world and of plain sampling.
SEEN = 200
# Upper limit on the pictures per run.
FLOOR_SIZE = 64
# Floor samples of runs of that size. Smaller runs have more, in proportion.
FLOOR_SAMPLES = 4
# Neighbors that fidelity looks at. A run needs more pictures than these.
NEIGHBORS = 3


@dataclass(frozen=True, eq=False)
class Reference:
    """What runs on a category are compared with; made once."""

    word: str
    # Of what the prior typically draws.
    density: Density
    # CLIP's embeddings of typical pictures, and of others that floors are taken from.
    typical: Float[Tensor, "m d"]
    floor_pool: Float[Tensor, "f d"]
    # The judge's embeddings of the world's own pictures.
    real: Float[Tensor, "r e"]
    # The category and its species as texts, by CLIP and by the judge.
    text: Float[Tensor, " d"]
    members: Float[Tensor, "s d"]
    judge_text: Float[Tensor, " e"]
    judge_members: Float[Tensor, "s e"]

    @classmethod
    def of(cls, pipe: Pipeline, judge: Judge, word: str) -> "Reference":
        """Make the reference of a category of the Menagerie.

        Always drawn with the same seeds, which belong to no run.
        """
        prompts = [photo(word), *map(photo, category(word).species)]
        texts = normalize(pipe.encode_text(prompts).pooled, dim=-1)
        judge_texts = judge.encode_text(prompts)
        generator = seeded(2**40)
        cond = pipe.encode_text(prompts[:1])
        z = pipe.sample_prior(cond, SEEN + FLOOR_SAMPLES * FLOOR_SIZE, noise=generator)
        embeddings = pipe.encode_images(pipe.decode(z, generator=generator)[0])
        real = judge.encode_images(draw(sample_scenes(SEEN, generator, category=word)))
        return cls(
            word=word,
            density=fit_baseline(pipe, prompts[0]),
            typical=embeddings[:SEEN],
            floor_pool=embeddings[SEEN:],
            real=real,
            text=texts[0],
            members=texts[1:],
            judge_text=judge_texts[0],
            judge_members=judge_texts[1:],
        )

    def floor_samples(self, n: int) -> Float[Tensor, "s n d"]:
        """Split the pool into samples of n pictures, which have none in common."""
        samples = len(self.floor_pool) // n
        return self.floor_pool[: samples * n].view(samples, n, -1)


def score(
    drawn: Samples, reference: Reference, pipe: Pipeline, judge: Judge, oracle: Oracle
) -> dict[str, float]:
    """Return all figures of one run.

    Shares are in [0, 1], similarities are cosines, divergences and surprisals nats. Metrics of sets
    depend on how many pictures a run has: compare runs of the same number. FewPicturesWarning says
    so where a run has fewer than the judge's embeddings have dimensions. Raises InputError for more
    than FLOOR_SIZE pictures.
    """
    n = len(drawn.z)
    most = len(reference.floor_pool) // FLOOR_SAMPLES
    if n > most:
        raise InputError(
            f"drawn holds {n} pictures; expected at most {most}, the size of the reference's floors"
        )
    clip = pipe.encode_images(drawn.pictures)
    judged = judge.encode_images(drawn.pictures)
    truth = oracle.judge(drawn.pictures, reference.word)
    neighbors = fidelity(judged, reference.real, NEIGHBORS)
    rarity = rarity_scores(judged, reference.real, NEIGHBORS)
    warn_if_few("Frechet distance", n, judged.shape[1])
    floors = reference.floor_samples(n)

    def mean(values: Tensor) -> float:
        return values.float().mean().item()

    by_clip = {
        "positive similarity": mean(positive_similarity(clip, reference.text)),
        "relative typicality": mean(negative_distance(clip, reference.text, reference.members)),
        "surprisal": reference.density.surprisal(clip).median().item(),
        "KL above its floor": excess_over_floor(gaussian_kl, clip, reference.typical, floors),
        "distance to the nearest": mean(nearest_distance(clip, reference.typical)),
    }
    typicality = negative_distance(judged, reference.judge_text, reference.judge_members)
    by_judge = {
        "positive similarity": mean(positive_similarity(judged, reference.judge_text)),
        "relative typicality": mean(typicality),
        "Frechet distance, judge": frechet(judged, reference.real),
        "CMMD, judge": cmmd(judged, reference.real).value,
        "precision": neighbors.precision,
        "recall": neighbors.recall,
        "density": neighbors.density,
        "coverage": neighbors.coverage,
        "Vendi, q = 1": vendi(judged),
        "Vendi, q = 2": vendi(judged, 2.0),
        "total variance": total_variance(judged),
        "distance to the nearest": mean(nearest_distance(judged, reference.real)),
        # Of the pictures that have one; 0 if none has.
        "rarity score, judge": rarity.nanmean().nan_to_num().item(),
        "KEN, judge": ken(judged, reference.real),
        # The world's own pictures stand for those that the model was trained on.
        "authenticity, judge": authenticity(judged, reference.real),
    }
    by_truth = {
        "valid": mean(truth.valid),
        "novel in form": mean(truth.novel_in_form),
        "valid and novel": mean(truth.valid & truth.novel_in_form),
        "surprisal": -truth.log_prob.median().item(),
    }
    return (
        {f"CLIP: {name}": value for name, value in by_clip.items()}
        | by_judge
        | {f"true: {name}": value for name, value in by_truth.items()}
    )
