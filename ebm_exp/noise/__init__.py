"""Noise processes: how data becomes noise, and what a potential that was fitted to it says of the densities between."""

from ebm_exp.noise.base import NoiseProcess
from ebm_exp.noise.edm import EDM
from ebm_exp.noise.flow import Flow

__all__ = ["EDM", "Flow", "NoiseProcess"]
