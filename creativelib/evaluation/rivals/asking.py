"""VLM-guided adaptive negative prompting, our port: a question at each step of one sampling.

z = questions_at_each_step(pipe, vqa, "pet", 16, generator=g)   # (16, d)
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ...english import clean_word
from ...errors import InputError, whole
from ...sharing import normal_tensors
from ...unclip.pipeline import Pipeline
from ...unclip.prior import PriorSampling
from ...vision.vqa import Vqa
from ..baselines import naming, photo, with_answers
from .denoiser import Denoiser


@normal_tensors()
def questions_at_each_step(
    pipe: Pipeline,
    vqa: Vqa,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    decoder_steps: int = 2,
    sampling: PriorSampling = PriorSampling(guidance=4.5, steps=28),
) -> Float[Tensor, "n d"]:
    """Draw n embeddings; after each step ask what each is becoming, and lead it away from that.

    decoder_steps: with which a clean prediction is decoded to be asked about.

    Raises InputError for a guidance of 1, which would ignore the answers.

    Our port of Golan et al., ICLR 2026, arXiv 2510.10715. As there, a question is asked at each of
    28 steps about the clean prediction, which is the guided one; guidance is 4.5, at first away
    from the empty prompt; and answers add up. There one network denoises latents of pictures, and a
    prediction is decoded by an autoencoder; here the prior denoises an embedding, and a diffusion
    model decodes its prediction, with fewer steps than it draws with. There the prompt asks for a
    "creative" or "new" thing and negatives are listed with commas; here the prompt is the plain
    one, and negatives are named as in "a photo of a cat and a dog", the only words that the bundled
    model knows for it. The oldest is dropped when they no longer fit. Nothing is asked after the
    last step. `baselines.adaptive_negatives` asks five times, each time about a new beginning.
    """
    word = clean_word("word", word)
    whole("n", n, 1)
    if not sampling.guidance > 1:
        raise InputError(
            f"sampling has guidance {sampling.guidance}; expected a number above 1, or answers "
            "would change nothing"
        )
    whole("decoder_steps", decoder_steps, 1)
    denoiser = Denoiser.of(pipe, sampling.steps)
    cond = pipe.encode_text([photo(word)] * n)
    noise = denoiser.draw(generator, n)
    x = next(noise)
    negatives: list[list[str]] = [[] for _ in range(n)]
    for index, t in enumerate(denoiser.schedule.timesteps):
        against = naming(pipe, negatives)
        x0 = denoiser.predict(x, t, cond, guidance=sampling.guidance, negative=against)
        x = denoiser.schedule.step(index, x0, x, next(noise))
        if index < sampling.steps - 1:
            z = denoiser.embeddings(x0)
            pictures = pipe.decode(z[None], generator=generator, steps=decoder_steps)[0]
            negatives = with_answers(pipe, vqa, pictures, word, negatives)
    return denoiser.embeddings(x)
