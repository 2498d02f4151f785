"""What every augmentation is: a random change of each image, one transition of a Langevin chain.

A chain that goes on from a replay buffer starts at a = A(x), x a drawn point, A drawn anew for each (Du et al. 2021,
arXiv 2012.01316): A moves between modes that gradients do not connect.
"""

from abc import ABC, abstractmethod

from ebm_exp.part import Part
from ebm_exp.random import Source
from ebm_exp.types import Batch


class Augmentation(Part, ABC):
    """Changes each point by parameters of its own."""

    @abstractmethod
    def __call__(self, x: Batch, source: Source, purpose: str) -> Batch:
        """The augmented points ``[batch, *event]``, in the domain, of x's dtype and on its device.

        Args:
            x: points ``[batch, *event]`` of the domain; left as they are.
            source: on x's device. The initial seed of its generator is read and no number is drawn from it: what is
                drawn from it later is the same with and without augmentation. Of a batch that ranks share,
                parameters are drawn for all of it, and each rank augments its rows.
            purpose: names the parameters drawn; with one source, equal words draw equal parameters.
        """
