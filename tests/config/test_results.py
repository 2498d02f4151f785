"""RESULTS.md is what the result files say, and nothing else."""

import re
from pathlib import Path

import pytest

from benchmarks import results

PAGE = results.RESULTS.read_text(encoding="utf-8")
BLOCKS = results.blocks(PAGE)


@pytest.mark.parametrize("name", sorted(set(BLOCKS) - {results.CONTENTS}))
def test_a_block_is_what_its_script_says_of_its_file(name: str) -> None:
    assert BLOCKS[name] == results.told(name)


def test_it_begins_with_a_list_of_what_it_has() -> None:
    assert BLOCKS[results.CONTENTS] == results.contents(PAGE)
    assert len(BLOCKS[results.CONTENTS].splitlines()) == len(re.findall(r"^##", PAGE, re.MULTILINE)) > 10


def test_nothing_stands_in_it_beside() -> None:
    _, _, below = PAGE.partition("<!-- end contents -->")
    assert not [line for line in results.BLOCK.sub("", below).splitlines() if line and not line.startswith("## ")]


def test_a_block_is_replaced_as_a_whole_and_a_new_one_goes_to_the_end(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n<!-- begin contents -->\n<!-- end contents -->\n\n## Of (2)\n\n<!-- begin a -->\nb\n<!-- end a -->\n"
    )
    results.write_block("a", "### More\n\\1", page)
    results.write_block("c", "d", page)
    said = {"contents": "- [Of (2)](#of-2)\n    - [More](#more)", "a": "### More\n\\1", "c": "d"}
    assert results.blocks(page.read_text()) == said
