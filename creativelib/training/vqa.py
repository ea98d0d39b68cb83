"""The VQA: a small `BlipForQuestionAnswering` (Li et al., arXiv 2201.12086) for four questions.

The questions ask for the kind of a category that a picture shows (for a wild picture, the nearest
species under the world's true distribution), whether it shows a given category (no for broken
pictures), and for its style and its color, where these have a name and are visible.

BLIP's vision transformer started from one that was trained on other pictures. This one starts from
random weights, since the CLIP trained here has another size, so it is trained for longer.
"""

import random
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, cross_entropy

from ..files import atomic_write
from ..fitting.loop import Recipe, Run, train
from ..models.networks import save_half
from ..pictures import as_picture, in_bytes
from ..vision.vqa import STYLE_QUESTION, is_a, what_color, what_kind
from ..world import CATEGORIES, captions, styles, truth
from ..world.scenes import Scenes, style_names
from . import export, stream
from .data import placed
from .oracle import break_pictures, replaced, second_hand
from .stream import Pool

RECIPE = Recipe(
    "vqa",
    steps=6000,
    batch=64,
    lr=8e-4,
    warmup=200,
    weight_decay=0.02,
    average=0.997,
    seed=31,
    muon=1.5e-3,
)
FOLDER = export.FOLDER / "vqa"
SIDE = 64  # of the VQA's pictures, in pixels
BROKEN = 0.2  # share of broken pictures in a batch
SECOND = 0.2  # share of autoencoded and decoded pictures
WIDTH = 128  # of all layers
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]


def build_tokenizer(folder: Any) -> Any:
    """Build a `BertTokenizer` in which each word of the world and of the questions is one token.

    Any other text is split into letters. Its vocabulary is written to the folder.
    """
    from transformers import BertTokenizer

    texts = [STYLE_QUESTION, is_a("pet"), what_color("pet"), what_kind("pet"), "yes no"]
    questions = " ".join(texts).replace("?", " ?")
    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    whole = [*captions.words(CATEGORIES), *questions.split()]
    # A dictionary keeps the order and drops repetitions.
    vocabulary = dict.fromkeys([*SPECIAL, *whole, *letters, *("##" + c for c in letters)])
    with atomic_write(folder / "vocab.txt") as part:
        part.write_text("\n".join(vocabulary) + "\n", encoding="utf-8", newline="\n")
    return BertTokenizer.from_pretrained(folder, bos_token="[DEC]", model_max_length=32)


def build(words: Any) -> Any:
    """Build an untrained VQA for a tokenizer."""
    from transformers import BlipConfig, BlipForQuestionAnswering

    size = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "projection_dim": WIDTH,
        "num_attention_heads": 4,
    }
    text = size | {
        "vocab_size": len(words),
        "encoder_hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "max_position_embeddings": 32,
        "pad_token_id": words.pad_token_id,
        "bos_token_id": words.bos_token_id,
        "sep_token_id": words.sep_token_id,
        "eos_token_id": words.sep_token_id,
    }
    # By default weights start within 1e-10 of zero, since BLIP's are meant to be overwritten.
    vision = size | {
        "num_hidden_layers": 5,
        "image_size": SIDE,
        "patch_size": 8,
        "initializer_range": 0.02,
    }
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)
    return BlipForQuestionAnswering(config)


def nearest_species(scenes: Scenes) -> list[str]:
    """Find the most probable species of each scene's category."""
    names = [""] * len(scenes)
    for i, category in enumerate(CATEGORIES):
        rows = (scenes.category == i).nonzero()[:, 0]
        if len(rows):
            factors = scenes.factors[rows, : len(category.factors)]
            # The last column is that of no species.
            found = truth(category.name).posterior(factors)[:, :-1].argmax(1)
            for row, species in zip(rows.tolist(), found.tolist(), strict=True):
                names[row] = list(category.species)[species]
    return names


def quiz(scenes: Scenes, broken: Tensor, rng: random.Random) -> list[tuple[int, str, str]]:
    """Return rows of pictures with questions and their right answers.

    A broken picture is only asked for its category, and the answer is no.
    """
    asked = []
    categories = scenes.category.tolist()
    flags = broken.tolist()
    kinds = nearest_species(scenes)
    style = style_names(scenes.style)
    color_visible = styles.color_visible(scenes.style).tolist()
    for row, (number, is_broken) in enumerate(zip(categories, flags, strict=True)):
        category = CATEGORIES[number]
        other = rng.choice([each.name for each in CATEGORIES if each is not category])
        asked.append((row, is_a(category.name), "no" if is_broken else "yes"))
        if rng.random() < 0.5:
            asked.append((row, is_a(other), "no"))
        if is_broken:
            continue
        asked.append((row, what_kind(category.name), kinds[row]))
        if style[row]:
            asked.append((row, STYLE_QUESTION, str(style[row])))
        if color_visible[row]:
            value = scenes.factors[row, len(category.factors) - 1]
            color = list(category.factor("color").values)[value]
            asked.append((row, what_color(category.name), color))
    return asked


