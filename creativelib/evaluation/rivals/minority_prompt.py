"""MinorityPrompt: a word is learned at each sampling step that makes the prior predict the unusual.

    z = minority_words(pipe, "pet", 16, generator=g)   # (16, d)

It is the nearest kin of rarity steering: a token learns through the text encoder and the prior.
Rarity steering asks a density of the prior's samples what is rare; here the prior itself is asked.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ...concept import TokenConcept
from ...english import clean_word
from ...errors import above, whole
from ...sharing import gpu_turn, gradients, normal_tensors
from ...unclip.pipeline import Pipeline
from ...unclip.prior import PriorSampling
from ..baselines import photo
from .denoiser import Denoiser, Probe


@normal_tensors()
def minority_words(
    pipe: Pipeline,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    iterations: int = 5,
    lr: float = 0.1,
    level: float = 0.75,
    sampling: PriorSampling = PriorSampling(steps=10),
) -> Float[Tensor, "n d"]:
    """Draw n embeddings, each of the prompt with a learned token at its end.

    iterations: of learning at each step. 0 learns nothing and leaves the token out: plain sampling.
    lr: length of an iteration per coordinate, in units of the token table's scale.
    level: how far predictions are noised to be reconstructed, as a share of all timesteps.

    Raises InputError for iterations below 0, an lr that is not above 0, and a level that is not
    between 0 and 1.

    Source: Um and Ye, CVPR 2025, arXiv 2410.07838. As there, every sample has its own token, which
    goes on from step to step with Adam begun anew; the token's prompt predicts, the plain one
    reconstructs, and the gradient passes both. There a prompt ends in the bare token, which begins
    as a word such as "cool", and pictures' latents are compared; one model learns at the first
    tenth of 50 steps, ten iterations each, another at each of 4 steps, three iterations each. Here
    the prompt is "a photo of a pet with" and the token, which begins as the category's word,
    embeddings are compared, and every step learns.
    """
    word = clean_word("word", word)
    whole("n", n, 1)
    whole("iterations", iterations, 0)
    above("lr", lr, 0)
    denoiser = Denoiser.of(pipe, sampling.steps)
    renoised = denoiser.level(level)
    plain = pipe.encode_text([photo(word)])
    negative = pipe.encode_text([""])
    noise = denoiser.draw(generator, n)
    x = next(noise)
    start = TokenConcept.init(pipe, word, kind="feature")
    concept = start.with_tensors({"vectors": start.vectors.repeat(n, 1)})
    cond = plain
    for index, t in enumerate(denoiser.schedule.timesteps):
        if iterations > 0:
            probe = Probe(x, t, renoised, plain)
            concept = learn(denoiser, probe, concept, iterations, lr, generator=generator)
            cond = concept.condition(pipe, template(word))
        x0 = denoiser.predict(x, t, cond, guidance=sampling.guidance, negative=negative)
        x = denoiser.schedule.step(index, x0, x, next(noise))
    return denoiser.embeddings(x)


def template(word: str) -> str:
    """Return the prompt of a word with {} in its place."""
    return photo(word).removesuffix(word) + "{}"


def learn(
    denoiser: Denoiser,
    probe: Probe,
    concept: TokenConcept,
    iterations: int,
    lr: float,
    *,
    generator: torch.Generator,
) -> TokenConcept:
    """Move each sample's token so that what its prompt predicts is badly reconstructed."""
    vectors = concept.vectors.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([vectors], lr=lr * concept.scale)
    for _ in range(iterations):
        noise = torch.randn(probe.x.shape, generator=generator, device=generator.device)
        moved = concept.with_tensors({"vectors": vectors})
        with gradients(), gpu_turn(probe.x.device):
            score = prompt_score(denoiser, probe, moved, noise.to(probe.x))
            (slope,) = torch.autograd.grad(score.sum(), vectors)
        vectors.grad = -slope
        optimizer.step()
    return concept.with_tensors({"vectors": vectors.detach()})


def prompt_score(
    denoiser: Denoiser, probe: Probe, concept: TokenConcept, noise: Float[Tensor, "n d"]
) -> Float[Tensor, " n"]:
    """Return the minority scores of what the concept's prompt predicts; differentiable in it."""
    cond = concept.condition(denoiser.pipe, template(concept.word))
    x0 = denoiser.predict(probe.x, probe.t, cond)
    return denoiser.minority_score(probe, x0, x0, noise)
