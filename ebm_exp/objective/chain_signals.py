"""How healthy a step of contrastive divergence is: its energies, its chains against its data and its domain."""

import math

import torch
from torch import Tensor

from ebm_exp.dataset.domain import Domain
from ebm_exp.guard.rule import Rule
from ebm_exp.metrics import DISPLACEMENT
from ebm_exp.objective.base import Loss

_CALMER = ("a smaller sampler.step_size", "a smaller optimizer.lr")
CHAIN_RULES = (  # the first that is broken is told: what says most of its cause comes first
    Rule(
        name="gradients_exploded",
        signal="leap",
        low=0.0,
        high=0.5,
        says="one step of a chain moves each component by {value} of the domain's width",
        causes=("steps too long for the energy", "gradients that nothing keeps small, at a learning rate too high"),
        knobs=(*_CALMER, "regularization=energy_l2"),
        remedy=("step_size", "learning_rate"),
    ),
    Rule(
        name="chains_saturated",
        signal="outside",
        low=-math.inf,
        high=0.5,
        says="the share of components of chains at the boundary, or beyond it, is {value} above that of the data",
        causes=("steps too long for the energy", "one that is lowest outside of the data's range"),
        knobs=(*_CALMER, "a larger regularization.energy_l2.weight", "regularization=energy_l2"),
        remedy=("step_size", "learning_rate"),
    ),
    Rule(
        name="chains_frozen",
        signal="moved",
        low=0.1,
        high=1.0,
        says="the share of chains that move at all is {value}: what they begin with stays as it is",
        causes=("a Metropolis kernel that accepts nothing, its steps too long for the energy",),
        knobs=("a smaller sampler.step_size", "sampler=langevin", "a smaller optimizer.lr"),
        remedy=("step_size",),
    ),
    Rule(
        name="chains_left",
        signal="spread",
        low=0.0,
        high=2.0,
        says="chains spread {value} times as wide (variance) as the data and the noise that they began at",
        causes=("steps too long for the energy", "an energy that changes faster than chains can follow"),
        knobs=(*_CALMER, "a larger regularization.energy_l2.weight", "regularization=energy_l2"),
        remedy=("learning_rate", "step_size", "more_l2"),
    ),
    Rule(
        name="gap",
        signal="gap",
        low=0.0,
        high=2.0,
        says="the mean energies of data and chains lie {value} of their standard deviations apart",
        causes=("the energy changes faster than its chains can follow", "nothing keeps it small"),
        knobs=(
            *("a smaller optimizer.lr", "a larger regularization.energy_l2.weight", "regularization=energy_l2"),
            "more sampler.n_steps",
        ),
        remedy=("learning_rate", "more_l2"),
    ),
    Rule(
        name="chains_collapsed",
        signal="variance",
        low=0.5,
        high=math.inf,
        says="chains are all alike: their variance is {value} of the data's",
        causes=(
            ("buffer", "a buffer too small or without restarts"),
            "noise too weak for the steps",
            "a learning rate too high",
        ),
        knobs=("buffer.reinit_probability>=0.05", "a larger buffer.size", "a larger sampler.noise_std"),
        remedy=("restarts", "learning_rate"),
    ),
    Rule(
        name="chains_idle",
        signal="contrast",
        low=0.05,
        high=math.inf,
        says="energies differ by {value} T, which holds no chain",
        causes=("a regularization that is too strong", "a learning rate that is too low", "dead units in the network"),
        knobs=("a smaller regularization.energy_l2.weight", "another optimizer.lr"),
        remedy=("less_l2",),
        after=200,
    ),
)


def chain_signals(loss: Loss, temperature: float, domain: Domain, start_variance: Tensor | None) -> dict[str, Tensor]:
    """Of one step's data x⁺, begins x⁰ and ends x⁻ of chains, all scalars.

    Args:
        loss: of the step.
        temperature: T.
        domain: of the data.
        start_variance: variance of the points where chains begin, a mean over components; None: they begin at the data.

    Returns:
        ``contrast``: standard deviation of all energies, in T; ``gap``: |mean E(x⁻) − mean E(x⁺)| in standard
        deviations of the energies; ``variance``: of x⁻ over the batch, as a ratio to that of x⁺; ``spread``: the same,
        to the wider of x⁺ and the start; ``outside``: share of components at the domain's boundary or beyond it, of x⁻
        above that of x⁺; ``moved``: share of chains with x⁻ ≠ x⁰; where the kernel tells how far its last step moved
        a chain, ``leap``: root mean square of that, per component and in widths of the domain.
    """
    e_pos, e_neg = loss.energies["data"], loss.energies["negatives"]
    x_pos, x_neg = (loss.points[name].flatten(1) for name in ("data", "negatives"))
    of_data, of_chains = x_pos.var(0).mean(), x_neg.var(0).mean()
    signals = {
        "contrast": torch.cat([e_pos, e_neg]).std() / temperature,
        "gap": (e_neg.mean() - e_pos.mean()).abs() / ((e_pos.var() + e_neg.var()) / 2).sqrt(),
        "variance": of_chains / of_data,
        "spread": of_chains / (of_data if start_variance is None else torch.maximum(of_data, start_variance)),
        "outside": _outside(x_neg, domain) - _outside(x_pos, domain),
        "moved": (x_neg != loss.points["begins"].flatten(1)).any(1).float().mean(),
    }
    if DISPLACEMENT in loss.metrics:
        signals["leap"] = loss.metrics[DISPLACEMENT] / (2 * domain.half_width * x_pos.shape[1] ** 0.5)
    return signals


def _outside(x: Tensor, domain: Domain) -> Tensor:
    return ((x - domain.centre).abs() >= domain.half_width).float().mean()