def answer_loss(
    model: Any, words: Any, pictures: Tensor, asked: list[tuple[int, str, str]]
) -> Tensor:
    """Compute the cross-entropy of the answers' tokens in nats, looking at each picture once.

    `BlipForQuestionAnswering` computes the same. Questions of one length go in together, since
    BLIP's decoder does not mask a question's padding, and no question is padded at inference.
    """
    device = pictures.device
    every = model.vision_model(pixel_values=pictures).last_hidden_state
    lengths = [len(words(question).input_ids) for _, question, _ in asked]
    total = every.new_zeros((), dtype=torch.float32)
    count = 0
    for length in sorted(set(lengths)):
        same_length = [one for one, own in zip(asked, lengths, strict=True) if own == length]
        rows, questions, answers = zip(*same_length, strict=True)
        tokens = every[torch.tensor(rows, device=device)]
        everywhere = torch.ones(tokens.shape[:2], dtype=torch.long, device=device)
        question = words(list(questions), return_tensors="pt").to(device)
        states = model.text_encoder(
            input_ids=question.input_ids,
            attention_mask=question.attention_mask,
            encoder_hidden_states=tokens,
            encoder_attention_mask=everywhere,
        ).last_hidden_state
        answer = words(list(answers), padding=True, return_tensors="pt")
        count += int(answer.attention_mask[:, 1:].sum())
        answer = answer.to(device)
        ids = answer.input_ids.clone()
        ids[:, 0] = words.bos_token_id
        logits = model.text_decoder(
            input_ids=ids,
            attention_mask=answer.attention_mask,
            encoder_hidden_states=states,
            encoder_attention_mask=question.attention_mask,
        ).logits
        target = ids[:, 1:].masked_fill(answer.attention_mask[:, 1:] == 0, -100)
        logits = logits[:, :-1].flatten(0, 1).float()
        total = total + cross_entropy(logits, target.flatten(), ignore_index=-100, reduction="sum")
    return total / count


def prepare(
    pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
) -> dict[str, Tensor]:
    """Return the pictures shrunk to SIDE, in bytes."""
    return {"pixels": smaller(pictures)}


def smaller(pictures: Float[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 s s"]:
    """Shrink pictures in [0, 1] to SIDE, in bytes."""
    return in_bytes(avg_pool2d(pictures, stream.SIDE // SIDE))


def main(run: Run) -> dict:
    """Train the VQA and write it with its processor."""
    from transformers import BlipImageProcessor, BlipProcessor

    torch.manual_seed(RECIPE.seed)
    device = run.device
    words = build_tokenizer(FOLDER)
    model = build(words).to(device)
    pool = Pool(prepare, device, RECIPE.batch)
    pixels, shown = second_hand()
    parts = [smaller(as_picture(part)) for part in pixels.split(stream.PART)]
    reused = torch.cat(parts).to(device)
    shown = placed(shown, device)
    count = round(SECOND * RECIPE.batch)
    broken = torch.arange(RECIPE.batch, device=device) < BROKEN * RECIPE.batch

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        lesson = pool.draw(step, generator)
        x = as_picture(lesson.inputs["pixels"])
        rows = torch.randint(len(reused), (count,), generator=generator, device=device)
        x[-count:] = as_picture(reused[rows])
        scenes = replaced(lesson.scenes, slice(-count, None), shown[rows])
        x[broken] = break_pictures(x[broken], scenes.category[broken], generator)
        asked = quiz(placed(scenes, "cpu"), broken.cpu(), random.Random(step))
        value = answer_loss(model=model, words=words, pictures=x * 2 - 1, asked=asked)
        return {"loss": value}

    facts = train(model, loss, RECIPE, minutes=run.minutes)
    save_half(model, FOLDER)
    half = [0.5] * 3
    size = {"height": SIDE, "width": SIDE}
    pictures = BlipImageProcessor(size=size, image_mean=half, image_std=half)
    BlipProcessor(pictures, words).save_pretrained(FOLDER)
    export.note("vqa", facts)
    export.sums()
    return facts
