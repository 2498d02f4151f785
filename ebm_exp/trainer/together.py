"""What the ranks of a training put together after each step: gradients, metrics, and what each of them wishes.

``DistributedDataParallel`` is no help here: it waits for a gradient of every parameter, and a loss on ∇E gives an
energy's constants none. So the gradients stand in one flat buffer for each type, one reduction averages it, outside of
what an engine records, and everything else that ranks must agree on rides in its tail.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ebm_exp.ranks import Ranks

Wishes = tuple[bool, ...]

_N_NUMBERS = 64  # beside the gradients, at first


class Together:
    """The mean over ranks; of one that is alone, what it has.

    Args:
        ranks: who trains.
        params: whose gradients are averaged.
    """

    def __init__(self, ranks: Ranks, params: Sequence[Tensor]) -> None:
        self.ranks = ranks
        self._params = list(params)
        self._views: list[Tensor] = []  # of the flat buffers, one for each parameter
        self._flats: list[Tensor] = []
        self._tail = torch.empty(0)
        self._mine: Wishes = ()
        self._heard: list[Tensor] = []  # what was wished in the last steps, on the host
        self._events: list[torch.cuda.Event] = []

    def agree(self, *wishes: bool) -> Wishes:
        """Say what this rank wishes, and hear what any of them wished before the last step; on CUDA before the one
        before it, which is over: nobody waits for the device. Of one that is alone: what it wishes.
        """
        if self.ranks.alone:
            return wishes
        self._mine = wishes
        if len(self._heard) <= bool(self._events):
            return (False,) * len(wishes)
        heard = self._heard.pop(0)
        if self._events:
            self._events.pop(0).synchronize()
        return tuple(bool(wish) for wish in heard.tolist())

    @torch.no_grad()
    def compare(self) -> None:
        """Refuse to go on where the weights of ranks are not the same.

        Raises:
            RuntimeError: naming a rank.
        """
        if self.ranks.alone:
            return
        found = self.ranks.collect(float(torch.stack([p.double().sum() for p in self._params]).sum()))
        for rank, value in enumerate(found):
            if value != found[0] and value == value:  # NaN is told elsewhere
                raise RuntimeError(f"the weights of rank {rank} are not those of the first: their devices differ?")

    @torch.no_grad()
    def average(
        self, gradients: list[Tensor | None], told: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor | None], list[dict[str, Tensor]]]:
        """The means over all ranks of gradients, as ``params`` has them, and of scalars on the device by their names.

        What has no gradient, and which names there are, is the same on each rank. The next call writes over what this
        one returns.
        """
        if self.ranks.alone:
            return gradients, told
        numbers = [each for names in told for each in names.values()]
        n_told = len(self._mine) + len(numbers)
        if not self._flats or n_told > len(self._tail):
            self._reserve(max(n_told, _N_NUMBERS))
        pairs = [(view, g) for view, g in zip(self._views, gradients, strict=True) if g is not None]
        if pairs:
            torch._foreach_copy_([view for view, _ in pairs], [g for _, g in pairs])
        tail, n_wishes = self._tail, len(self._mine)
        if numbers:
            tail[n_wishes:n_told].copy_(torch.stack([each.reshape(()).to(tail.dtype) for each in numbers]))
        wishes = torch.tensor(self._mine, dtype=tail.dtype)
        tail[:n_wishes].copy_(wishes.pin_memory() if tail.is_cuda else wishes, non_blocking=True)
        for flat in self._flats:
            self.ranks.add(flat)
            flat.mul_(1 / self.ranks.n)
        self._hear(tail[:n_wishes])
        means = iter(tail[n_wishes:n_told].unbind())
        averaged = [None if g is None else view for view, g in zip(self._views, gradients, strict=True)]
        return averaged, [{name: next(means) for name in names} for names in told]

    def _hear(self, wishes: Tensor) -> None:
        if not wishes.is_cuda:
            self._heard.append(wishes.clone())
            return
        self._heard.append(torch.empty(wishes.shape, dtype=wishes.dtype, pin_memory=True))
        self._heard[-1].copy_(wishes, non_blocking=True)
        self._events.append(torch.cuda.Event())
        self._events[-1].record()

    def _reserve(self, n_numbers: int) -> None:
        """Make the flat buffers, the first with room for so many numbers behind its gradients."""
        self._flats, views = [], {}
        for dtype in dict.fromkeys(p.dtype for p in self._params):
            some = [p for p in self._params if p.dtype == dtype]
            n, room = sum(p.numel() for p in some), 0 if self._flats else n_numbers
            flat, first = torch.zeros(n + room, dtype=dtype, device=some[0].device), 0
            for p in some:
                views[id(p)] = flat.as_strided(p.shape, p.stride(), first)  # in p's order, channels-last too
                first += p.numel()
            if room:
                self._tail = flat[n:]
            self._flats.append(flat)
        self._views = [views[id(p)] for p in self._params]
