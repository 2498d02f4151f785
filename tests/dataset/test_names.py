"""Names are text, whatever YAML makes of them."""

import re

import pytest
import yaml

from ebm_exp.dataset.names import find, find_classes
from ebm_exp.dataset.subset import choose_classes
from ebm_exp.types import Name

NAMES = ["cat", "true", "no", "null", "1", "1e3", "07", "Yes"]


@pytest.mark.parametrize(
    ("called", "position"),
    [
        *[(name, i) for i, name in enumerate(NAMES)],
        *[(yaml.safe_load(name), i) for i, name in enumerate(NAMES) if name not in ("true", "Yes", "07")],
        (1000.0, 5), (7.0, 6), (False, 2), (None, 3), (1, 4), (2, 2), (2.0, 2), ("2", None), (8, None), (-1, None),
        ("False", None), (1.5, None), (float("nan"), None), (10**400, None),
    ],
)  # fmt: skip
def test_a_name_is_found_as_it_was_read(called: Name, position: int | None) -> None:
    assert find(called, NAMES) == position


def test_what_could_be_several_is_none() -> None:
    with pytest.raises(ValueError, match=r"classes: True is the name of several; which one, quotes say"):
        choose_classes([True], NAMES)  # true and Yes
    with pytest.raises(ValueError, match="is the name of several"):
        find(1.0, ["1", "1.0"])
    assert find("1.0", ["1", "1.0"]) == 1
    assert find(-1, NAMES, from_the_end=True) == 7


def test_true_is_no_number_of_a_class() -> None:
    assert choose_classes([True], ["0", "true"]) == [1]
    with pytest.raises(ValueError, match=r"classes: must be different ones of 0, 1, got \[True\]"):
        choose_classes([True], ["0", "1"])


@pytest.mark.parametrize(
    ("called", "found"), [("cat", [0]), (1, [1]), (["dog", "cat"], [1, 0]), ((0, "7"), [0, 2]), (7, [2]), ([True], [3])]
)
def test_classes_by_name_or_number(called: object, found: list[int]) -> None:
    assert find_classes("label", called, ["cat", "dog", "7", "true"]) == found


@pytest.mark.parametrize("called", ["bird", 2, -1, [], ["cat", "bird"], "", None])
def test_a_refusal_names_the_classes(called: object) -> None:
    said = rf"label: must be of the classes cat, dog, or of their numbers 0 to 1, got {re.escape(str(called))}"
    with pytest.raises(ValueError, match=said):
        find_classes("label", called, ["cat", "dog"])
    with pytest.raises(ValueError, match=r"label: must be classes from 0 to 9, got 10"):
        find_classes("label", 10, [str(k) for k in range(10)])
    with pytest.raises(ValueError, match=r"label: 1000.0 is the name of several; quotes say which: label='…'"):
        find_classes("label", 1e3, ["1e3", "1000"])
