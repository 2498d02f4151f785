"""What every schedule is: the share of the learning rate that a step uses."""

from abc import ABC, abstractmethod

from ebm_exp.part import Part


class Schedule(Part, ABC):
    """factor(step) = min(1, (step + 1)/warmup_steps) · decay(step), for optimizer steps from 0.

    The first step moves already, ``warmup_steps`` = 0 means no warm-up, and decay counts from step 0, warm-up included.

    Attributes:
        warmup_steps: steps until the whole learning rate is used.
        ends_at: the step from which on nothing changes any more, as the factor is 0; None: never.
    """

    warmup_steps: int = 0
    ends_at: int | None = None

    def __call__(self, step: int) -> float:
        """The factor of optimizer step ``step`` (from 0), in [0, 1].

        Raises:
            ValueError: when the step is negative.
        """
        if step < 0:
            raise ValueError(f"step must be ≥ 0, got {step}")
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return warmup * self.decay(step)

    @abstractmethod
    def decay(self, step: int) -> float:
        """The factor without the warm-up."""
