"""Hamiltonian Monte Carlo: long trajectories (Duane et al. 1987; Neal 2011); see ``hamiltonian.py``."""

import math
from typing import Annotated

from ebm_exp.dataset.domain import Domain
from ebm_exp.sampler.hamiltonian import Hamiltonian
from ebm_exp.types import From, NonNegative, Positive, PositiveInt, Probability


class HMC(Hamiltonian):
    """Hamiltonian Monte Carlo.

    Args:
        step_size: ε of the first steps, which burn-in and training adapt; null: √λ, λ the data set's suggestion.
        n_steps: transitions per chain in training.
        domain: the box of the reflections.
        temperature: T; null: the experiment's, in sample.py that of the run.
        n_leapfrog: L.
        mass: the diagonal of M, one number for all components or one for each.
        jitter: each trajectory's ε is multiplied by a number from [1 − jitter, 1 + jitter], so that no chain returns to
            where it was time after time (Neal 2011, section 3.2).
        drift_limit: longest drift of a step, in lengths of its noise; null: no limit.
        target_acceptance: what a step size adapts to; .65 is best for Gaussians in many dimensions (Beskos et al.
            2013).
        learn_rate: in training, change of log ε per chain and unit of acceptance; 0: the step size stays.
        reflect: at the walls of the box; false: all of space.
        suggested: λ.

    Raises:
        ValueError: when mass has neither one number nor d.
    """

    def __init__(
        self,
        step_size: Positive | None,
        n_steps: PositiveInt,
        domain: Annotated[Domain, From("dataset.domain")],
        temperature: Positive | None = None,
        n_leapfrog: PositiveInt = 10,
        mass: Positive | tuple[Positive, ...] = 1.0,
        jitter: Probability = 0.2,
        drift_limit: Positive | None = None,
        target_acceptance: Probability = 0.65,
        learn_rate: NonNegative = 0.05,
        reflect: bool = True,
        suggested: Annotated[Positive, From("suggest.step_size")] = 1.0,
    ) -> None:
        super().__init__(
            step_size=math.sqrt(suggested) if step_size is None else step_size,
            n_steps=n_steps,
            domain=domain,
            temperature=temperature,
            n_leapfrog=n_leapfrog,
            mass=mass,
            jitter=jitter,
            drift_limit=drift_limit,
            target_acceptance=target_acceptance,
            learn_rate=learn_rate,
            reflect=reflect,
        )
