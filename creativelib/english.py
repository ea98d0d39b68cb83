"""English articles and singulars."""

import re


def singular(text: str) -> str:
    """The last word's plural undone, by regular English spelling alone."""
    for ending, instead in (
        (r"(?<=..)ies$", "y"),
        (r"(?:(?<=ss)|(?<=[cs]h)|(?<=[xz]))es$", ""),
        (r"(?<![sui])s$", ""),
    ):
        if re.search(ending, text):
            return re.sub(ending, instead, text)
    return text


def article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun
