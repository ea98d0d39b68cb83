"""English articles and singulars."""

import re

# Plural endings and their replacements. The first that matches is applied, so "ties" loses only
# its "s" (one letter stands before "ies"), and "glass", "bus" and "iris" stay as they are.
PLURAL_ENDINGS = (
    (r"(?<=..)ies$", "y"),
    (r"(?:(?<=ss)|(?<=[cs]h)|(?<=[xz]))es$", ""),
    (r"(?<![sui])s$", ""),
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
    return ("an " if noun[0] in "aeiou" else "a ") + noun
