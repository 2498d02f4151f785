"""How a network takes a class: a gain and a bias per class and channel (class-conditional IGEBM; Du & Mordatch 2019).

h ← (1 + g_y) · h + b_y, g and b zero at first, so that all classes begin as one. The published code adds labels in
the same place; weights stay shared, and spectral normalisation does not touch the table.
"""

from torch import Tensor, nn


class ClassAffine(nn.Module):
    """Gain and bias of each channel by class: h ``[batch, channels, …]``, y ``[batch]`` → like h.

    Args:
        n_classes: number of classes.
        channels: of what is modulated.

    Raises:
        ValueError: when there are no classes.
    """

    def __init__(self, n_classes: int, channels: int) -> None:
        super().__init__()
        if n_classes < 1:
            raise ValueError("conditional: needs labels, this data set has none")
        self.table = nn.Embedding(n_classes, 2 * channels)
        nn.init.zeros_(self.table.weight)

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        gain, bias = self.table(y).view(len(y), 2, h.shape[1], *[1] * (h.dim() - 2)).unbind(1)
        return (1 + gain) * h + bias
