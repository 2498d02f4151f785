"""Denoising score matching: exact scores have the least loss, of each form, and what is learned has the right sign."""

import pytest
import torch
from torch import Tensor

from ebm_exp.config.errors import UserError
from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import MLP, Energy
from ebm_exp.energy.analytic import Gaussian
from ebm_exp.engine import Eager
from ebm_exp.noise import EDM, Flow
from ebm_exp.objective import DSM
from ebm_exp.regularization import GradientPenalty
from ebm_exp.trainer.build import build
from ebm_exp.types import Points
from tests.config.test_conf import composed
from tests.noise.exact import CPU, Exact, mixture

SIGMA = 0.3  # of the forms of one level
STDS = torch.tensor([0.9, 0.2])  # of a normal distribution in the plane


def data_of(x: Tensor) -> Dataset:
    return Dataset(name="points", domain=Domain(-5, 5, (2,)), train=x, test=x[:100].clone())


def objective(data: Dataset, form: str) -> DSM:
    return DSM(Eager(CPU), EDM(data, sigma_min=0.1, sigma_max=10.0), {}, form=form, noise_std=SIGMA)


def normal(n: int) -> Tensor:
    return STDS * torch.randn(n, 2, generator=torch.Generator().manual_seed(0))


class Scaled(Energy):
    """An energy times a number."""

    def __init__(self, energy: Energy, factor: float) -> None:
        super().__init__()
        self.energy, self.factor, self.context = energy, factor, energy.context

    def forward(self, x: Tensor, **context: Tensor) -> Tensor:
        return self.factor * self.energy(x, **context)


@pytest.mark.parametrize("form", ["levels", "single", "sliced"])
def test_the_exact_energy_has_the_least_loss(form: str) -> None:
    truth, of_noisy = mixture(), tuple((STDS**2 + SIGMA**2).sqrt().tolist())
    x = truth.sample(20000, torch.Generator().manual_seed(0)) if form == "levels" else normal(40000)
    made = objective(data_of(x) if form != "levels" else truth, form)
    exact: Energy = Exact(made.noise, truth) if form == "levels" else Gaussian((2,), 0.0, of_noisy)
    losses = [
        float(made(Scaled(exact, factor), Points(x), 0, torch.Generator().manual_seed(1)).total().detach())
        for factor in (0.0, 1.0, 2.0)
    ]
    assert losses[1] < min(losses[0], losses[2])
    assert losses[0] - losses[1] == pytest.approx(losses[2] - losses[1], rel=0.1)  # it is a square of the factor


def test_the_loss_of_no_energy_is_the_mean_square_of_what_is_fitted() -> None:
    x = normal(20000)
    flat = Scaled(Gaussian((2,), 0.0, 1.0), 0.0)
    single = objective(data_of(x), "single")(flat, Points(x), 0, torch.Generator().manual_seed(0))
    assert float(single.total().detach()) == pytest.approx(1, abs=0.03)
    assert float(objective(data_of(x), "single").signals(single)["unexplained"]) == pytest.approx(1)
    sliced = objective(data_of(x), "sliced")
    assert not sliced(flat, Points(x), 0, torch.Generator().manual_seed(0)).total()
    assert (sliced.rules, sliced.signals(single)) == ((), {})
    levels = objective(data_of(x), "levels")
    timed = MLP((2,), (8,), timed=True, standard=levels.noise.standard)
    loss = levels(timed, Points(x), 0, torch.Generator().manual_seed(0))
    early, late = loss.metrics["train/error_early"], loss.metrics["train/error_late"]
    assert min(early, late) <= loss.total().detach() <= max(early, late)
    assert {*loss.terms} == {"dsm"}


@pytest.mark.parametrize("form", ["levels", "single", "sliced"])
def test_energies_are_low_where_data_are(form: str, unchecked: None) -> None:
    """After training on a Gaussian E is as curved as −log p, not as log p, along its wide axis and its narrow one."""
    x = normal(4000)
    made = objective(data_of(x), form)
    torch.manual_seed(0)
    energy = MLP((2,), (32, 32), timed=form == "levels", standard=made.noise.standard)
    energy.noised = made.noise if form == "levels" else None
    optimizer, g = torch.optim.Adam(energy.parameters(), 1e-2), torch.Generator().manual_seed(1)
    for step in range(200):
        optimizer.zero_grad()
        made(energy, Points(x[torch.randint(len(x), (256,), generator=g)]), step, g).total().backward()
        optimizer.step()
    at = torch.zeros(1, 2)
    curvatures = torch.autograd.functional.hessian(lambda x: energy.density()(x).sum(), at).view(2, 2).diagonal()
    noise_std = made.noise.t_density if form == "levels" else SIGMA
    expected = 1 / (STDS**2 + noise_std**2)
    assert (curvatures > 0.5 * expected).all(), (curvatures, expected)
    assert (curvatures < 2 * expected).all(), (curvatures, expected)


TIMED = ("energy=mlp", "energy.timed=true", "noise=edm")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("energy=mlp", "energy.timed=true"), r"^objective: noise: must be edm for dsm; noise=flow goes with "),
        (
            ("noise=edm", "energy=mlp"),
            r"^form: levels needs an energy of time \(energy.timed=true\); single and",
        ),
        (
            (*TIMED, "objective.form=single"),
            r"^energy: needs t, which DSM does not give; energy.timed=false needs",
        ),
        ((*TIMED, "objective=flow_matching"), r"^objective: noise: must be flow for flow_matching; noise=edm goes "),
        ((*TIMED, "sampling=flow", "sampling.t_end=0.5"), r"^sampling: t_end: must be 1 with noise=edm"),
    ],
)
def test_what_does_not_go_together_is_refused(typed: tuple[str, ...], said: str) -> None:
    config = composed("objective=dsm", "regularization=none", *typed)
    with pytest.raises(UserError, match=said):
        build(config)


def test_terms_that_need_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="needs samples; objective=dsm has labels"):
        DSM(Eager(CPU), Flow(), {"gradient_penalty": GradientPenalty(1.0, "between")}, form="single")
