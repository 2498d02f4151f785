"""The term through the chain against finite differences, what it must leave alone, and what it reduces to."""

import pytest
import torch
from torch import Tensor, nn

from ebm_exp.augmentation import Images
from ebm_exp.buffer import InPlace, Reservoir
from ebm_exp.dataset import Gaussian, Synthetic
from ebm_exp.energy import MLP, Energy, MultiScale
from ebm_exp.engine import Eager
from ebm_exp.objective import KL, PCD, Entropy, Loss
from ebm_exp.random import generator
from ebm_exp.regularization import End, EnergyL2, Phase, SpectralNorm, Step
from ebm_exp.regularization.spectral_norm import PowerIteration
from ebm_exp.sampler import GibbsWithGradients, Langevin
from ebm_exp.sampler.chain import draw_noise, start_control
from ebm_exp.start import Uniform
from tests.sampler.running import run_chain

CPU = torch.device("cpu")
DATA = Gaussian("gaussian", CPU, 0, half_width=5.0, noise=1.0, n_train=1000, n_test=10)
ESTIMATE = {"bank_size": 8, "min_filled": 0}


class Small(Energy):
    """A network in double precision from end to end."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(2, 7), nn.Tanh(), nn.Linear(7, 7), nn.SiLU(), nn.Linear(7, 1)).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).squeeze(1)


ENGINE = Eager(CPU)


def make(
    n_steps: int = 4,
    kl_weight: float = 1.0,
    entropy_weight: float = 0.3,
    kl_batch: int | None = None,
    kl_steps: int | None = 1,
    estimate: dict | None = None,
    regularization: dict | None = None,
) -> PCD:
    """Steps so long that θ moves the ends of chains visibly, a box that they never reach."""
    sampler = Langevin(0.4, n_steps, DATA.domain, noise_std=0.2, noise_first=True)
    buffer = InPlace(64, Uniform(DATA), DATA.domain, CPU, 0, reinit_probability=0.1)
    buffer.x = buffer.x.double() / 2
    through = {"through": kl_steps, "through_chains": kl_batch}
    terms = {
        "kl": KL(kl_weight, **through),
        "entropy": Entropy(entropy_weight, **{**ESTIMATE, **(estimate or {})}, **through),
    }
    return PCD(
        buffer, engine=ENGINE, sampler=sampler, regularization=regularization or {}, domain=DATA.domain, terms=terms
    )


def through_chain(loss: Loss) -> Tensor:
    """What the ends of the chains have to learn."""
    return sum((loss.terms[name].mean() for name in ("kl", "entropy") if name in loss.terms), torch.zeros(()))


def batch(n: int = 12):
    points = DATA.batch(0, n, 0)
    return points._replace(x=points.x.double())


def kl_of(objective: PCD, energy: Small, n_live: int, n: int, g: torch.Generator):
    """L_KL as a function of the energy that makes the last steps, all else held; written out from its definition."""
    held, sampler = Small(), objective.sampler
    held.load_state_dict(energy.state_dict())
    start = objective.buffer.draw(12, g)
    x = run_chain(sampler, held, start.x, g, sampler.n_steps - n_live).x
    noises = [draw_noise(sampler, g, x) for _ in range(n_live)]
    kl, entropy, control = objective.terms["kl"], objective.terms["entropy"], start_control(sampler, 1.0, CPU)
    bank = objective.buffer.bank(entropy.bank_size, g)

    def value(moved: Small) -> float:
        state = sampler.init(moved, x)
        for noise in noises:
            state, _ = sampler.step(moved, state, noise, control)
        ends = state.x.detach()[:n]
        distances = torch.cdist(ends, bank).sort(1).values[:, entropy.k - 1]
        log_r = (distances.square() + entropy.eps**2).log() / 2
        with torch.no_grad():
            return float((kl.weight * held(ends) - entropy.weight * log_r).mean())

    return value


@pytest.mark.parametrize(
    ("options", "n_live", "n"),
    [
        ({"entropy_weight": 0.0}, 1, 12),
        ({"kl_weight": 0.0, "entropy_weight": 1.0}, 1, 12),
        ({"kl_weight": 2.0, "estimate": {"k": 3, "eps": 0.1}}, 1, 12),
        ({"kl_batch": 5}, 1, 5),
        ({"kl_batch": 5, "kl_steps": 3}, 3, 5),
        ({"kl_steps": None}, 4, 12),
    ],
)
def test_its_gradient_is_the_finite_difference(options: dict, n_live: int, n: int) -> None:
    """θ is perturbed in the last steps only: x_{K−m}, the noise and the scoring θ are held."""
    objective, energy = make(**options), Small()
    loss = through_chain(objective(energy, batch(), 0, generator("cpu", 1)))
    loss.backward()
    value = kl_of(make(**options), energy, n_live, n, generator("cpu", 1))
    assert float(loss.detach()) == pytest.approx(value(energy), abs=1e-12)
    moved, h, seen = Small(), 1e-5, 0
    for i, p in enumerate(energy.parameters()):
        gradient = torch.zeros_like(p) if p.grad is None else p.grad
        for direction in torch.randn(3, *p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(i)):
            ends = []
            for sign in (1, -1):
                moved.load_state_dict(energy.state_dict())
                with torch.no_grad():
                    list(moved.parameters())[i].add_(direction, alpha=sign * h)
                ends.append(value(moved))
            expected = (ends[0] - ends[1]) / (2 * h)
            assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-9)
            seen += abs(expected) > 1e-4
    assert seen > 6  # directions in which there is something to compare


def test_the_scoring_pass_gives_its_parameters_nothing() -> None:
    energy = Small()
    x = torch.randn(12, 2, dtype=torch.float64, requires_grad=True)
    data = Phase(x, energy(x), energy.bind())
    now = Step(data, ENGINE, generator("cpu", 0), end=End(x, ENGINE.target(energy).bind()))
    KL()(now).mean().backward()
    assert all(p.grad is None for p in energy.parameters())
    assert all(p.requires_grad for p in energy.parameters())
    assert x.grad.abs().min() > 0


def test_the_loss_adds_up() -> None:
    objective, energy = make(kl_weight=0.7, regularization={"l2": EnergyL2(0.1)}), Small()
    loss = objective(energy, batch(), 0, generator("cpu", 3))
    pos, neg = loss.energies["data"], loss.energies["negatives"]
    expected = (pos - neg + 0.1 * (pos.square() + neg.square())).mean() + through_chain(loss)
    assert float(loss.total().detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    assert not any(value.requires_grad for value in loss.metrics.values())
    kl = float(loss.terms["kl"].mean().detach())
    assert kl == pytest.approx(0.7 * float(neg.mean()), abs=1e-6)  # the same points


def test_without_weights_it_is_pcd() -> None:
    energy = Small()
    plain, other = make(kl_weight=0.0, entropy_weight=0.0), make()
    pcd = PCD(other.buffer, engine=ENGINE, sampler=other.sampler, regularization={}, domain=DATA.domain)
    a, b = (objective(energy, batch(), 0, generator("cpu", 5)) for objective in (plain, pcd))
    assert plain.through == 0
    assert torch.equal(a.total(), b.total())
    assert set(a.metrics) == set(b.metrics)
    assert set(a.terms) == set(b.terms)
    assert torch.equal(plain.buffer.x, other.buffer.x)


@pytest.mark.parametrize("kl_batch", [None, 5])
def test_negatives_are_those_of_pcd(kl_batch: int | None) -> None:
    energy = Small()
    ours, other = make(kl_batch=kl_batch), make()
    pcd = PCD(other.buffer, engine=ENGINE, sampler=other.sampler, regularization={}, domain=DATA.domain)
    a, b = (objective(energy, batch(), 0, generator("cpu", 5)) for objective in (ours, pcd))
    torch.testing.assert_close(a.energies["negatives"], b.energies["negatives"], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.buffer.x, other.buffer.x, rtol=1e-12, atol=1e-12)


def test_the_estimate_waits_until_the_buffer_holds_enough() -> None:
    buffer = Reservoir(64, Uniform(DATA), DATA.domain, CPU, 0, reinit_probability=0.0)
    sampler = Langevin(0.1, 2, DATA.domain)
    objective = PCD(
        buffer,
        engine=ENGINE,
        sampler=sampler,
        regularization={},
        domain=DATA.domain,
        terms={"entropy": Entropy(bank_size=8, min_filled=24)},
    )
    energy, held = MLP((2,), (8,)), []
    for step in range(5):
        terms = objective(energy, DATA.batch(step, 12, 0), step, generator("cpu", step)).terms
        held.append("entropy" in terms)
    assert held == [False, False, False, True, True]  # 0, 12, 24 held: more than 24 are needed


def test_weights_computed_from_others_learn_through_the_chain_and_rest_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spectral norm: its vectors rest in the chain, and the weight behind it gets the gradient of the norm, too."""
    data = Synthetic("synthetic", CPU, 0, shape=(1, 8, 8), classes=2, n_train=200, n_test=10)
    torch.manual_seed(0)
    energy = SpectralNorm().prepare(MLP((1, 8, 8), (16,), conditional=True, n_classes=2)).train()
    sampler = Langevin(1.0, 3, data.domain, noise_std=0.02, gradient_clamp=0.1, clamp=True)
    buffer = InPlace(64, Uniform(data, True), data.domain, CPU, 0, conditional=True)
    through = {"through": 2, "through_chains": 6}
    terms = {"kl": KL(**through), "entropy": Entropy(**ESTIMATE, **through)}
    objective = PCD(buffer, engine=ENGINE, sampler=sampler, regularization={}, domain=data.domain, terms=terms)
    iterated, iterate = [], PowerIteration.iterate
    monkeypatch.setattr(PowerIteration, "iterate", lambda self, w: (iterated.append(self), iterate(self, w)))
    loss = objective(energy, data.batch(0, 16, 0), 0, generator("cpu", 0))
    normed = [module for module in energy.modules() if isinstance(module, PowerIteration)]
    assert len(iterated) == len(normed) == 2  # by the loss's own pass, once a layer; none in the chain
    assert all(module.training for module in energy.modules())
    through_chain(loss).backward()
    originals = {name: p for name, p in energy.named_parameters() if name.endswith("original")}
    assert originals
    for name, p in originals.items():
        assert p.grad.abs().sum() > 0, name
        along = float((p.grad * p.detach()).sum())  # the norm is blind to the length of W
        assert abs(along) < 1e-6 * float(p.grad.norm() * p.detach().norm()), name


