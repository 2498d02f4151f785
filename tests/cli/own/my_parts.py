"""One part of each kind, as a user would write them: this file and conf/ beside it are all there is."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import Energy
from ebm_exp.engine import Engine
from ebm_exp.evaluator import Direction, Evaluator, Model, Score
from ebm_exp.objective import Loss, Objective
from ebm_exp.random import CHUNK, Stream, generator
from ebm_exp.regularization import Phase, Step, Term
from ebm_exp.sampler import Control, Sampler
from ebm_exp.sampling import Sampling
from ebm_exp.types import Batch, EnergyFn, From, NonNegative, Points, Positive, PositiveInt, Provided


class Cross(Dataset):
    """Points near the two axes of the plane, in [−2, 2]²; the axis is the class."""

    def __init__(
        self,
        name: str,
        device: Provided[torch.device],
        seed: Provided[int],
        width: Positive = 0.1,
        n: PositiveInt = 1000,
    ) -> None:
        g = generator("cpu", name, seed)
        y = torch.randint(2, (n,), generator=g)
        along, across = torch.rand(n, generator=g) * 3 - 1.5, width * torch.randn(n, generator=g)
        x = torch.stack([torch.where(y == 0, along, across), torch.where(y == 0, across, along)], 1)
        half = n // 2
        super().__init__(
            name=name, domain=Domain(-2, 2, (2,)), train=x[:half], test=x[half:], train_labels=y[:half],
            test_labels=y[half:], n_classes=2, device=device,
        )  # fmt: skip


class DenoisingScoreMatching(Objective):
    """½‖σ∇E(x + σz) − z‖², z ~ N(0, I): −∇E becomes the score of the data with noise σ (Vincent 2011). No chains."""

    def __init__(
        self, engine: Provided[Engine], regularization: Provided[dict[str, Term]], sigma: Positive = 0.3
    ) -> None:
        super().__init__()
        self.engine, self.regularization, self.sigma = engine, regularization, sigma

    def loss(self, energy: Energy, batch: Points, generator: torch.Generator) -> Loss:
        bound = energy.bind(y=batch.y)
        z = torch.empty_like(batch.x).normal_(generator=generator)
        gradient = self.engine.gradient(bound, batch.x + self.sigma * z, create_graph=True)
        terms = {"dsm": (self.sigma * gradient - z).flatten(1).square().sum(1) / 2}
        e = bound(batch.x)
        now = Step(Phase(batch.x, e, bound, batch.y), self.engine, generator)
        for name, term in self.regularization.items():
            value = term(now)
            if value is not None:
                terms[name] = value
        return Loss(terms, {"train/energy_pos": e.detach().mean()}, {"data": e.detach()})


class WalkState(NamedTuple):
    """Where the chains are, and the energy there."""

    x: Tensor
    e: Tensor


class WalkInfo(NamedTuple):
    """The tensors of one step."""

    acceptance: Tensor

    def metrics(self) -> dict[str, Tensor]:
        """``chain/acceptance``."""
        return {"chain/acceptance": self.acceptance.mean()}


class RandomWalk(Sampler):
    """Metropolis with the proposal N(x, step_size) (Metropolis et al. 1953); outside of the domain none is."""

    adjusted = True

    def __init__(
        self,
        domain: Annotated[Domain, From("dataset.domain")],
        n_steps: PositiveInt = 20,
        step_size: Annotated[Positive, From("suggest.step_size")] = 0.1,
    ) -> None:
        super().__init__()
        self.domain, self.n_steps, self.step_size = domain, n_steps, step_size

    def init(self, energy: EnergyFn, x: Batch, n_adapt: int = 0) -> WalkState:
        return WalkState(x, energy(x))

    def relocate(self, energy: EnergyFn, state: WalkState, x: Batch) -> WalkState:
        return WalkState(x, energy(x))

    def draw(self, generator: torch.Generator, x: Batch) -> tuple[Tensor, Tensor]:
        z = torch.empty_like(x).normal_(generator=generator)
        return z, torch.rand(len(x), generator=generator, device=x.device)

    def step(
        self, energy: EnergyFn, state: WalkState, noise: tuple[Tensor, Tensor], control: Control
    ) -> tuple[WalkState, WalkInfo]:
        z, u = noise
        x = state.x + math.sqrt(self.step_size) * z
        e = energy(x)
        inside = ((x >= self.domain.low) & (x <= self.domain.high)).flatten(1).all(1)
        accept = inside & (u.log() < (state.e - e) / control.temperature)
        there = accept.view(-1, *[1] * (x.dim() - 1))
        return WalkState(torch.where(there, x, state.x), torch.where(accept, e, state.e)), WalkInfo(accept.float())


class Inside(Evaluator):
    """``inside``: the share of samples in the inner half of the domain; let more be better."""

    produces: Mapping[str, Direction] = {"inside": "higher"}

    def __init__(self, dataset: Provided[Dataset], n_samples: PositiveInt = 100) -> None:
        self.dataset, self.n_samples = dataset, n_samples

    @property
    def protocol(self) -> str:
        return f"inner half of the domain, {self.n_samples} samples"

    def __call__(self, model: Model) -> dict[str, Score]:
        domain = self.dataset.domain
        x = model.samples(self.n_samples).x.flatten(1)
        return {"inside": Score.mean(((x - domain.centre).abs() < domain.half_width / 2).all(1).float(), "higher")}


class MeanEnergy(Term):
    """w · mean(E(x⁺))²: fixes the free constant of the energy on data alone."""

    def __init__(self, weight: NonNegative = 0.1) -> None:
        self.weight = weight

    def __call__(self, now: Step) -> Tensor:
        return self.weight * now.positive.e.mean().square()


class Cells(Sampling):
    """Draws cells of a grid over the plane by exp(−E/T), and a point in each: no chain."""

    n_steps = 1

    def __init__(
        self,
        dataset: Provided[Dataset],
        n: PositiveInt = 50,
        temperature: Annotated[Positive, From("temperature")] = 1.0,
    ) -> None:
        self.dataset, self.n, self.temperature = dataset, n, temperature

    @torch.no_grad()
    def draw(self, energy: Energy, n: int, stream: Stream, *, y: Tensor | None = None, **context: Any) -> Points:
        domain, device = self.dataset.domain, self.dataset.device
        side = torch.linspace(domain.low, domain.high, self.n + 1, device=device)[:-1]
        corners = torch.stack(torch.meshgrid(side, side, indexing="ij"), -1).view(-1, 2)
        size = (domain.high - domain.low) / self.n
        p = (-energy.bind()(corners + size / 2) / self.temperature).softmax(0)
        drawn = []
        for g in stream.for_chains(device, 0, n):
            cell = torch.multinomial(p, CHUNK, replacement=True, generator=g)
            drawn.append(corners[cell] + size * torch.rand(CHUNK, 2, generator=g, device=device))
        return Points(torch.cat(drawn)[:n])

    def describe(self) -> str:
        return f"{self.n}² cells"
