"""What networks of images share: residual blocks, and the embedding of time and labels that modulates them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ebm_exp.energy.convolution import Convolution
from ebm_exp.energy.time import Film, Fourier, small

_N_FREQUENCIES = 16
_PER_HEAD = 32  # channels


class Conditions(nn.Module):
    """Time and labels as one vector: ``t [batch]``, ``y [batch]`` → ``[batch, width]``, None without either.

    Args:
        width: of the vector.
        timed: take t.
        n_classes: take y of so many classes; None: none.
        no_label: one class more, for points without a label.
        activation: of the two layers.

    Attributes:
        context: what is taken, by name.
        no_label: the y of points without a label; None: there are none.

    Raises:
        ValueError: when there are no labels to take.
    """

    def __init__(self, width: int, timed: bool, n_classes: int | None, no_label: bool, activation: nn.Module) -> None:
        super().__init__()
        if n_classes is not None and n_classes < 1:
            raise ValueError("conditional: needs labels, this data set has none")
        if no_label and n_classes is None:
            raise ValueError("no_label: needs conditional=true")
        self.context = ("t",) * timed + ("y",) * (n_classes is not None)
        self.no_label = n_classes if no_label else None
        self.time = nn.Sequential(Fourier(_N_FREQUENCIES), nn.Linear(2 * _N_FREQUENCIES, width)) if timed else None
        self.classes = None if n_classes is None else nn.Embedding(n_classes + no_label, width)
        self.mix = nn.Sequential(activation, nn.Linear(width, width), activation) if self.context else None

    def forward(self, context: Mapping[str, Tensor]) -> Tensor | None:
        embedded = [] if self.time is None else [self.time(context["t"])]
        embedded += [] if self.classes is None else [self.classes(context["y"])]
        return None if self.mix is None else self.mix(torch.stack(embedded).sum(0))


class Block(nn.Module):
    """h → skip(h) + conv(φ(film(norm(conv(φ(norm(h)))), embedding))); without an embedding no film acts.

    Without ``n_groups`` there are no norms, with it they are of so many groups of channels (Wu & He 2018).
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        stride: int,
        embedded: int | None,
        activation: nn.Module,
        n_groups: int | None = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.norms = nn.ModuleList([] if n_groups is None else [nn.GroupNorm(n_groups, n) for n in (n_in, n_out)])
        self.first = Convolution(n_in, n_out, 3, stride, 1)
        self.second = Convolution(n_out, n_out, 3, 1, 1)
        self.film = None if embedded is None else Film(embedded, n_out)
        self.skip = nn.Identity() if n_in == n_out and stride == 1 else Convolution(n_in, n_out, 1, stride)

    def forward(self, h: Tensor, embedding: Tensor | None) -> Tensor:
        inner = self.first(self.activation(self.norms[0](h) if self.norms else h))
        if self.norms:
            inner = self.norms[1](inner)
        if self.film is not None and embedding is not None:  # there is none while sizes are found
            inner = self.film(inner, embedding)
        return self.skip(h) + self.second(self.activation(inner))


class Attention(nn.Module):
    """A transformer layer on the pixels of h ``[batch, n, height, width]`` (Vaswani et al. 2017), before its norms."""

    def __init__(self, n: int, activation: nn.Module) -> None:
        super().__init__()
        self.n_heads = n // _PER_HEAD if n % _PER_HEAD == 0 else 1
        self.first, self.second = nn.LayerNorm(n), nn.LayerNorm(n)
        self.reads, self.writes = nn.Linear(n, 3 * n), small(nn.Linear(n, n))
        self.inner = nn.Sequential(nn.Linear(n, 4 * n), activation, small(nn.Linear(4 * n, n)))

    def forward(self, h: Tensor) -> Tensor:
        pixels = h.flatten(2).transpose(1, 2)
        heads = self.reads(self.first(pixels)).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(*heads.unbind()).transpose(1, 2).flatten(2)
        pixels = pixels + self.writes(attended)
        pixels = pixels + self.inner(self.second(pixels))
        return pixels.transpose(1, 2).unflatten(2, h.shape[2:])


def check_stages(name: str, event_shape: Sequence[int], channels: Sequence[int], strides: Sequence[int]) -> None:
    """Refuse what is no network of images.

    Raises:
        ValueError: when points are no images, or stages and strides differ in number.
    """
    if len(event_shape) != 3:
        raise ValueError(
            f"{name} needs images [channels, height, width], the data set has points of shape {[*event_shape]}"
        )
    if len(channels) != len(strides) or not channels:
        raise ValueError(f"strides: must be one for each of channels, {len(channels)}, got {len(strides)}")
