"""Flow matching (Lipman et al. 2023, arXiv 2210.02747) of a potential on a page: v_t(x) = −∇ₓE(x, t).

    python examples/flow_matching.py                # 3,000 steps on 8×8 digits, a minute on a CPU

No chain runs in training. Numbers of equations are the paper's, with σ_min = 0. The weights and their averages are, bit
for bit, those of

    python train.py experiment=flow/digits optimizer=adam 'optimizer.betas=[0.9,0.99]' \
        'energy.channels=[16,32,64]' 'energy.strides=[1,2,2]' device=cpu
"""

import copy
from itertools import pairwise
from pathlib import Path

import torch

from ebm_exp.dataset import Digits
from ebm_exp.energy import Encoder
from ebm_exp.plots import sample_grid
from ebm_exp.random import Stream, seed_global

SEED, DEVICE = 0, torch.device("cpu")
N_STEPS, BATCH, RATE, WARMUP = 3000, 64, 2e-3, 100
DATA = Digits("digits", DEVICE, test_share=0.0, noise_std=0.0)


def velocity(energy, x, t, create_graph=False):
    """v_t(x) = −∇ₓE(x, t) at points x ``[n, 1, 8, 8]`` and times t ``[n]``."""
    x = x.detach().requires_grad_()
    return -torch.autograd.grad(energy(x, t=t).sum(), x, create_graph=create_graph)[0]


def integrate(energy, x, n_steps=30):
    """dx/dt = v_t(x) from noise at t = 0 to data at t = 1, by Heun's method."""
    times = torch.linspace(0, 1, n_steps + 1)
    for t, later in pairwise(times):
        v = velocity(energy, x, t.expand(len(x)))
        ahead = velocity(energy, x + (later - t) * v, later.expand(len(x)))
        x = x + (later - t) * (v + ahead) / 2
    return x


def train(n_steps=N_STEPS):
    """The energy after so many steps of a training of ``N_STEPS``, and its averaged weights."""
    with seed_global("weights", SEED):
        energy = Encoder(DATA.event_shape, channels=(16, 32, 64), strides=(1, 2, 2), timed=True)
    energy.to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(energy).requires_grad_(False)
    optimizer = torch.optim.Adam(energy.parameters(), lr=RATE, betas=(0.9, 0.99))

    for step in range(n_steps):
        generator = Stream(SEED).at_step(DEVICE, step)
        x1 = DATA.batch(step, BATCH, SEED).x
        x0 = torch.randn(x1.shape, generator=generator)
        t = torch.randn(BATCH, generator=generator).sigmoid()  # ours: the middle most; theirs is uniform
        share = t.view(-1, 1, 1, 1)
        xt = share * x1 + (1 - share) * x0  # ψ_t(x0) (Equation 22)
        error = velocity(energy, xt, t, create_graph=True) - (x1 - x0)
        loss = error.square().flatten(1).mean(1).mean()  # ‖v_t(ψ_t(x0)) − (x1 − (1 − σ_min) x0)‖² / d (Equation 23)

        optimizer.param_groups[0]["lr"] = RATE * (min(1, (step + 1) / WARMUP) * (1 - step / N_STEPS))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(energy.parameters(), 1.0)
        optimizer.step()
        for mean, weight in zip(averaged.parameters(), energy.parameters(), strict=True):
            mean.lerp_(weight.detach(), max(0.005, 1 / (step + 1)))  # the plain mean at first
        if step % 500 == 0:
            print(f"step {step:,}  loss {loss.item():.3f}")
    return energy, averaged


if __name__ == "__main__":
    _, averaged = train()
    noise = torch.randn((64, *DATA.event_shape), generator=torch.Generator().manual_seed(1))
    sample_grid(Path("outputs/flow_matching.png"), integrate(averaged, noise).clamp(-1, 1), DATA.units)
