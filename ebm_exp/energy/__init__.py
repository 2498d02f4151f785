"""Energies: networks from points to one number each, low where data is."""

from ebm_exp.energy.analytic import Analytic, Funnel, Gaussian, Mixture
from ebm_exp.energy.base import Energy
from ebm_exp.energy.conv import Conv
from ebm_exp.energy.encoder import Encoder
from ebm_exp.energy.igebm import IGEBM
from ebm_exp.energy.joint import Joint
from ebm_exp.energy.mlp import MLP
from ebm_exp.energy.multiscale import MultiScale
from ebm_exp.energy.quadrature import DoubleWell, Ring
from ebm_exp.energy.radial import Radial
from ebm_exp.energy.tilted import Tilted
from ebm_exp.energy.unet import UNet
from ebm_exp.energy.whitened import Whitened
from ebm_exp.energy.wide_resnet import WideResNet

__all__ = [
    "IGEBM",
    "MLP",
    "Analytic",
    "Conv",
    "DoubleWell",
    "Encoder",
    "Energy",
    "Funnel",
    "Gaussian",
    "Joint",
    "Mixture",
    "MultiScale",
    "Radial",
    "Ring",
    "Tilted",
    "UNet",
    "Whitened",
    "WideResNet",
]
