"""What mkdocs does beside: pages that are made of the project (docs/reference.py), and links that lead out of docs/."""

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # ebm_exp of this checkout
sys.path.insert(0, str(ROOT / "docs"))

import reference  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402


def on_files(files: Files, config: Any) -> Files:
    """Add what lies outside of docs/, and the pages of the config groups."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    results = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    pages = {"index.md": readme, "results.md": results}
    pages |= {f"reference/{group}.md": reference.of_group(group) for group in reference.groups()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    for path in ("examples/own_data.ipynb", "LICENSE"):
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links of the repository as links of the site; folded tables, which Markdown does not read, open."""
    path = page.file.src_uri
    if path in ("index.md", "results.md"):
        markdown = re.sub(r"\]\(docs/", "](", markdown)
    markdown = markdown.replace("](../../RESULTS.md", "](../results.md")  # of what docs/choices.md says of a group
    if "/" not in path:
        markdown = re.sub(r"\]\((?:\.\./)?RESULTS\.md", "](results.md", markdown)
        markdown = markdown.replace("](../examples/", "](examples/").replace("](../README.md", "](index.md")
    if path == "choices.md":
        link = r"## [\1](reference/\1.md): \2\n\3"
        markdown = reference.SECTION.sub(link, markdown)
    return markdown.replace("<!-- symptoms -->", reference.symptoms()) if "<!-- symptoms -->" in markdown else markdown


def on_post_build(config: Any) -> None:
    """Leave out what no page asks for: maps of minified scripts, the search in other languages."""
    assets = Path(config.site_dir) / "assets"
    for file in (*assets.rglob("*.map"), *(assets / "javascripts" / "lunr").rglob("*.js")):
        file.unlink()
