"""References as readers see them wherever they open a chapter: links made from references.bib."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pybtex.database import parse_file
from pybtex.richtext import Text

FILE = Path(__file__).parents[2] / "book" / "references.bib"
# Longer lists of authors end in "and others".
MOST_CITED = 2
MOST_LISTED = 4
# Where a citation of a work without a page leads.
NOWHERE = "#references"
PLACES = ("journal", "booktitle", "publisher", "institution", "howpublished")


@dataclass(frozen=True)
class Work:
    """A work of the bibliography, as chapters write of it."""

    # Family names, "and others" for most of a long list.
    names: str
    year: str
    # The page that citations lead to; the chapter's references for a work that the web lacks.
    link: str
    # The work's line in a chapter's references.
    line: str

    @property
    def citation(self) -> str:
        return f"[{self.names}, {self.year}]({self.link})"

    def is_cited(self, text: str) -> bool:
        """Look for the citation, or for the names in the text and the year as a link."""
        names = r"\s+".join(re.escape(word) for word in self.names.split())
        year = re.escape(f"[{self.year}]({self.link})")
        return self.citation in text or re.search(rf"{names},?\s\(?{year}", text) is not None


@cache
def works() -> dict[str, Work]:
    """Read the bibliography, by keys."""
    return {key: _work(entry) for key, entry in parse_file(str(FILE)).entries.items()}


def faults(text: str) -> list[str]:
    """List what is wrong with the citations in a chapter's text and with its references."""
    body, _, listed = text.partition("\n## References\n")
    lines = [line for line in listed.splitlines() if line.startswith("- ")]
    found = []
    for work in works().values():
        cited = work.is_cited(body)
        if work.link != NOWHERE and work.link in body and not cited:
            found.append(f"{work.link} is cited otherwise than as {work.citation}")
        if cited and work.line not in lines:
            found.append(f"the references lack: {work.line}")
        if work.line in lines and not cited:
            found.append(f"the references have, and nobody cites: {work.line}")
    known = {work.line for work in works().values()}
    return found + [f"not as in the bibliography: {line}" for line in lines if line not in known]


# pybtex declares that the fields of its entries and persons may be None: hence Any.
def _work(entry: Any) -> Work:
    people = entry.persons["author"]
    year = entry.fields["year"]
    title = _plain(entry.fields["title"])
    link = _address(entry)
    named = f"*{title}*" if link == NOWHERE else f"[{title}]({link})"
    place = next((_plain(entry.fields[name]) for name in PLACES if name in entry.fields), "")
    where = f" {place.removeprefix('arXiv preprint ')}." if place else ""
    authors = _joined([_whole_name(person) for person in people], MOST_LISTED)
    return Work(
        names=_joined([_family_name(person) for person in people], MOST_CITED),
        year=year,
        link=link,
        line=f"- {authors} ({year}). {named}.{where}",
    )


def _address(entry: Any) -> str:
    if "doi" in entry.fields:
        # Parentheses would end a link in Markdown.
        doi = entry.fields["doi"].replace("(", "%28").replace(")", "%29")
        return f"https://doi.org/{doi}"
    return entry.fields.get("url", NOWHERE)


def _joined(names: list[str], most: int) -> str:
    if len(names) > most or names[-1] == "others":
        return f"{names[0]} and others"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _family_name(person: Any) -> str:
    return _plain(" ".join([*person.prelast_names, *person.last_names]))


def _whole_name(person: Any) -> str:
    return _plain(" ".join([*person.first_names, *person.middle_names, _family_name(person)]))


def _plain(latex: str) -> str:
    """Turn LaTeX's accents and braces into plain text."""
    return str(Text.from_latex(latex))
