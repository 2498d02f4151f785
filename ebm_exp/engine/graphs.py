"""CUDA graphs: what a training repeats is recorded once and replayed, so that the device waits for no launch.

The kernels of a small network take some ten microseconds each, and a step of its chain launches fifty of them: one
after another, the launches take most of the time. A replay is one launch, and computes the same numbers.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ebm_exp import memory
from ebm_exp.engine.base import L, Run, Work
from ebm_exp.engine.eager import Eager
from ebm_exp.engine.target import Target
from ebm_exp.sampler.base import Control, Sampler
from ebm_exp.sampler.chain import Chain, Generators, draw_noise
from ebm_exp.types import Batch, Provided

log = logging.getLogger(__name__)

KEPT = 12  # recordings, the latest used; each holds the memory of one call
_WARM_UPS = 2  # libraries set themselves up in the first calls, which cannot be recorded


class Graphs(Eager):
    """Records a step of chains, and a pure loss with its gradients (see ``Engine``).

    Elsewhere than on CUDA, for chains that somebody watches, and for what CUDA cannot record (told once), it is the
    eager engine.
    """

    def __init__(
        self, device: Provided[torch.device], precision: Literal["float32", "bf16", "auto"] = "float32"
    ) -> None:
        super().__init__(device, precision)
        self.records = device.type == "cuda"
        self._recordings: OrderedDict[Hashable, _Recording | None] = OrderedDict()  # None: cannot be recorded

    @torch.no_grad()
    def _run_at_rest(
        self,
        sampler: Sampler,
        target: Target,
        x: Batch,
        generators: Generators,
        control: Control,
        how: Run,
        context: dict[str, Tensor | None],
    ) -> Chain:
        if self.records and how.watch is None and how.n_steps:
            given = (sampler.init(target.bind(**context), x, how.n_adapt), control, context)

            def step(own: Any, noise: Any) -> Any:
                before, settings, bound = own
                after, info = sampler.step(target.bind(**bound), before, noise, settings)
                info, after = _apart((info, after), (own, noise))
                _set(before, after)
                return info

            def numbers() -> Any:  # for an example; the chain's own come one by one
                return draw_noise(sampler, _others(generators), x)

            recording = self._find_recording("a chain", ("chain", target, sampler), step, given, numbers)
            if recording is not None:
                _set(recording.given, given)
                for _ in range(how.n_steps):
                    _set(recording.numbers, draw_noise(sampler, generators, x))
                    recording.replay()
                state, info = pytree.tree_map(_copy, (recording.given[0], recording.result))
                return Chain(state.x, state, info)
        return super()._run_at_rest(sampler, target, x, generators, control, how, context)

    def differentiate(
        self, work: Work[L], given: Any, generator: torch.Generator, n_parts: int = 1
    ) -> tuple[L, Tensor, list[Tensor | None]]:
        eagerly = super().differentiate
        if self.records and work.pure and n_parts == 1:  # what is to be added up must not be written over
            again, numbers = partial(eagerly, work), partial(torch.Generator, self.device)
            recording = self._find_recording("a loss", ("loss", work), again, given, numbers, work.changes)
            if recording is not None:
                _set(recording.given, given)
                recording.numbers.set_state(generator.get_state())
                recording.replay()
                return recording.result  # type: ignore[no-any-return]
        return eagerly(work, given, generator, n_parts)

    def compute(self, name: str, key: Hashable, work: Callable[[Any], Any], given: Any) -> Any:
        if self.records:
            again = lambda own, _: work(own)  # noqa: E731
            recording = self._find_recording(name, (name, key), again, given, lambda: None)
            if recording is not None:
                _set(recording.given, given)
                recording.replay()
                return recording.result
        return work(given)

    def _find_recording(
        self,
        name: str,
        key: tuple[Hashable, ...],
        work: Callable[[Any, Any], Any],
        given: Any,
        numbers: Callable[[], Any],
        changes: Iterable[Tensor] = (),
    ) -> "_Recording | None":
        """The recording of work on inputs like these, made when it is first asked for; None: it cannot be made."""
        leaves, spec = pytree.tree_flatten(given)
        shapes = [(leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        key = (*key, *shapes, str(spec), torch.is_autocast_enabled(self.device.type))
        if key not in self._recordings:
            before = memory.free(self.device)
            try:
                self._recordings[key] = _Recording(work, given, numbers(), changes)
            except RuntimeError as error:
                log.warning("engine=graphs: %s is not recorded and runs eagerly (%s)", name, str(error).split("\n")[0])
                self._recordings[key], self.has_failed = None, True
            self._make_room(before - memory.free(self.device))
        self._recordings.move_to_end(key)
        while len(self._recordings) > KEPT:
            self._recordings.popitem(last=False)
        return self._recordings[key]

    def _make_room(self, n_bytes: float) -> None:
        """Drop the oldest recordings until another one of so many bytes would fit."""
        while self.device.type == "cuda" and len(self._recordings) > 1 and memory.free(self.device) < n_bytes:
            self._recordings.popitem(last=False)
            torch.cuda.empty_cache()


class _Recording:
    """Work on inputs of its own, recorded.

    Args:
        work: of inputs and random numbers; it may write to its inputs.
        given: an example of the inputs.
        numbers: an example of the numbers, or a generator of its own.
        changes: what work changes beside its inputs, and is to change at a replay only.

    Attributes:
        given: like the example; a replay reads them.
        numbers: likewise.
        result: what work returned; a replay writes it.
        replay: computes the result anew.
    """

    def __init__(self, work: Callable[[Any, Any], Any], given: Any, numbers: Any, changes: Iterable[Tensor]) -> None:
        self.given, self.numbers = pytree.tree_map(_copy, (given, numbers))
        before = [(tensor, tensor.clone()) for tensor in changes]
        generator = numbers if isinstance(numbers, torch.Generator) else None
        try:
            self.result, self.replay = record(lambda: work(self.given, self.numbers), generator)
        finally:
            with torch.no_grad():
                for tensor, value in before:
                    tensor.copy_(value)


def record(work: Callable[[], Any], generator: torch.Generator | None) -> tuple[Any, Callable[[], None]]:
    """What work returns, in storage that the second, called, fills anew."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    if generator is not None:
        graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        result = work()
    return result, graph.replay


def _others(generators: Generators) -> Generators:
    """As many generators as these, which stay untouched."""
    if isinstance(generators, torch.Generator):
        return torch.Generator(generators.device)
    return [torch.Generator(each.device) for each in generators]


def _copy(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf


def _set(own: Any, given: Any) -> None:
    """Copy numbers over, leaf by leaf."""
    with torch.no_grad():
        for to, value in zip(pytree.tree_leaves(own), pytree.tree_leaves(given), strict=True):
            if isinstance(to, Tensor) and to is not value:
                to.copy_(value)


def _apart(results: Any, inputs: Any) -> Any:
    """Results in storage of their own, where they are views of inputs that will be written over."""
    written = {leaf.untyped_storage().data_ptr() for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, Tensor)}
    copies: dict[int, Tensor] = {}

    def own(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or leaf.untyped_storage().data_ptr() not in written:
            return leaf
        return copies.setdefault(id(leaf), leaf.clone())

    return pytree.tree_map(own, results)
