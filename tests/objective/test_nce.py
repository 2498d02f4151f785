"""Noise-contrastive estimation: no gradient at the truth, log Z on the box, and what it refuses."""

import math

import pytest
import torch
from torch import Tensor, nn

from ebm_exp.buffer import FromBuffer, InPlace
from ebm_exp.config.errors import UserError
from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import Energy
from ebm_exp.guard.meter import Meter
from ebm_exp.objective import NCE
from ebm_exp.random import generator
from ebm_exp.regularization import EnergyL2
from ebm_exp.start import Data, Mixture, Start, Uniform
from ebm_exp.trainer.build import build
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.update import Update
from ebm_exp.types import Points
from tests.config.test_conf import composed
from tests.objective.spins import ENGINE, gradient, mean_and_error

BOX = Domain(-1.5, 1.5, (2,))  # cuts a Gaussian of unit width at one and a half
MEANS = torch.tensor([[0.3, -0.2], [-0.6, 0.4], [0.0, 1.0]])
# log ∫ exp(−|x − m|²/2) over the box, for each mean.
LOG_Z = ((torch.special.ndtr(1.5 - MEANS.double()) - torch.special.ndtr(-1.5 - MEANS.double())).log()).sum(1)
LOG_Z = LOG_Z + math.log(2 * math.pi)


