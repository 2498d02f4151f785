"""Points of the plane in Gray code: binary data whose distribution is known, and whose samples can be looked at.

The published tables on such data (PCD, ALOE+: Dai et al. 2020, arXiv 2011.05363; EB-GFN: Zhang et al. 2022, arXiv
2202.01361) write a sign and the Gray code of a magnitude, which is the Gray code of the cell but for two bits that are
turned over: the same data for any network. Their squares reach two units beyond the outermost of 5,000 points; the
boxes below are these, in our units.
"""

import math
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge, Le

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.gray_units import GrayUnits
from ebm_exp.dataset.toy2d import (
    Checkerboard,
    EightGaussians,
    Pinwheel,
    Rings,
    SwissRoll,
    Toy2D,
    TwoMoons,
    TwoSpirals,
)
from ebm_exp.types import Batch, PerSample, Positive, PositiveInt, Provided


class _Set(NamedTuple):
    kind: type[Toy2D]
    half_width: float
    noise: float


_SETS = {
    "two_moons": _Set(TwoMoons, 2.83, 0.1),  # published: twice as large
    "two_spirals": _Set(TwoSpirals, 5.48, 0.1),  # published: from the centre, arms of another width
    "swiss_roll": _Set(SwissRoll, 6.58, 0.25),  # published: 0.8 times as large
    "eight_gaussians": _Set(EightGaussians, 8.76, 0.5),  # published: 1/√2 times as large
    "checkerboard": _Set(Checkerboard, 6.0, 0.1),  # as published; it has no noise
    "pinwheel": _Set(Pinwheel, 4.5, 0.15),  # published: other blades
    "rings": _Set(Rings, 4.0, 0.08),  # published: two circles
}


class GrayCode(Dataset):
    """Bits ``[2b]`` of points of one of seven plane sets, see ``GrayUnits``.

    Args:
        name: the run directory's name; names the draw too.
        device, seed: where the bits live and which ones they are.
        plane: the set.
        half_width, noise: of the square and of the set (``toy2d.py``); None: as published where the set is, else as
            ``dataset=<set>`` has them.
        n_bits: b, of each coordinate.
        n_train, n_test: number of points.
    """

    def __init__(
        self,
        name: str,
        device: Provided[torch.device],
        seed: Provided[int],
        plane: Literal[
            "two_moons", "two_spirals", "swiss_roll", "eight_gaussians", "checkerboard", "pinwheel", "rings"
        ] = "two_spirals",
        half_width: Positive | None = None,
        noise: Positive | None = None,
        n_bits: Annotated[int, Ge(1), Le(20)] = 16,
        n_train: PositiveInt = 100_000,
        n_test: PositiveInt = 10_000,
    ) -> None:
        chosen = _SETS[plane]
        h = half_width or chosen.half_width
        self.plane = chosen.kind(name, torch.device("cpu"), seed, h, noise or chosen.noise, n_train, n_test)
        domain = Domain(0, 1, (2 * n_bits,))
        units = GrayUnits(domain, h)
        super().__init__(
            name=name,
            domain=domain,
            train=units.bits(self.plane.train()),
            test=units.bits(self.plane.test()),
            n_levels=2,
            units=units,
            device=device,
        )
        self._grid = units

    def log_prob(self, x: Batch) -> PerSample:
        """Log-probability ``[batch]`` of points, in nats: of cells that are narrow against what the density does.

        The density in the middle of a cell; of the checkerboard, whose edges cut cells in thirds, the mean of 3².
        """
        cell = self._grid.cell
        places = [-1.0, 0.0, 1.0] if isinstance(self.plane, Checkerboard) else [0.0]
        third = cell / 3 * torch.tensor(places, dtype=torch.float64, device=x.device)
        points = self._grid.middle(x) + torch.cartesian_prod(third, third).unsqueeze(1)  # [places², batch, 2]
        log_p = self.plane.log_prob(points.flatten(0, 1)).view(len(points), -1)
        return (log_p.logsumexp(0) - math.log(len(points)) + 2 * math.log(cell)).to(x.dtype)
