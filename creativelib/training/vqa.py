"""The VQA: a small `BlipForQuestionAnswering` (Li et al., arXiv 2201.12086), asked four questions.

It is asked what kind of a category a picture shows (for a wild one, the nearest species by the
world's truth), whether it is a given category (no for broken pictures), and for its style and its
color, where these have a name and can be seen.

BLIP's vision transformer started from one that was trained on other pictures. This one starts from
nothing, since CLIP's here is of another size, and so it is trained for longer.
"""

import random
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, cross_entropy

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
SIDE = 64  # of the pictures that it looks at
BROKEN = 0.2  # share of broken pictures in a batch
SECOND = 0.2  # share of autoencoded and decoded ones
WIDTH = 128
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]


def build_tokenizer(folder: Any) -> Any:
    """Build a `BertTokenizer` to which words of the world and of the questions are one token each.

    Any other text is cut into letters.
    """
    from transformers import BertTokenizer

    questions = " ".join(
        [STYLE_QUESTION, is_a("pet"), what_color("pet"), what_kind("pet"), "yes no"]
    ).replace("?", " ?")
    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    known = [*captions.words(CATEGORIES), *questions.split()]
    vocabulary = dict.fromkeys([*SPECIAL, *known, *letters, *("##" + c for c in letters)])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return BertTokenizer.from_pretrained(folder, bos_token="[DEC]", model_max_length=32)


def build(words: Any) -> Any:
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
    # By default weights start within 1e-10 of zero, as others are to be loaded over them.
    vision = size | {
        "num_hidden_layers": 5,
        "image_size": SIDE,
        "patch_size": 8,
        "initializer_range": 0.02,
    }
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)
    return BlipForQuestionAnswering(config)


def nearest_species(scenes: Scenes) -> list[str]:
    """For each scene, its category's most probable species."""
    names = [""] * len(scenes)
    for i, category in enumerate(CATEGORIES):
        rows = (scenes.category == i).nonzero()[:, 0]
        if len(rows):
            found = (
                truth(category.name)
                .posterior(scenes.factors[rows, : len(category.factors)])[:, :-1]
                .argmax(1)
            )
            for row, species in zip(rows.tolist(), found.tolist(), strict=True):
                names[row] = list(category.species)[species]
    return names


def quiz(scenes: Scenes, broken: Tensor, rng: random.Random) -> list[tuple[int, str, str]]:
    """Pictures' numbers, questions, and right answers. Of a broken picture only its category is asked; it is none."""
    asked = []
    kinds = nearest_species(scenes)
    named = style_names(scenes.style)
    seen = styles.color_visible(scenes.style).tolist()
    for row, (c, lost) in enumerate(zip(scenes.category.tolist(), broken.tolist(), strict=True)):
        category = CATEGORIES[c]
        other = rng.choice([each.name for each in CATEGORIES if each is not category])
        asked.append((row, is_a(category.name), "no" if lost else "yes"))
        if rng.random() < 0.5:
            asked.append((row, is_a(other), "no"))
        if lost:
            continue
        asked.append((row, what_kind(category.name), kinds[row]))
        if named[row]:
            asked.append((row, STYLE_QUESTION, str(named[row])))
        if seen[row]:
            color = list(category.factor("color").values)[
                scenes.factors[row, len(category.factors) - 1]
            ]
            asked.append((row, what_color(category.name), color))
    return asked


def answer_loss(
    model: Any, words: Any, pictures: Tensor, asked: list[tuple[int, str, str]]
) -> Tensor:
    """Compute the cross-entropy of the answers' tokens in nats, looking at each picture once.

    It is what `BlipForQuestionAnswering` computes. Questions go in by their length, since BLIP's
    decoder does not mask the padding of a question, and no question is padded when it is asked.
    """
    device = pictures.device
    every = model.vision_model(pixel_values=pictures).last_hidden_state
    lengths = [len(words(question).input_ids) for _, question, _ in asked]
    total = every.new_zeros((), dtype=torch.float32)
    count = 0
    for length in sorted(set(lengths)):
        alike = [one for one, own in zip(asked, lengths, strict=True) if own == length]
        rows, questions, answers = zip(*alike, strict=True)
        seen = every[torch.tensor(rows, device=device)]
        told = words(list(questions), return_tensors="pt").to(device)
        looked = torch.ones(seen.shape[:2], dtype=torch.long, device=device)
        read = model.text_encoder(
            input_ids=told.input_ids,
            attention_mask=told.attention_mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=looked,
        ).last_hidden_state
        said = words(list(answers), padding=True, return_tensors="pt")
        count += int(said.attention_mask[:, 1:].sum())
        said = said.to(device)
        ids = said.input_ids.clone()
        ids[:, 0] = words.bos_token_id
        logits = model.text_decoder(
            input_ids=ids,
            attention_mask=said.attention_mask,
            encoder_hidden_states=read,
            encoder_attention_mask=told.attention_mask,
        ).logits
        target = ids[:, 1:].masked_fill(said.attention_mask[:, 1:] == 0, -100)
        logits = logits[:, :-1].flatten(0, 1).float()
        total = total + cross_entropy(logits, target.flatten(), ignore_index=-100, reduction="sum")
    return total / count


def see(
    pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
) -> dict[str, Tensor]:
    return {"pixels": smaller(pictures)}


def smaller(pictures: Float[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 s s"]:
    """Pictures in [0, 1] as the bytes that it looks at."""
    return in_bytes(avg_pool2d(pictures, stream.SIDE // SIDE))


def main(run: Run) -> dict:
    from transformers import BlipImageProcessor, BlipProcessor

    torch.manual_seed(RECIPE.seed)
    device = run.device
    words = build_tokenizer(FOLDER)
    model = build(words).to(device)
    pool = Pool(see, device, RECIPE.batch)
    used, shown = second_hand()
    used = torch.cat([smaller(as_picture(part)) for part in used.split(stream.PART)]).to(device)
    shown = placed(shown, device)
    count = round(SECOND * RECIPE.batch)
    broken = torch.arange(RECIPE.batch, device=device) < BROKEN * RECIPE.batch

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        lesson = pool.draw(step, generator)
        x = as_picture(lesson.seen["pixels"])
        second = torch.randint(len(used), (count,), generator=generator, device=device)
        x[-count:] = as_picture(used[second])
        scenes = replaced(lesson.scenes, slice(-count, None), shown[second])
        x[broken] = break_pictures(x[broken], scenes.category[broken], generator)
        asked = quiz(placed(scenes, "cpu"), broken.cpu(), random.Random(step))
        return {"loss": answer_loss(model, words, x * 2 - 1, asked)}

    facts = train(model, loss, RECIPE, minutes=run.minutes)
    save_half(model, FOLDER)
    half = [0.5] * 3
    size = {"height": SIDE, "width": SIDE}
    pictures = BlipImageProcessor(size=size, image_mean=half, image_std=half)
    BlipProcessor(pictures, words).save_pretrained(FOLDER)
    export.note("vqa", facts)
    export.sums()
    return facts