class Quadratic(Energy):
    """E(x) = |x − μ|²/2 + b."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.bias = nn.Parameter(MEANS[0].clone()), nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean).square().sum(1) / 2 + self.bias


class OfClasses(Energy):
    """E(x, y) = |x − m_y|²/2 + log Z_y, so that exp(−E) is a density for every y."""

    context = ("y",)

    def __init__(self) -> None:
        super().__init__()
        self.means, self.biases = nn.Parameter(MEANS.clone()), nn.Parameter(LOG_Z.float())

    def forward(self, x: Tensor, *, y: Tensor) -> Tensor:
        return (x - self.means[y]).square().sum(1) / 2 + self.biases[y]


def truncated(y: Tensor, g: torch.Generator) -> Tensor:
    """Points ``[n, 2]`` of N(m_y, 1) in the box, by the inverse of its distribution function."""
    low, high = (torch.special.ndtr(end - MEANS[y].double()) for end in (-1.5, 1.5))
    u = torch.rand(len(y), 2, generator=g, dtype=torch.float64)
    return (MEANS[y] + torch.special.ndtri(low + u * (high - low))).float()


Y = torch.arange(3000) % 3
TRAIN = truncated(Y, torch.Generator().manual_seed(0))
DATA = Dataset(name="points", domain=BOX, train=TRAIN, test=TRAIN, train_labels=Y, n_classes=3)


def objective(start: Start, log_z: float, terms: dict | None = None, **settings: object) -> NCE:
    made = NCE(ENGINE, start, terms or {}, BOX, **settings)
    made.log_z.data.fill_(log_z)
    return made


def gradients(nce: NCE, energy: Energy, n_batches: int, size: int, n_classes: int = 1) -> Tensor:
    """Of energy and c ``[n_batches, parameters]``, on exact samples."""
    g, found = torch.Generator().manual_seed(1), []
    both = nn.ModuleList([energy, nce])
    for _ in range(n_batches):
        y = torch.randint(n_classes, (size,), generator=g)
        loss = nce(energy, Points(truncated(y, g), y), 0, g)
        found.append(gradient(loss.total(), both))
    return torch.stack(found)


@pytest.mark.parametrize("n_noise", [1, 3])
@pytest.mark.parametrize("kind", [Uniform, Mixture])
def test_the_truth_has_no_gradient_when_c_is_log_z_on_the_box(kind: type, n_noise: int) -> None:
    """Noise of the fitted Gaussians leaves the box, where it does not count."""
    start = kind(DATA, n_components=2) if kind is Mixture else kind(DATA)
    outside = (start.draw(10_000, torch.Generator().manual_seed(0)).x.abs() > 1.5).any(1).float().mean()
    assert (outside > 0.05) == (kind is Mixture)
    nce = objective(start, float(LOG_Z[0]) - 0.7, n_noise=n_noise)
    mean, error = mean_and_error(gradients(nce, Quadratic(), 200, 1000))
    assert ((mean / error).abs() < 5).all()
    nce.log_z.data += 0.05
    mean, error = mean_and_error(gradients(nce, Quadratic(), 200, 1000))
    assert float(mean[-1] / error[-1]) > 5  # c too large


def test_one_c_is_log_z_of_every_class() -> None:
    nce = objective(Uniform(DATA, conditional=True), 0.0)
    mean, error = mean_and_error(gradients(nce, OfClasses(), 200, 1000, n_classes=3))
    assert ((mean / error).abs() < 5).all()


def test_c_becomes_log_z_as_the_energy_is_learned() -> None:
    nce, energy, g = objective(Mixture(DATA, 4), 0.0), Quadratic(), torch.Generator().manual_seed(2)
    energy.mean.data.zero_()
    optimizer = torch.optim.Adam([*energy.parameters(), nce.log_z], lr=0.03)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, 600)
    for _ in range(600):
        loss = nce(energy, Points(truncated(torch.zeros(2000, dtype=torch.int64), g)), 0, g)
        optimizer.zero_grad()
        loss.total().backward()
        optimizer.step()
        schedule.step()
    torch.testing.assert_close(energy.mean.detach(), MEANS[0], atol=0.02, rtol=0)
    assert float(nce.log_z.detach() + energy.bias.detach()) == pytest.approx(float(LOG_Z[0]), abs=0.02)


def test_the_loss_is_that_of_a_classifier() -> None:
    """Two points of data, four of noise of which one lies outside: binary cross-entropy by hand."""

    class Given(Uniform):
        def draw(self, n: int, generator: torch.Generator) -> Points:
            return Points(torch.tensor([[0.1, 0.2], [1.0, -1.0], [0.0, 1.6], [-0.5, 0.4]]))

    nce, energy = objective(Given(DATA), 0.4, {"l2": EnergyL2(0.1)}, n_noise=2), Quadratic()
    x = torch.tensor([[0.5, 0.5], [-0.3, 0.0]])
    loss = nce(energy, Points(x), 0, torch.Generator())
    noise = nce.noise.draw(4, torch.Generator()).x

    def posterior(x: Tensor) -> Tensor:
        p, q = (-energy(x) - 0.4).exp(), 1 / 9
        return p / (p + 2 * q)

    expected = -posterior(x).log() - torch.stack(
        [(1 - posterior(noise[:2])).log().sum(), (1 - posterior(noise[3:])).log()[0]]
    )
    torch.testing.assert_close(loss.terms["nce"], expected)
    torch.testing.assert_close(loss.terms["l2"], 0.1 * (energy(x).square() + energy(noise[::2]).square()))
    assert float(loss.metrics["train/log_z"]) == pytest.approx(0.4)
    assert set(loss.energies) == {"data", "noise"}


def test_an_energy_that_cannot_tell_data_from_noise_is_chance() -> None:
    class Flat(Energy):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x))

    for n_noise in (1, 4):
        nce = NCE(ENGINE, Uniform(DATA), {}, BOX, n_noise=n_noise)  # c of E = 0 at first
        assert float(nce.log_z) == pytest.approx(2 * math.log(3))
        loss = nce(Flat(), Points(TRAIN[:100]), 0, torch.Generator().manual_seed(0))
        assert float(nce.signals(loss)["unexplained"]) == pytest.approx(1)


def test_c_is_trained_with_its_own_rate_averaged_and_shown() -> None:
    config = composed(
        "objective=nce", "objective.lr_log_z=0.3", "dataset=gaussian", "dataset.n_train=500", "dataset.n_test=50",
        "objective.start.n_components=2", "optimized_metric=null",
    )  # fmt: skip
    parts, ex = build(config)
    rates = [(len(group["params"]), group["lr"]) for group in ex.optimizer.param_groups]
    assert rates[-1] == (1, 0.3)
    ema = EMA(ex.energy, ex.objective, 1.0)
    before = float(ex.objective.log_z.detach())
    Update(ex._replace(batch_size=16), ema, Meter(ex.engine.device))(0)
    assert float(ex.objective.log_z.detach()) != before
    assert "log_z" in parts.stateful()["objective"].state_dict()
    assert ex.objective.panels(9)["noise"].x.shape == (9, 2)
    assert ex.objective.describe()["noise"].startswith("a mixture fitted to the data")
    assert "buffer" not in parts.stateful()


def test_what_cannot_work_is_refused() -> None:
    buffer = InPlace(30, Uniform(DATA), BOX, torch.device("cpu"), 0)
    for start, name in ((Data(DATA), "data"), (FromBuffer(buffer), "the buffer")):
        with pytest.raises(ValueError, match=f"start: needs a known density .* that of .*{name}"):
            objective(start, 0.0)
    with pytest.raises(UserError, match=r"^objective: needs points of a continuous box, the data have two levels"):
        build(composed("objective=nce", "start@objective.start=uniform", "dataset=binary_digits"))


def test_its_numbers_follow_from_the_generator() -> None:
    nce, energy = objective(Mixture(DATA, 2), 1.0), Quadratic()
    losses = [float(nce(energy, Points(TRAIN[:64]), 0, generator("cpu", k)).total().detach()) for k in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(("start", "said"), [("far", ["told_too_easily"]), ("uniform", [])])
def test_noise_that_is_told_too_easily_is_a_symptom(start: str, said: list[str]) -> None:
    """Noise a hundred times as wide as the data has a loss near 0 from the first step on, whatever the energy."""
    x = 0.3 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    data = Dataset(name="points", domain=BOX, train=x, test=x)
    noise = Uniform(data) if start == "uniform" else Mixture(data, 1, uniform_share=0.0, variance_floor=1e4)
    objective = NCE(ENGINE, noise, {}, BOX)
    loss = objective(Quadratic(), Points(x), 0, torch.Generator().manual_seed(0))
    values = {name: float(value) for name, value in objective.signals(loss).items()}
    assert [rule.name for rule in objective.rules if rule.broken_by(600, values)] == said
