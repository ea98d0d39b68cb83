"""The VQA's questions and answers, and the start of its vision transformer."""

import random

import pytest
import torch

from creativelib.training import vqa
from creativelib.vision.vqa import STYLE_QUESTION, is_a, what_color, what_kind
from creativelib.world import CATEGORIES, styles, truth
from creativelib.world.scenes import sample_scenes


def scenes(n=200, wild=0.5):
    return sample_scenes(n, torch.Generator().manual_seed(0), wild)


def test_answers_are_the_scenes_own():
    drawn = scenes()
    broken = torch.arange(200) < 40
    asked = vqa.quiz(drawn, broken, random.Random(0))
    answers = {(row, question): answer for row, question, answer in asked}
    for row in range(200):
        category = CATEGORIES[int(drawn.category[row])]
        assert answers[row, is_a(category.name)] == ("no" if row < 40 else "yes")
        if row < 40:
            assert all(answer == "no" for (r, _), answer in answers.items() if r == row)
            continue
        species = int(drawn.species[row])
        factors = drawn.factors[row : row + 1, : len(category.factors)]
        if species >= 0 and truth(category.name).posterior(factors).argmax() == species:
            assert answers[row, what_kind(category.name)] == list(category.species)[species]
        visible = bool(styles.color_visible(drawn.style[row : row + 1]))
        assert ((row, what_color(category.name)) in answers) == visible
        if visible:
            value = int(drawn.factors[row, len(category.factors) - 1])
            color = list(category.factor("color").values)[value]
            assert answers[row, what_color(category.name)] == color
        if (row, STYLE_QUESTION) in answers:
            assert styles.index(answers[row, STYLE_QUESTION]) == drawn.style[row].tolist()
    others = [
        question
        for _, question, answer in asked
        if question.startswith("is this") and answer == "no"
    ]
    assert len(others) > 100


def test_wild_pictures_get_the_nearest_species():
    wild = scenes(60, 1.0)
    for row, name in enumerate(vqa.nearest_species(wild)):
        category = CATEGORIES[int(wild.category[row])]
        factors = wild.factors[row : row + 1, : len(category.factors)]
        posterior = truth(category.name).posterior(factors)[0, :-1]
        assert list(category.species)[int(posterior.argmax())] == name


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    torch.manual_seed(0)
    words = vqa.build_tokenizer(tmp_path_factory.mktemp("words"))
    return vqa.build(words).eval(), words


def test_the_loss_is_blips_own(tiny):
    model, words = tiny
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    asked = [(0, "is this a pet?", "yes"), (1, "is this a cat?", "no")]
    with torch.no_grad():
        ours = vqa.answer_loss(model=model, words=words, pictures=pictures, asked=asked)
        questions = [question for _, question, _ in asked]
        answers = [answer for *_, answer in asked]
        encoded = words(questions, return_tensors="pt", padding=True)
        labels = words(answers, return_tensors="pt", padding=True).input_ids
        labels[:, 0] = words.bos_token_id
        theirs = model(
            input_ids=encoded.input_ids,
            attention_mask=encoded.attention_mask,
            pixel_values=pictures,
            labels=labels,
        ).loss
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-4)


def test_questions_of_other_lengths_change_no_loss(tiny):
    model, words = tiny
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    asked = [
        (0, "is this a pet?", "yes"),
        (1, "what kind of musical instrument is in this photo?", "no"),
    ]
    with torch.no_grad():
        both, *each = (
            vqa.answer_loss(model=model, words=words, pictures=pictures, asked=some)
            for some in (asked, *([one] for one in asked))
        )
    assert both.item() == pytest.approx(sum(loss.item() for loss in each) / 2, rel=1e-4)


def test_the_vision_transformer_starts_with_weights_to_learn_from(tiny):
    """Nothing would be learned from BLIP's default, which is within 1e-10 of zero."""
    model, _ = tiny
    matrices = [p for p in model.vision_model.parameters() if p.ndim > 1]
    assert all(p.std() > 0.01 for p in matrices)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        one, other = model.vision_model(pictures).last_hidden_state
    assert (one - other).abs().mean() > 1e-2