def test_it_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="terms: kl is the name of a term of regularization too"):
        make(regularization={"kl": EnergyL2(0.1)})
    with pytest.raises(ValueError, match=r"kl: through must be at most sampler.n_steps, 4, got 5"):
        make(kl_steps=5)
    with pytest.raises(ValueError, match=r"entropy: waits for more than 64 held points.*buffer.size is 64"):
        make(estimate={"min_filled": 64})
    make(estimate={"min_filled": 64}, entropy_weight=0.0)
    with pytest.raises(ValueError, match="needs a continuous sampler, GibbsWithGradients is binary"):
        PCD(
            make().buffer,
            engine=ENGINE,
            sampler=GibbsWithGradients(4, DATA.domain),
            regularization={},
            domain=DATA.domain,
            terms={"kl": KL()},
        )


@pytest.mark.gpu
def test_a_step_asks_nothing_of_the_device() -> None:
    device = torch.device("cuda")
    data = Synthetic("synthetic", device, 0, shape=(1, 16, 16), classes=2, n_train=200, n_test=10)
    energy = MultiScale((1, 16, 16), (8, 8, 16), 1, 2, 1).to(device)
    sampler = Langevin(2.0, 3, data.domain, noise_std=0.02, noise_first=True, clamp=True)
    buffer = Reservoir(64, Uniform(data), data.domain, device, 0, Images(data.domain), reinit_probability=0.1)
    terms = {"kl": KL(through_chains=8), "entropy": Entropy(**ESTIMATE, through_chains=8)}
    objective = PCD(
        buffer,
        engine=Eager(device),
        sampler=sampler,
        regularization={"l2": EnergyL2(0.1)},
        domain=data.domain,
        terms=terms,
    )
    for step in range(3):
        points, noise = data.batch(step, 16, 0), generator(device, step)
        torch.cuda.set_sync_debug_mode("error" if step else "default")  # the first step may set up what it needs
        try:
            loss = objective(energy, points, step, noise)
            loss.total().backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert loss.terms["entropy"].isfinite().all()
