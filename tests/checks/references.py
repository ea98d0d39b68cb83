"""References as readers see them wherever they open a chapter: links made from references.bib."""

from pathlib import Path

from pybtex.database import BibliographyData, Entry, Person, parse_file
from pybtex.richtext import Text

FILE = Path(__file__).parents[2] / "book" / "references.bib"
# Longer lists of authors end in "and others".
MOST_CITED = 2
MOST_LISTED = 4
PLACES = ("journal", "booktitle", "publisher", "institution", "howpublished")


def works() -> BibliographyData:
    """Read the works of the bibliography."""
    return parse_file(str(FILE))


def plain(latex: str) -> str:
    """Turn LaTeX's accents and braces into plain text."""
    return str(Text.from_latex(latex))


def family_name(person: Person) -> str:
    return plain(" ".join([*person.prelast_names, *person.last_names]))


def whole_name(person: Person) -> str:
    return plain(" ".join([*person.first_names, *person.middle_names, family_name(person)]))


def joined(names: list[str], most: int) -> str:
    """Join names with commas and an "and"; put "and others" for the rest of a long list."""
    if len(names) > most or names[-1] == "others":
        return f"{names[0]} and others"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def cited(entry: Entry) -> str:
    """Write who and when, as a citation in running text does."""
    names = joined([family_name(person) for person in entry.persons["author"]], MOST_CITED)
    return f"{names}, {entry.fields['year']}"


def address(entry: Entry) -> str | None:
    """Return the page that a citation leads to, or None for a work that the web does not have."""
    if "doi" in entry.fields:
        # Parentheses would end a link in Markdown.
        doi = entry.fields["doi"].replace("(", "%28").replace(")", "%29")
        return f"https://doi.org/{doi}"
    return entry.fields.get("url")


def line(entry: Entry) -> str:
    """Write a work's line in a chapter's references."""
    names = joined([whole_name(person) for person in entry.persons["author"]], MOST_LISTED)
    title = plain(entry.fields["title"])
    link = address(entry)
    work = f"[{title}]({link})" if link else f"*{title}*"
    place = next((plain(entry.fields[name]) for name in PLACES if name in entry.fields), "")
    ending = f" {place.removeprefix('arXiv preprint ')}." if place else ""
    return f"- {names} ({entry.fields['year']}). {work}.{ending}"
