"""Is the built site whole? ``python docs/check.py site`` names what is not, one line each, and exits 1.

Links and images of all pages lead to files that are there, and to headings that these have; a page has one h1 and skips
no level of headings; each image has a text; nothing is fetched from elsewhere; all of it takes at most 8 MB.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

MOST = 8e6  # bytes
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What a page says that is checked: levels of headings, ids, links, what it loads, images without a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.silent: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take in one tag."""
        given = dict(attrs)
        self.ids |= {str(given[name]) for name in ("id", "name") if given.get(name)}
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.levels.append(int(tag[1]))
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if tag == "img" and not given.get("alt"):
            self.silent.append(str(given.get("src")))
        of_link = "href" if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload") else ""
        if given.get(FETCHED.get(tag, of_link)):
            self.loads.append(str(given[FETCHED.get(tag, of_link)]))


def check(site: Path) -> list[str]:
    """What is wrong with a site, one line each."""
    pages = {file.resolve(): Page(file.read_text(encoding="utf-8")) for file in sorted(site.rglob("*.html"))}
    wrong = [] if pages else [f"{site}: there is no page"]
    for file, page in pages.items():
        name = file.relative_to(site.resolve())
        if name.name == "404.html":
            continue  # its links begin at the root of wherever it is served
        if page.levels.count(1) != 1:
            wrong.append(f"{name}: {page.levels.count(1)} headings of the first level")
        skips = [b for a, b in zip(page.levels, page.levels[1:], strict=False) if b > a + 1]
        wrong += [f"{name}: a heading of level {level} has none above it" for level in skips]
        wrong += [f"{name}: {source} has no alt text" for source in page.silent]
        wrong += [f"{name}: loads {url} from elsewhere" for url in page.loads if urlsplit(url).netloc]
        for url in (*page.links, *page.loads):
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                wrong.append(f"{name}: {url} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                wrong.append(f"{name}: {url} names no heading there")
    size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file())
    return wrong + [f"{site}: {size / 1e6:.1f} MB, at most {MOST / 1e6:g} are meant"] * (size > MOST)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} <site>")
    sys.exit("\n".join(check(Path(sys.argv[1]))) or 0)
