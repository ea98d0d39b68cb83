"""The VQA: a small `BlipForQuestionAnswering` (Li et al., arXiv 2201.12086) that answers four questions about a picture.

Its vision transformer starts as CLIP's, as BLIP's started from one trained on other pictures. It is asked what kind of a category a
picture shows (for a wild one, the nearest species by the world's truth), whether it is a given category (no for broken pictures), and for
its style and its colour, where these have a name and can be seen.
"""

import random
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..vqa import STYLE, is_a, what_color, what_kind
from ..world import CATEGORIES, captions, styles, truth
from ..world.scenes import Scenes, style_names
from . import data, export
from .loop import Recipe, train
from .oracle import break_pictures, second_hand

RECIPE = Recipe("vqa", steps=2500, batch=64, lr=8e-4, warmup=200, weight_decay=0.02, average=0.997, seed=31, muon=1.5e-3)
FOLDER = export.FOLDER / "vqa"
BROKEN = 0.2  # share of broken pictures in a batch
SECOND = 0.2  # share of autoencoded and decoded ones
WIDTH = 128
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]


def build_tokenizer(folder: Any) -> Any:
    """A `BertTokenizer` in which every word of the world and of the questions is one token and any other text is cut into letters."""
    from transformers import BertTokenizer

    questions = " ".join([STYLE, is_a("pet"), what_color("pet"), what_kind("pet"), "yes no"]).replace("?", " ?")
    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    vocabulary = dict.fromkeys([*SPECIAL, *captions.words(CATEGORIES), *questions.split(), *letters, *("##" + c for c in letters)])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return BertTokenizer.from_pretrained(folder, bos_token="[DEC]", model_max_length=32)


