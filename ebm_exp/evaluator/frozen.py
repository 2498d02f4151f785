"""A public network as a space of features: how images become what it sees."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ebm_exp.dataset.domain import Domain
from ebm_exp.evaluator.published import Published
from ebm_exp.precision import full_precision
from ebm_exp.types import Batch


class Frozen(nn.Module):
    """A public network of images ``[batch, C, H, W]`` of a domain: its features, or class scores, in double precision.

    They become uint8 levels, as a file would hold them, one channel becomes three equal ones where it wants three, they
    are resized with antialiasing, and normalised. It computes in float32.

    Args:
        published: which.
        weights: its file.
        domain: of the images.
        logits: class scores instead of features.

    Raises:
        ValueError: when the file is no state dict of this network.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, published: Published, weights: Path, domain: Domain, logits: bool = False) -> None:
        super().__init__()
        self.published, self.logits = published, logits
        self.num_features = published.num_features
        self.low, self.high = domain.low, domain.high
        self.network = published.make()
        there, here = published.prefixes
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
            self.network.load_state_dict({here + name.removeprefix(there): value for name, value in state.items()})
        except Exception as error:  # a damaged archive or pickle can raise nearly anything
            raise ValueError(
                f"weights: {weights} is no state dict of {published.title} ({type(error).__name__})"
            ) from error
        for name in ("mean", "deviation"):
            self.register_buffer(name, torch.tensor(getattr(published, name)).view(1, -1, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, x: Batch) -> Tensor:
        with full_precision(x.device):
            features = self.network.features(self.see(x.float()))
            return (self.network.head(features) if self.logits else features).double()

    def see(self, x: Batch) -> Tensor:
        """What the network is given ``[batch, channels, size, size]``."""
        size = (self.published.size, self.published.size)
        levels = ((x - self.low) * (255 / (self.high - self.low))).round().clamp(0, 255)
        x = levels.expand(-1, self.published.channels, -1, -1) / 255
        if x.shape[2:] != size:
            x = interpolate(x, size, mode=self.published.resize, antialias=True).clamp(0, 1)
        return (x - self.mean) / self.deviation
