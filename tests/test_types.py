"""Under test every call is checked against its signature, shapes included (see conftest.py): the proof that it is."""

from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError

from ebm_exp.energy import Gaussian
from ebm_exp.energy.base import energy_gradient
from ebm_exp.objective import Entropy
from ebm_exp.regularization import Phase

ENERGY, X = Gaussian((2,)), torch.ones(4, 2)

WRONG = {
    "no batch": lambda: ENERGY(torch.tensor(1.0)),
    "levels instead of numbers": lambda: ENERGY(X.long()),
    "energies [batch, 1]": lambda: energy_gradient(lambda x: x.sum(1, keepdim=True), X),
    "one energy for the whole batch": lambda: energy_gradient(lambda x: x.sum(), X),
    "labels of other points": lambda: Phase(X, ENERGY(X), ENERGY, torch.zeros(5, dtype=torch.int64)),
    "labels that are no integers": lambda: Phase(X, ENERGY(X), ENERGY, torch.zeros(4)),
    "points of two shapes": lambda: Entropy().log_r(X, torch.zeros(9, 3)),
    "text for a number": lambda: Entropy(weight="0.3"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_a_signature_rules_out_is_refused(what: str) -> None:
    call: Callable[[], object] = WRONG[what]
    with pytest.raises(TypeCheckError):
        call()


def test_what_it_allows_is_taken() -> None:
    assert ENERGY(X).shape == (4,)
    assert energy_gradient(ENERGY, X)[1].shape == (4, 2)
    assert Phase(X, ENERGY(X), ENERGY, torch.zeros(4, dtype=torch.int64)).y is not None
    assert Entropy(weight=1).log_r(X, torch.zeros(9, 2)).shape == (4,)  # a whole number is a number


@pytest.mark.usefixtures("unchecked")
def test_the_checks_can_be_left_out() -> None:
    assert ENERGY(X.long()).shape == (4,)
