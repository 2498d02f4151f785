"""Replica exchange crosses what a local kernel does not."""

import math

import torch

from ebm_exp.dataset import Domain
from ebm_exp.energy import MLP, Mixture
from ebm_exp.random import generator
from ebm_exp.sampler import MALA, Annealed, Tempering
from tests.sampler.running import run_chain

N = 4_000
LINE = Domain(-9, 9, (1,))
FAR = Mixture((1,), centres=((-4.0,), (4.0,)), std=0.7, weights=(0.8, 0.2))  # a barrier of 15 nats


def right_share(sampler, n_steps: int) -> float:
    """Share of chains in the right mode, all having begun in it."""
    chain = run_chain(sampler, FAR, torch.full((N, 1), 4.0), generator("cpu", 0), n_steps)
    return float((chain.x > 0).float().mean())


def test_the_cold_chain_crosses_a_barrier_with_the_right_weights() -> None:
    assert right_share(MALA(0.5, 1, LINE), 400) > 0.999
    share = right_share(Tempering(MALA(0.5, 1, LINE), 1, n_replicas=5, ratio=2.5, n_local=4), 100)
    assert abs(share - 0.2) < 5 * math.sqrt(0.2 * 0.8 / N)


def test_swap_rates_per_pair() -> None:
    sampler = Tempering(MALA(0.5, 1, LINE), 1, n_replicas=3, ratio=2.0)
    metrics = run_chain(sampler, FAR, torch.full((N, 1), 4.0), generator("cpu", 0), 20).info.metrics()
    assert 0.3 < float(metrics["chain/swapped_0"]) < 1
    assert 0.3 < float(metrics["chain/swapped_1"]) < 1
    assert "chain/acceptance" in metrics


def test_labels_go_with_their_chains() -> None:
    """Replicas of a chain run under its label: each class has its own mode."""
    energy = MLP((1,), (4,), conditional=True, n_classes=2)
    energy.forward = lambda x, y: ((x.squeeze(1) - 6.0 * y + 3.0) / 0.3).square() / 2  # type: ignore[method-assign]
    y = torch.arange(600) % 2
    sampler = Tempering(MALA(0.05, 1, LINE), 1, n_replicas=3, n_local=3)
    x = run_chain(
        sampler, energy.bind(y=y), LINE.uniform(600, generator("cpu", 1)), generator("cpu", 0), 60, n_adapt=30
    ).x
    assert ((x.squeeze(1) > 0) == (y == 1)).all()


def test_annealing_finds_the_heavier_mode_more_often() -> None:
    """Cooled from T = 20, chains that began in the lighter mode leave it; at T = 1 they do not."""
    kernel = MALA(0.5, 1, LINE)
    assert right_share(Annealed(kernel, 1, cooling_steps=300, factor=20.0), 400) < 0.6
    assert right_share(Annealed(kernel, 1, cooling_steps=300, factor=1.0), 400) > 0.999
