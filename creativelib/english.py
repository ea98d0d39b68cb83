"""Words and texts: articles, singulars, templates, and the checks of texts that all doors share."""

import re
import unicodedata
from itertools import groupby

from .errors import InputError, listed, shown

# Plural endings and their replacements. The first that matches is applied, so "ties" loses only
# its "s" (one letter stands before "ies"), and "glass", "bus" and "iris" stay as they are.
PLURAL_ENDINGS = (
    (r"(?<=..)ies$", "y"),
    (r"(?:(?<=ss)|(?<=[cs]h)|(?<=[xz]))es$", ""),
    (r"(?<![sui])s$", ""),
)
# Characters of the longest text. No text encoder reads half as many, and cutting a longer text into
# tokens takes seconds.
LONGEST = 10_000
# A concept's place in a template, as a word of its own.
FREE_PLACE = re.compile(r"(?<!\w)\{\}(?!\w)")
# Invisible letters between joined or parted letters of Persian and Indian words.
JOINERS = "\u200c\u200d"
# What people write behind a comma to praise a picture, not to say what it shows.
PRAISE = re.compile(
    r"amazing|art|artstation|award|beautiful|best|cinematic|colors|detail|detailed|details|"
    r"digital|dramatic|extremely|focus|hd|hdr|high|highly|hyperrealistic|incredible|insanely|"
    r"intricate|lighting|masterpiece|of|on|perfect|photorealistic|professional|quality|raw|"
    r"realistic|render|rendering|resolution|sharp|stunning|trending|uhd|ultra|unreal|very|"
    r"vivid|winning",
    re.IGNORECASE,
)


def singular(text: str) -> str:
    """Undo the plural of the last word, by regular English spelling alone.

    >>> [singular(word) for word in ("musical instruments", "berries", "glasses", "bus")]
    ['musical instrument', 'berry', 'glass', 'bus']
    """
    for ending, replacement in PLURAL_ENDINGS:
        if re.search(ending, text):
            return re.sub(ending, replacement, text)
    return text


def article(noun: str) -> str:
    """Put "a" or "an" before a noun, judged by its first letter alone.

    >>> article("pet"), article("orange pet")
    ('a pet', 'an orange pet')
    """
    return ("an " if noun.startswith(tuple("aeiou")) else "a ") + noun


def clean_text(name: str, value: object) -> str:
    """Return a text with single spaces and composed accents (Unicode's NFC), as encoders read it.

    Raises InputError for an empty text, one of more than LONGEST characters, and one with control
    characters, such as a null, or halves of characters, which no tokenizer reads.

    >>> clean_text("prompt", " a  cafe\\u0301 ") == "a caf\\u00e9"
    True
    """
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{name} is {shown(value)}; expected a text")
    if len(value) > LONGEST:
        raise InputError(
            f"{name} has {len(value)} characters; expected a text of at most {LONGEST}"
        )
    text = unicodedata.normalize("NFC", " ".join(value.split()))
    odd = [letter for letter in text if unicodedata.category(letter) in ("Cc", "Cs")]
    if odd:
        raise InputError(f"{name} is {shown(value)}; expected a text without {odd[0]!r}")
    return text


def clean_word(name: str, value: object) -> str:
    """Return what a concept may start from or be unlike: a clean text that is no template."""
    word = clean_text(name, value)
    if "{}" in word:
        raise InputError(f"{name} is {shown(word)}; expected a word, without {{}}")
    return word


def clean_words(name: str, values: object, least: int = 0) -> tuple[str, ...]:
    """Return a list of different words, each clean.

    Raises InputError for a plain text, whose letters would count as words; for fewer than `least`
    words; and for a word that comes twice, in small letters or large ones: it would count twice.
    """
    words = tuple(clean_word(name, value) for value in listed(name, values, least))
    small = [word.casefold() for word in words]
    twice = [word for word, own in zip(words, small, strict=True) if small.count(own) > 1]
    if twice:
        raise InputError(
            f"{name} is {shown(list(words))}; expected different words, not {shown(twice[0])} twice"
        )
    return words


def different_texts(name: str, values: object) -> tuple[str, ...]:
    """Return a list of one or more texts, such as names. Raises InputError if two are the same."""
    texts = listed(name, values, 0)
    named = [text for text in texts if isinstance(text, str) and text.strip()]
    if not texts or len(set(named)) < len(texts):
        raise InputError(f"{name} is {shown(values)}; expected one or more texts, no two alike")
    return texts


def check_template(template: object, name: str = "template") -> None:
    """Raise InputError for a template without exactly one free-standing {}."""
    text = clean_text(name, template)
    if len(FREE_PLACE.findall(text)) != 1 or text.count("{}") != 1:
        raise InputError(
            f"{name} is {shown(template)}; expected a text with exactly one {{}} as a separate "
            "word: the concept's place"
        )


def clean_templates(name: str, values: object) -> tuple[str, ...]:
    """Return a list of at least one template, or raise InputError. The same may come twice."""
    templates = listed(name, values)
    for template in templates:
        check_template(template, name)
    return templates


def fill(template: str, word: str) -> str:
    """Put a word in a template's place. Other braces stay as they are.

    >>> fill("a {red} {}", "pet")
    'a {red} pet'
    """
    return template.replace("{}", word)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Find where the words of a text begin and end: runs of letters, accents and digits.

    A run that begins with a digit, such as 4k, is no word.

    >>> [text[a:b] for text in ["a pet, 4k"] for a, b in word_spans(text)]
    ['a', 'pet']
    """
    kinds = "".join(map(_kind, text))
    runs = re.finditer(r"[LMN]+", kinds)
    return [run.span() for run in runs if run.group()[0] == "L"]


def subject_span(prompt: str) -> tuple[int, int] | None:
    """Find the word of a prompt that says what to draw: the last one.

    Praise behind commas, such as "highly detailed, 8k", does not count. None without any word.

    >>> [prompt[slice(*subject_span(prompt))] for prompt in ("a red pet", "a pet, best quality")]
    ['pet', 'pet']
    """
    grouped = groupby(word_spans(prompt), key=lambda span: prompt.count(",", 0, span[0]))
    clauses = [list(spans) for _, spans in grouped]
    while len(clauses) > 1 and all(PRAISE.fullmatch(prompt, *span) for span in clauses[-1]):
        clauses.pop()
    return clauses[-1][-1] if clauses else None


def _kind(letter: str) -> str:
    """Return the first letter of a character's category: L for letters, M for marks, N for digits.

    Joiners stand within words as marks do. An underscore counts as a digit: `FREE_PLACE` takes it
    for a part of a word.
    """
    if letter in JOINERS:
        return "M"
    return "N" if letter == "_" else unicodedata.category(letter)[0]
