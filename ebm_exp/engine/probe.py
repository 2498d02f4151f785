"""Is bf16 faster than float32 on this processor? Most compute in it; those without an instruction for it emulate it."""

import functools
import time

import torch
from torch.nn.functional import silu

from ebm_exp.energy.convolution import Convolution
from ebm_exp.precision import autocast
from ebm_exp.random import seed_global

FASTER, SLOWER = 0.8, 1.5  # ratios at which bf16 is taken, and warned of
_REPEATS = 4  # the least time counts: other processes only add to it


@functools.cache
def bf16_ratio() -> float:
    """The time that the gradient of a convolution takes in bf16, as a ratio to float32, on the CPU.

    It is measured once for each process, in some 30 ms; where bf16 is emulated, in 0.3 s.
    """
    cpu = torch.device("cpu")
    least = {True: float("inf"), False: float("inf")}
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.full((8, 64, 16, 16), 0.5).to(memory_format=torch.channels_last).requires_grad_()
        with seed_global("probe"):
            layer = Convolution(64, 64, 3, padding=1).to(memory_format=torch.channels_last)
        for _ in range(_REPEATS):
            for in_bf16 in (False, True):
                began = time.perf_counter()
                with autocast(cpu, in_bf16):
                    energy = silu(layer(x)).sum()
                torch.autograd.grad(energy, x)
                least[in_bf16] = min(least[in_bf16], time.perf_counter() - began)
            if least[True] > 10 * least[False] and least[True] > 0.1:
                break  # it will not become faster
    return least[True] / least[False]
