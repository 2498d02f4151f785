"""Contrastive divergence with a replay buffer (Du & Mordatch 2019, arXiv 1903.08689) on a page.

    python examples/contrastive_divergence.py       # 3,000 steps on 8×8 digits, less than a minute on a CPU

p(x; θ) = exp(−E(x; θ)) / Z(θ). Sections are the paper's. The weights and their averages are, bit for bit, those of

    python train.py device=cpu
"""

import copy
from pathlib import Path

import torch

from ebm_exp.buffer import InPlace
from ebm_exp.dataset import Digits
from ebm_exp.energy import MLP
from ebm_exp.plots import sample_grid
from ebm_exp.random import Stream, seed_global
from ebm_exp.start import Uniform

SEED, DEVICE = 0, torch.device("cpu")
N_STEPS, BATCH, K = 3000, 64, 20
STEP_SIZE, NOISE = 2.0, 0.02  # λ, and the deviation of ω: short chains at a low temperature, T = NOISE²/λ
L2, RATE = 0.1, 2e-3
DATA = Digits("digits", DEVICE, test_share=0.0, noise_std=0.05)


def run_chain(energy, x, generator, n_steps):
    """x̃ᵏ = x̃ᵏ⁻¹ − (λ/2) ∇ₓE(x̃ᵏ⁻¹) + ωᵏ, kept in the range of the images (Section 3)."""
    for _ in range(n_steps):
        omega = NOISE * torch.randn(x.shape, generator=generator)
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(energy(x).sum(), x)
        x = (x.detach() - STEP_SIZE / 2 * gradient + omega).clamp(-1, 1)
    return x


def train(n_steps=N_STEPS):
    """The energy after so many steps of a training of ``N_STEPS``, and its averaged weights."""
    with seed_global("weights", SEED):
        energy = MLP(DATA.event_shape, widths=(256, 256))
    averaged = copy.deepcopy(energy).requires_grad_(False)
    buffer = InPlace(4096, Uniform(DATA), DATA.domain, DEVICE, SEED, reinit_probability=0.05)
    optimizer = torch.optim.Adam(energy.parameters(), lr=RATE, betas=(0.0, 0.999))

    for step in range(n_steps):
        generator = Stream(SEED).at_step(DEVICE, step)
        x_pos = DATA.batch(step, BATCH, SEED).x  # x⁺ from the data
        start = buffer.draw(BATCH, generator)  # 95 % where earlier chains ended, 5 % uniform (Section 3.2)
        x_neg = run_chain(energy, start.x, generator, K)  # x⁻ from q_θ
        buffer.store(start, x_neg)

        e_pos, e_neg = energy(torch.cat([x_pos, x_neg])).chunk(2)
        contrast = (e_pos - e_neg).mean()  # ∇θ: E_data[∇θE(x⁺)] − E_qθ[∇θE(x⁻)] (Section 3.1)
        bound = (L2 * (e_pos.square() + e_neg.square())).mean()  # weak L2 on energies (Section 3.3)

        optimizer.param_groups[0]["lr"] = RATE * (1 - step / N_STEPS)
        optimizer.zero_grad()
        (contrast + bound).backward()
        torch.nn.utils.clip_grad_norm_(energy.parameters(), 1.0)
        optimizer.step()
        for mean, weight in zip(averaged.parameters(), energy.parameters(), strict=True):
            mean.lerp_(weight.detach(), max(0.002, 1 / (step + 1)))  # the plain mean at first
        if step % 500 == 0:
            print(f"step {step:,}  E(data) {e_pos.mean().item():.3f}  E(samples) {e_neg.mean().item():.3f}")
    return energy, averaged


if __name__ == "__main__":
    _, averaged = train()
    generator = torch.Generator().manual_seed(1)
    start = DATA.domain.uniform(64, generator)
    sample_grid(Path("outputs/contrastive_divergence.png"), run_chain(averaged, start, generator, 300), DATA.units)
