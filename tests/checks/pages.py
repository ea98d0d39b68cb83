"""Checks of the rendered pages: local links and fragments have targets, pictures alt texts."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Page(HTMLParser):
    """A parsed page."""

    text: str
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    # Addresses with alt texts, None where the attribute is missing.
    pictures: list[tuple[str, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids |= {value for value in (values.get("id"), values.get("name")) if value}
        if not (tag == "link" and values.get("rel") == "canonical"):
            self.links += [value for value in (values.get("href"), values.get("src")) if value]
        if tag == "img":
            self.pictures.append((values.get("src") or "", values.get("alt")))


def faults(root: Path) -> list[str]:
    """List everything that is wrong with the pages below a folder, one line each.

    Links to other machines are not followed.
    """
    root = root.resolve()
    pages = {
        file: Page(file.read_text(encoding="utf-8"))
        for file in root.rglob("*.html")
        if "_static" not in file.parts
    }
    found = []
    for file, page in pages.items():
        name = file.relative_to(root)
        # Without a written alt text, a code cell's picture gets its file's path.
        for picture, alt in page.pictures:
            if not alt or not alt.strip() or "_images/" in alt:
                found.append(f"{name}: picture {picture[:60]} has the alt text {alt!r}")
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if not target.is_file():
                found.append(f"{name}: {link} leads to no file")
            elif (
                parts.fragment
                and target in pages
                and unquote(parts.fragment) not in pages[target].ids
            ):
                found.append(f"{name}: {link} leads to no such place on its page")
    return found
