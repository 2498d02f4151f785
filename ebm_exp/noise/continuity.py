"""How far the energies of a noise process are from one density that is carried through all times.

What follows v = −∇V(x, t) (``NoiseProcess.carrier``) has densities with ∂p/∂t + ∇·(p v) = 0 (for ``noise=edm`` that is
the Fokker–Planck equation of added noise, ∂p/∂σ = σ∇²p). If Ẽ is −log p but for one constant, then

r = ∂Ẽ/∂t + ∇²V − ⟨∇V, ∇Ẽ⟩ = 0.

The trace ∇²V = E ⟨v, ∇²V v⟩, vᵢ = ±1 (Hutchinson 1990), takes one product of Jacobian and vector for each probe v; in
few dimensions all unit vectors are taken, and it is exact.
"""

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ebm_exp.energy.base import Energy
from ebm_exp.noise.base import NoiseProcess
from ebm_exp.types import Batch, PerSample

EXACT = 16  # dimensions up to which the trace is


def residuals(
    noise: NoiseProcess, energy: Energy, x: Batch, t: PerSample, generator: torch.Generator
) -> tuple[PerSample, PerSample]:
    """``pace(t)`` · r at points x ``[batch, *event]`` of times t, per dimension, twice.

    Their probes are independent, so that the mean of the product is that of r²; where the trace is exact they are the
    same.

    Args:
        noise: the process.
        energy: of time, fitted to it.
        x: as the process makes points.
        t: ``[batch]``.
        generator: of the probes.
    """
    d = x[0].numel()
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # fused attention has no double backward pass
        x, t = x.detach().requires_grad_(), t.detach().requires_grad_()
        e = noise.densities(energy)(x, t=t)
        slope, rate = torch.autograd.grad(e, (x, t), torch.ones_like(e))
        v = noise.carrier(energy)(x, t=t)
        (pull,) = torch.autograd.grad(v, x, torch.ones_like(v), create_graph=True)

        def bent(probe: Tensor) -> PerSample:
            """⟨v, ∇²V v⟩ ``[batch]`` of a probe like x."""
            (along,) = torch.autograd.grad(pull, x, probe, retain_graph=True)
            return (along * probe).flatten(1).sum(1)

        if d <= EXACT:
            units = torch.eye(d, dtype=x.dtype, device=x.device).view(d, 1, *x.shape[1:])
            traces = [torch.stack([bent(unit.expand_as(x)) for unit in units]).sum(0)] * 2
        else:
            signs = torch.randint(2, (2, *x.shape), generator=generator, device=x.device).to(x.dtype) * 2 - 1
            traces = [bent(probe) for probe in signs]
    known = rate - (pull.detach() * slope).flatten(1).sum(1)
    one, two = (noise.pace(t.detach()) * (known + trace) / d for trace in traces)
    return one, two
