"""What mkdocs does beside: pages that are made of the project, and links that lead out of docs/."""

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # ebm_exp of this checkout
sys.path.insert(0, str(ROOT / "docs"))

import recipes  # noqa: E402
import reference  # noqa: E402
import symptoms  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402

PAGES = {f"{name}.md": f"{name.lower()}.md" for name in ("RESULTS", "CHANGELOG", "CONTRIBUTING")}  # of the root
PAGES["README.md"] = "index.md"
LINK = re.compile(r"\]\(((?:\.\./)*)([^)#:]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add pages and files that lie outside of docs/, and the pages of the config groups."""
    pages = {path: (ROOT / name).read_text(encoding="utf-8") for name, path in PAGES.items()}
    written = {file.src_uri: file.content_string for file in files.documentation_pages() if file.abs_src_path}
    pages |= reference.pages() | {"reference/experiment.md": recipes.overview(written)}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    named = {path for text in (*pages.values(), *written.values()) for _, path in LINK.findall(text)} - set(PAGES)
    for path in sorted(named):
        if (ROOT / path).is_file() and not path.startswith("docs/"):  # examples, the licence
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links of the repository as links of the site; folded tables, which Markdown does not read, open."""
    path = page.file.src_uri
    if path == "choices.md":
        markdown = reference.SECTION.sub(r"## [\1](reference/\1.md): \2\n\3", markdown)
    markdown = recipes.filled(markdown)
    markdown = LINK.sub(lambda link: f"]({_on_site(path, *link.groups())}", markdown)
    return markdown.replace("<!-- symptoms -->", symptoms.page()) if "<!-- symptoms -->" in markdown else markdown


def _on_site(page: str, up: str, path: str) -> str:
    """Where a link of a page leads: pages of the root and of docs/ are side by side, other files keep their place."""
    back = "../" * page.count("/")
    if page in PAGES.values():
        return PAGES.get(path, path.removeprefix("docs/"))
    if len(up) > len(back):  # out of docs/
        return back + PAGES.get(path, path)
    return up + path


def on_post_build(config: Any) -> None:
    """Leave out what no page asks for: maps of minified scripts, the search in other languages."""
    assets = Path(config.site_dir) / "assets"
    for file in (*assets.rglob("*.map"), *(assets / "javascripts" / "lunr").rglob("*.js")):
        file.unlink()
