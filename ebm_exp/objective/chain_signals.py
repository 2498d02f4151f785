"""How healthy a step of contrastive divergence is: its energies and its chains against its data."""

import math

import torch
from torch import Tensor

from ebm_exp.guard.rule import Rule
from ebm_exp.objective.base import Loss

CHAIN_RULES = (
    Rule(
        name="gap",
        signal="gap",
        low=0.0,
        high=2.0,
        says="the mean energies of data and chains lie {value} of their standard deviations apart",
        causes="the energy changes faster than its chains can follow, or nothing keeps it small",
        knobs=("a smaller optimizer.lr", "a larger regularization.energy_l2.weight", "more sampler.n_steps"),
        remedy=("learning_rate", "more_l2"),
    ),
    Rule(
        name="chains_left",
        signal="spread",
        low=0.0,
        high=2.0,
        says="chains spread {value} times as wide (variance) as the data and the noise that they began at",
        causes="steps too long for the energy, or an energy that changes faster than chains can follow",
        knobs=("a smaller sampler.step_size", "a smaller optimizer.lr", "a larger regularization.energy_l2.weight"),
        remedy=("learning_rate", "step_size", "more_l2"),
    ),
    Rule(
        name="chains_idle",
        signal="contrast",
        low=0.05,
        high=math.inf,
        says="energies differ by {value} T, which holds no chain",
        causes="a regularization that is too strong, or a learning rate that is too low",
        knobs=("a smaller regularization.energy_l2.weight", "a larger optimizer.lr"),
        remedy=("less_l2",),
        after=200,
    ),
    Rule(
        name="chains_collapsed",
        signal="variance",
        low=0.5,
        high=math.inf,
        says="chains are all alike: their variance is {value} of the data's",
        causes="a buffer too small or without restarts, noise too weak for the steps, a learning rate too high",
        knobs=("buffer.reinit_probability=0.05", "a larger buffer.size", "a larger sampler.noise_std"),
        remedy=("restarts", "learning_rate"),
    ),
)


def chain_signals(loss: Loss, temperature: float, of_start: Tensor | None) -> dict[str, Tensor]:
    """Of one step's data x⁺ and ends of chains x⁻, all scalars.

    Args:
        loss: of the step.
        temperature: T.
        of_start: variance of the points where chains begin, a mean over components; None: they begin at the data.

    Returns:
        ``contrast``: standard deviation of all energies, in T; ``gap``: |mean E(x⁻) − mean E(x⁺)| in standard
        deviations of the energies; ``variance``: of x⁻ over the batch, as a ratio to that of x⁺; ``spread``: the same,
        to the wider of x⁺ and the start.
    """
    e_pos, e_neg = loss.energies["data"], loss.energies["negatives"]
    of_data, of_chains = (loss.points[name].flatten(1).var(0).mean() for name in ("data", "negatives"))
    return {
        "contrast": torch.cat([e_pos, e_neg]).std() / temperature,
        "gap": (e_neg.mean() - e_pos.mean()).abs() / ((e_pos.var() + e_neg.var()) / 2).sqrt(),
        "variance": of_chains / of_data,
        "spread": of_chains / (of_data if of_start is None else torch.maximum(of_data, of_start)),
    }
