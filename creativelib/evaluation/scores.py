"""One run of a method, judged in every way at once: by the CLIP that steers, by the judge, and by the world's truth.

    reference = Reference.of(pipe, judge, "pet")
    figures = score(drawn, reference, pipe, judge, Oracle.load())

What is in the eyes of the CLIP that methods are steered by is called "CLIP: ...", since a method can cheat it; the rest is the judge's.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..density import Density
from ..errors import InputError
from ..metrics.divergence import excess_over_floor, gaussian_js, gaussian_kl
from ..metrics.diversity import total_variance, vendi
from ..metrics.intervals import warn_if_few
from ..metrics.novelty import nearest_distance
from ..metrics.realism import fidelity, frechet, kid
from ..metrics.similarity import negative_distance, positive_similarity
from ..steering.target import fit_baseline
from ..unclip.pipeline import Pipeline
from ..vision.judge import Judge
from ..world import category
from ..world.oracle import Oracle
from ..world.scenes import draw, sample_scenes
from .baselines import Samples, photo

SEEN = 200  # pictures that a run is compared with, of the world and of plain sampling
FLOOR_SIZE = 64  # pictures usually drawn of which the floors are made: the most that a run may have
K = 3  # neighbours


@dataclass(frozen=True, eq=False)
class Reference:
    """What runs on a category are compared with, made once: texts in the eyes of CLIP and judge, the density of what is usually drawn,
    CLIP's embeddings of pictures usually drawn (`usual`) and of AGAIN others, and the judge's of the world's own (`real`)."""

    word: str
    density: Density
    typical: Float[Tensor, "m d"]
    floor_sample: Float[Tensor, "f d"]
    real: Float[Tensor, "r e"]
    text: Float[Tensor, " d"]
    members: Float[Tensor, "s d"]
    judge_text: Float[Tensor, " e"]
    judge_members: Float[Tensor, "s e"]

    @classmethod
    def of(cls, pipe: Pipeline, judge: Judge, word: str) -> "Reference":
        """Of a category of the Menagerie, always drawn with the same seeds, which belong to no run."""
        prompts = [photo(word), *map(photo, category(word).species)]
        clip = normalize(pipe.encode_text(prompts).pooled, dim=-1)
        other = judge.encode_text(prompts)
        generator = torch.Generator().manual_seed(2**40)
        usual = pipe.sample_prior(pipe.encode_text(prompts[:1]), SEEN + FLOOR_SIZE, noise=generator)
        seen = pipe.encode_images(pipe.decode(usual, generator=generator)[0])
        real = judge.encode_images(draw(sample_scenes(SEEN, generator, category=word)))
        return cls(
            word,
            fit_baseline(pipe, prompts[0]),
            seen[:SEEN],
            seen[SEEN:],
            real,
            clip[0],
            clip[1:],
            other[0],
            other[1:],
        )


def score(
    drawn: Samples, reference: Reference, pipe: Pipeline, judge: Judge, oracle: Oracle
) -> dict[str, float]:
    """All figures of one run. Shares are in [0, 1], similarities are cosines, divergences and surprisals nats.

    Metrics of sets depend on how many pictures a run has: compare runs of the same number. FewPicturesWarning says so where a run has
    fewer than the judge's embeddings have dimensions. Raises InputError for more than AGAIN pictures.
    """
    n = len(drawn.z)
    generator = torch.Generator().manual_seed(0)
    if n > len(reference.floor_sample):
        raise InputError(
            f"drawn holds {n} pictures; expected at most {len(reference.floor_sample)}, of which the reference has floors"
        )
    seen = pipe.encode_images(drawn.pictures)
    other = judge.encode_images(drawn.pictures)
    truth = oracle.judge(drawn.pictures, reference.word)
    near = fidelity(other, reference.real, K)
    distance = kid(other, reference.real)
    warn_if_few("FID", n, other.shape[1])

    def js(a: Tensor, b: Tensor) -> float:
        return gaussian_js(a, b, generator=generator, draws=2000)

    def mean(values: Tensor) -> float:
        return values.float().mean().item()

    return {
        "CLIP: positive similarity": mean(positive_similarity(seen, reference.text)),
        "CLIP: relative typicality": mean(
            negative_distance(seen, reference.text, reference.members)
        ),
        "CLIP: surprisal": reference.density.surprisal(seen).median().item(),
        "CLIP: KL above its floor": excess_over_floor(
            gaussian_kl, seen, reference.typical, reference.floor_sample[:n]
        ),
        "CLIP: JS above its floor": excess_over_floor(
            js, seen, reference.typical, reference.floor_sample[:n]
        ),
        "CLIP: distance to the nearest": mean(nearest_distance(seen, reference.typical)),
        "positive similarity": mean(positive_similarity(other, reference.judge_text)),
        "relative typicality": mean(
            negative_distance(other, reference.judge_text, reference.judge_members)
        ),
        "FID": frechet(other, reference.real),
        "KID": distance.value,
        "KID's standard error": distance.error,
        "precision": near.precision,
        "recall": near.recall,
        "density": near.density,
        "coverage": near.coverage,
        "Vendi, q = 1": vendi(other),
        "Vendi, q = 2": vendi(other, 2.0),
        "total variance": total_variance(other),
        "distance to the nearest": mean(nearest_distance(other, reference.real)),
        "true: valid": mean(truth.valid),
        "true: novel in form": mean(truth.novel_in_form),
        "true: valid and novel": mean(truth.valid & truth.novel_in_form),
        "true: surprisal": -truth.log_prob.median().item(),
    }
