"""Metropolis-adjusted Langevin: trajectories of one step (Roberts & Tweedie 1996); see ``hamiltonian.py``."""

from typing import Annotated

from ebm_exp.dataset.domain import Domain
from ebm_exp.sampler.hamiltonian import Hamiltonian
from ebm_exp.types import From, NonNegative, Positive, PositiveInt, Probability


class MALA(Hamiltonian):
    """The Metropolis-adjusted Langevin algorithm.

    Args:
        step_size: λ of the first steps, as Langevin's; burn-in and training adapt it.
        n_steps: transitions per chain in training.
        domain: the box of the reflections.
        temperature: T; null: the experiment's, in sample.py that of the run.
        drift_limit: longest drift of a step, in lengths of its noise; null: no limit.
        target_acceptance: what a step size adapts to; .574 is best in many dimensions (Roberts & Rosenthal 1998).
        learn_rate: in training, change of log √λ per chain and unit of acceptance; 0: the step size stays.
        reflect: at the walls of the box; false: all of space.
    """

    power = 2.0

    def __init__(
        self,
        step_size: Positive,
        n_steps: PositiveInt,
        domain: Annotated[Domain, From("dataset.domain")],
        temperature: Positive | None = None,
        drift_limit: Positive | None = None,
        target_acceptance: Probability = 0.574,
        learn_rate: NonNegative = 0.05,
        reflect: bool = True,
    ) -> None:
        super().__init__(
            step_size=step_size,
            n_steps=n_steps,
            domain=domain,
            temperature=temperature,
            n_leapfrog=1,
            mass=1.0,
            jitter=0.0,
            drift_limit=drift_limit,
            target_acceptance=target_acceptance,
            learn_rate=learn_rate,
            reflect=reflect,
        )
