"""Checks of the rendered pages: local links and fragments have targets, pictures alt texts.

And nothing is fetched from another host, so that pages work without a network.
"""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {"script", "link", "img", "iframe", "source", "video", "audio", "embed", "object"}
IN_STYLE = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s;]+)""")


@dataclass
class Page(HTMLParser):
    """A parsed page."""

    text: str
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    # Addresses with alt texts, None where the attribute is missing.
    pictures: list[tuple[str, str | None]] = field(default_factory=list)
    # Addresses that a browser fetches by itself.
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids |= {value for value in (values.get("id"), values.get("name")) if value}
        if not (tag == "link" and values.get("rel") == "canonical"):
            addresses = [values.get(name) for name in ("href", "src", "data")]
            self.links += [address for address in addresses[:2] if address]
            if tag in FETCHED:
                self.fetched += [address for address in addresses if address]
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


def remote(root: Path) -> list[str]:
    """List what pages and styles below a folder fetch from other hosts, one line each."""
    found = []
    for file in sorted(root.rglob("*.html")):
        addresses = Page(file.read_text(encoding="utf-8")).fetched
        found += [
            f"{file.relative_to(root)}: {link}" for link in addresses if urlsplit(link).netloc
        ]
    for file in sorted(root.rglob("*.css")):
        addresses = IN_STYLE.findall(file.read_text(encoding="utf-8"))
        found += [f"{file.relative_to(root)}: {link}" for link in addresses]
    return found