def build(words: Any) -> Any:
    from transformers import BlipConfig, BlipForQuestionAnswering

    text = {"vocab_size": len(words), "hidden_size": WIDTH, "encoder_hidden_size": WIDTH, "intermediate_size": 4 * WIDTH,
            "projection_dim": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 32,
            "pad_token_id": words.pad_token_id, "bos_token_id": words.bos_token_id, "sep_token_id": words.sep_token_id,
            "eos_token_id": words.sep_token_id}
    vision = {"hidden_size": WIDTH, "intermediate_size": 512, "projection_dim": WIDTH, "num_hidden_layers": 5, "num_attention_heads": 4,
              "image_size": 64, "patch_size": 8, "hidden_act": "quick_gelu"}
    return BlipForQuestionAnswering(BlipConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


@torch.no_grad()
def start_from_clip(vision: Any, clip: Any, pictures: Tensor) -> None:
    """Copy CLIP's vision transformer. BLIP's has no norm after its embeddings, so that one's mean effect is folded into them."""
    source, embeddings = clip.vision_model, vision.embeddings
    raw = source.embeddings(pictures * 2 - 1)
    norm, deviation = source.pre_layrnorm, raw.std(-1).mean(0)  # one for each position
    scale = norm.weight[None] / deviation[:, None]
    embeddings.class_embedding.zero_()
    embeddings.patch_embedding.weight.copy_(source.embeddings.patch_embedding.weight * scale[1:].mean(0)[:, None, None, None])
    embeddings.patch_embedding.bias.zero_()
    position = source.embeddings.position_embedding.weight.clone()
    position[0] += source.embeddings.class_embedding
    embeddings.position_embedding.copy_((position * scale + norm.bias)[None])
    for mine, theirs in zip(vision.encoder.layers, source.encoder.layers, strict=True):
        attention = theirs.self_attn
        for kind in ("weight", "bias"):
            parts = [getattr(part, kind) for part in (attention.q_proj, attention.k_proj, attention.v_proj)]
            getattr(mine.self_attn.qkv, kind).copy_(torch.cat(parts))
        for to, of in ((mine.self_attn.projection, attention.out_proj), (mine.mlp, theirs.mlp), (mine.layer_norm1, theirs.layer_norm1),
                       (mine.layer_norm2, theirs.layer_norm2)):
            to.load_state_dict(of.state_dict())


def nearest_species(scenes: Scenes) -> list[str]:
    """For each scene, its category's most probable species."""
    names = [""] * len(scenes)
    for i, category in enumerate(CATEGORIES):
        rows = (scenes.category == i).nonzero()[:, 0]
        if len(rows):
            found = truth(category.name).posterior(scenes.factors[rows, : len(category.factors)])[:, :-1].argmax(1)
            for row, species in zip(rows.tolist(), found.tolist(), strict=True):
                names[row] = list(category.species)[species]
    return names


def quiz(scenes: Scenes, broken: Tensor, rng: random.Random) -> list[tuple[int, str, str]]:
    """Pictures' numbers, questions, and right answers. Of a broken picture only its category is asked; it is none."""
    asked, kinds, named = [], nearest_species(scenes), style_names(scenes.style)
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
            asked.append((row, STYLE, str(named[row])))
        if seen[row]:
            color = list(category.factor("color").values)[scenes.factors[row, len(category.factors) - 1]]
            asked.append((row, what_color(category.name), color))
    return asked


def answer_loss(model: Any, words: Any, pictures: Tensor, asked: list[tuple[int, str, str]]) -> Tensor:
    """Cross-entropy of the answers' tokens in nats, as `BlipForQuestionAnswering` computes it, but with each picture seen once.

    Questions of one length at a time: BLIP's decoder does not mask the padding of a question, and no question is padded when it is asked.
    """
    every = model.vision_model(pixel_values=pictures).last_hidden_state
    lengths = [len(words(question).input_ids) for _, question, _ in asked]
    total, count = every.new_zeros(()), 0
    for length in sorted(set(lengths)):
        rows, questions, answers = zip(*(one for one, own in zip(asked, lengths, strict=True) if own == length), strict=True)
        seen, told = every[list(rows)], words(list(questions), return_tensors="pt")
        read = model.text_encoder(input_ids=told.input_ids, attention_mask=told.attention_mask, encoder_hidden_states=seen,
                                  encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long)).last_hidden_state
        said = words(list(answers), padding=True, return_tensors="pt")
        ids = said.input_ids.clone()
        ids[:, 0] = words.bos_token_id
        logits = model.text_decoder(input_ids=ids, attention_mask=said.attention_mask, encoder_hidden_states=read,
                                    encoder_attention_mask=told.attention_mask).logits
        target = ids[:, 1:].masked_fill(said.attention_mask[:, 1:] == 0, -100)
        total = total + cross_entropy(logits[:, :-1].flatten(0, 1).float(), target.flatten(), ignore_index=-100, reduction="sum")
        count += int((target >= 0).sum())
    return total / count


def main() -> dict:
    from transformers import BlipImageProcessor, BlipProcessor

    torch.manual_seed(RECIPE.seed)
    pictures, words = data.load(), build_tokenizer(FOLDER)
    model = build(words)
    start_from_clip(model.vision_model, export.load_clip()[1], pictures.batch(torch.arange(64)))
    used, used_rows = second_hand(pictures)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(pictures), (RECIPE.batch,), generator=generator)
        second = torch.randint(len(used), (round(SECOND * RECIPE.batch),), generator=generator)
        rows[-len(second):] = used_rows[second]
        x, scenes = pictures.batch(rows), pictures.scenes[rows]
        x[-len(second):] = used[second].float() / 255
        broken = torch.arange(RECIPE.batch) < BROKEN * RECIPE.batch
        x[broken] = break_pictures(x[broken], scenes.category[broken], generator)
        return {"loss": answer_loss(model, words, x * 2 - 1, quiz(scenes, broken, random.Random(step)))}

    facts = train(model, loss, RECIPE)
    half = [0.5] * 3
    export.save_half(model, FOLDER)
    BlipProcessor(BlipImageProcessor(size={"height": 64, "width": 64}, image_mean=half, image_std=half), words).save_pretrained(FOLDER)
    export.note("vqa", facts)
    export.sums()
    return facts
