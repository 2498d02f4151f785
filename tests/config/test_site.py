"""docs/check.py names what is wrong with a built site."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("check", ROOT / "docs" / "check.py")
assert SPEC is not None
assert SPEC.loader is not None
site = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(site)

WHOLE = '<h1 id="a">A</h1><h2>B</h2><a href="b.html#c">c</a><a href="#a">a</a><a href="https://x.org">x</a>'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("b.html#c", "c.html", "a.html: c.html leads nowhere"),
        ("b.html#c", "b.html#d", "a.html: b.html#d names no heading there"),
        ("<h2>", "<h1>", "a.html: 2 headings of the first level"),
        ("<h2>", "<h3>", "a.html: a heading of level 3 has none above it"),
        ("<h2>", '<img src="b.html"><h2>', "a.html: b.html has no alt text"),
        ("<h2>", '<script src="https://cdn.org/x"></script><h2>', "a.html: loads https://cdn.org/x from elsewhere"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "b.html").write_text('<h1 id="c">C</h1>')
    (tmp_path / "a.html").write_text(WHOLE)
    assert site.check(tmp_path) == []
    (tmp_path / "a.html").write_text(WHOLE.replace(old, new))
    assert site.check(tmp_path) == [said]


def test_a_site_without_pages_and_a_large_one(tmp_path: Path) -> None:
    assert site.check(tmp_path) == [f"{tmp_path}: there is no page"]
    (tmp_path / "a.html").write_text("<h1>A</h1>")
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(9_000_000)
    assert site.check(tmp_path) == [f"{tmp_path}: 9.0 MB, at most 8 are meant"]


def test_pages_of_recipes_take_in_what_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import recipes

    pages = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "docs" / "recipes").glob("*.md")}
    assert recipes.places(pages)["du2021/cifar10"] == "du2021.md"
    with pytest.raises(ValueError, match="no page has <!-- experiments: du2021/"):
        recipes.places({name: text for name, text in pages.items() if name != "du2021.md"})
    filled = recipes.filled("<!-- results: papers | PCD -->\n<!-- results: evaluations | Garments, flow -->")
    assert filled.count("\n| ") == 3 + len(recipes.result("evaluations", ["Garments, flow"]).split("\n| ")) - 1
    assert "\n| PCD | 3 |" in filled
    assert "### Garments, flow\n" in filled
    for wanted, said in {
        "results: none": "names no block",
        "results: papers | X": "has no X",
        "experiments: x/*": "names none",
    }.items():
        with pytest.raises(ValueError, match=said):
            recipes.filled(f"<!-- {wanted} -->")
    for text in pages.values():
        recipes.filled(text)
