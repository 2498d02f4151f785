"""Denoising score matching (Karras et al. 2022, arXiv 2206.00364) of an energy that is −log p over all noise levels, by
its derivative by the noise (Guth et al. 2025, arXiv 2506.05310), on a page.

    python examples/score_matching.py               # 3,000 steps on 8×8 digits, two minutes on a CPU

Equations are those of Karras et al., whose network is −∇E. Weights and averages are, bit for bit, those of

    python train.py experiment=flow/digits noise=edm objective=dsm normaliser=time_score normaliser.after=0 \
        'optimizer.betas=[0.9,0.99]' 'energy.channels=[16,32,64]' 'energy.strides=[1,2,2]' optimizer=adam device=cpu \
        dataset.test_share=0.2 dataset.dequantize=true
"""

import copy
import math
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch

from ebm_exp.dataset import Digits
from ebm_exp.energy import Encoder
from ebm_exp.energy.base import energy_gradient, slopes
from ebm_exp.noise import EDM
from ebm_exp.plots import sample_grid
from ebm_exp.random import Stream, seed_global

SEED, DEVICE, N_STEPS, BATCH, RATE, WARMUP = 0, torch.device("cpu"), 3000, 64, 2e-3, 100
DATA = Digits("digits", DEVICE, test_share=0.2, noise_std=0.0, dequantize=True)
NOISE, D = EDM(DATA), 64
S, (MOST, LEAST) = NOISE.scale, NOISE.span  # the data's deviation; σ from 40 s to .02 s


def minus_log_p(energy, sigma, x):
    """Ẽ, ∇Ẽ = (x − D(x; σ))/σ² (Equation 3), preconditioned (Equation 7): of E = 0 it is a Gaussian's."""
    variance = sigma**2 + S**2
    u, c = (x - NOISE.mean) / variance**0.5, NOISE.position(torch.full((len(x),), sigma))
    return 0.5 * u.flatten(1).square().sum(1) + D / 2 * math.log(2 * math.pi * variance) + S / sigma * energy(u, t=c)


def train(n_steps=N_STEPS):
    """The energy after so many steps, and its averages; half of the σ are log-normal (Table 1), half even in log σ."""
    with seed_global("weights", SEED):
        energy = Encoder(DATA.event_shape, channels=(16, 32, 64), strides=(1, 2, 2), timed=True)
    averaged = copy.deepcopy(energy.to(memory_format=torch.channels_last)).requires_grad_(False)
    optimizer = torch.optim.Adam(energy.parameters(), lr=RATE, betas=(0.9, 0.99))
    for step in range(n_steps):
        y, g = DATA.batch(step, BATCH, SEED).x, Stream(SEED).at_step(DEVICE, step)
        z, own = torch.randn(y.shape, generator=g), torch.rand(BATCH, generator=g) < 0.5
        sigma = NOISE.within(torch.where(own, NOISE.sample_wide(BATCH, g, DEVICE), NOISE.sample_t(BATCH, g, DEVICE)))
        u, c, aim = NOISE.fit(y, sigma, z)  # c_in (y + n − mean), n = σz; c_noise; (y − c_skip (y + n))/c_out
        e, by_u, by_c = slopes(energy, u, c)
        error = (-by_u - aim).square().flatten(1).mean(1).mean()  # Equation 8 with λ c_out² = 1
        share, u = sigma**2 / (sigma**2 + S**2), u.flatten(1)
        of_e = e + share * (by_u.flatten(1) * u).sum(1) - by_c / math.log(MOST / LEAST)
        drift = share * (D - u.square().sum(1)) - S / sigma * of_e  # σ ∂Ẽ/∂σ; its aim: −σ ∂ log p(y + n | y)/∂σ
        loss = error + ((drift + (z.flatten(1).square().sum(1) - D)) / D).square().mean()
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


def sample(energy, x, n_steps=30):
    """dx/dσ = σ ∇Ẽ (Equation 1) from noise, by Heun's method (Algorithm 1) at the σ of Equation 5."""
    for sigma, later in pairwise(NOISE.course(n_steps).times):
        d = sigma * energy_gradient(partial(minus_log_p, energy, sigma), x)[1]
        ahead = later * energy_gradient(partial(minus_log_p, energy, later), x + (later - sigma) * d)[1]
        x = x + (later - sigma) * (d + ahead) / 2
    return x


if __name__ == "__main__":
    _, averaged = train()
    x = sample(averaged, NOISE.begin(torch.randn((64, *DATA.event_shape))))
    sample_grid(Path("outputs/score_matching.png"), x.clamp(-1, 1), DATA.units)
    with torch.no_grad():  # data with the most noise are normal, which tells the constant
        y = DATA.train().flatten(1)
        known = torch.distributions.MultivariateNormal(y.mean(0), y.T.cov() + MOST**2 * torch.eye(D))
        y = y + MOST * torch.randn(y.shape)
        constant = (known.log_prob(y) + minus_log_p(averaged, MOST, y.view(-1, *DATA.event_shape))).mean()
        log_p = constant - minus_log_p(averaged, LEAST, DATA.held_out(torch.Generator()))
    bits = -(log_p / D + math.log(2 / 17)) / math.log(2)
    print(f"held-out digits: {bits.mean():.3f} ± {bits.std() / len(bits) ** 0.5:.3f} bits per dimension")
