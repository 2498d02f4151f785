"""Improved contrastive divergence (Du, Li, Tenenbaum & Mordatch 2021, arXiv 2012.01316) on a page.

    python examples/improved_cd.py                  # 400 steps on 8×8 digits, a minute on a CPU

L = L_CD + L_KL. The second is what contrastive divergence leaves out: with x = x(θ) where chains end,
L_KL = E_q[E(x; stop(θ))] + E_q[log q(x)]. The weights and their averages are, bit for bit, those of

    python train.py experiment=du2021/digits_small device=cpu
"""

import copy
from pathlib import Path

import torch

from ebm_exp.augmentation import Images
from ebm_exp.buffer import Fifo
from ebm_exp.dataset import Digits
from ebm_exp.energy import MultiScale
from ebm_exp.energy.base import freeze
from ebm_exp.plots import sample_grid
from ebm_exp.random import Stream, seed_global
from ebm_exp.start import Uniform

SEED, DEVICE = 0, torch.device("cpu")
N_STEPS, BATCH, K, RATE, L2 = 400, 64, 10, 1e-3, 0.1
STEP_SIZE, NOISE = 2.0, 0.01  # λ, and the deviation of ω
N_THROUGH = 32  # chains whose last step is differentiated
ENTROPY, BANK, MIN_HELD, EPS = 0.03, 100, 500, 1e-3  # weight; points of the buffer; from how many on; a distance
DATA = Digits("digits", DEVICE, test_share=0.0, noise_std=0.0, value_range=(0.0, 1.0), dequantize=True)


def run_chain(energy, x, omegas, create_graph=False):
    """Langevin steps in [0, 1], the noise ω first, as the paper's code has it."""
    for omega in omegas:
        x = (x + omega).requires_grad_()
        (gradient,) = torch.autograd.grad(energy(x).sum(), x, create_graph=create_graph)
        x = (x if create_graph else x.detach()).sub(STEP_SIZE / 2 * gradient).clamp(0, 1)
    return x


def log_nearest(x, bank):
    """log r, r from each x to the nearest point of the bank: its mean is H(q)/d but for a constant."""
    nearest = (bank.flatten(1).square().sum(1) - 2 * x.detach().flatten(1) @ bank.flatten(1).T).argmin(1)
    return ((x - bank[nearest]).flatten(1).square().sum(1) + EPS**2).log() / 2


def train(n_steps=N_STEPS):
    """The energy after so many steps, its averaged weights, and the buffer of its chains."""
    with seed_global("weights", SEED):  # towers of the image and of its half, their energies added
        energy = MultiScale(DATA.event_shape, channels=(16, 16, 32), blocks=1, n_scales=2, attention_after=1)
    energy.to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(energy).requires_grad_(False)
    crops = Images(DATA.domain, (0.8, 1.0), (0.9, 1.1), flip_probability=0.0, jitter=None, grey_probability=0.0)
    buffer = Fifo(1024, Uniform(DATA), DATA.domain, DEVICE, SEED, crops, reinit_probability=0.01, storage="uint8")
    optimizer = torch.optim.Adam(energy.parameters(), lr=RATE, betas=(0.0, 0.9))
    for step in range(n_steps):
        generator = Stream(SEED).at_step(DEVICE, step)
        x_pos = DATA.batch(step, BATCH, SEED).x
        start = buffer.draw(BATCH, generator)  # held points are augmented, a transition of its own
        *omegas, last = (NOISE * torch.randn(start.x.shape, generator=generator) for _ in range(K))
        with freeze(energy):
            x = run_chain(energy, start.x, omegas)
            others = run_chain(energy, x[N_THROUGH:], [last[N_THROUGH:]])
        ends = run_chain(energy, x[:N_THROUGH], [last[:N_THROUGH]], create_graph=True)  # x(θ), through the last step
        x_neg = torch.cat([ends, others])
        e_pos, e_neg = energy(torch.cat([x_pos, x_neg.detach()])).chunk(2)
        losses = [(e_pos - e_neg).mean()]  # L_CD
        with freeze(energy):
            losses.append(energy(x_neg[:N_THROUGH]).mean())  # E_q[E(x; stop(θ))]
        if buffer.n_filled > MIN_HELD:  # E_q[log q(x)] = −H(q)
            losses.append((-ENTROPY * log_nearest(x_neg[:N_THROUGH], buffer.bank(BANK, generator))).mean())
        losses.append((L2 * (e_pos.square() + e_neg.square())).mean())
        buffer.store(start, x_neg.detach())
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        torch.nn.utils.clip_grad_norm_(energy.parameters(), 0.5)
        optimizer.step()
        for mean, weight in zip(averaged.parameters(), energy.parameters(), strict=True):
            mean.lerp_(weight.detach(), max(0.01, 1 / (step + 1)))  # the plain mean at first
        if step % 50 == 0:
            print(f"step {step:,}  E(data) {e_pos.mean().item():.3f}  E(samples) {e_neg.mean().item():.3f}")
    return energy, averaged, buffer


if __name__ == "__main__":
    _, averaged, buffer = train()
    generator = torch.Generator().manual_seed(1)
    omegas = NOISE * torch.randn((K, 64, *DATA.event_shape), generator=generator)
    sample_grid(Path("outputs/improved_cd.png"), run_chain(averaged, buffer.recent(64).x, omegas), DATA.units)
