"""The network of the published FID (Heusel et al. 2017), its file, and what it needs."""

import importlib.util
import io
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ebm_exp.dataset.domain import Domain
from ebm_exp.types import Batch

PUBLISHED = "6726825d"  # how the checksum (SHA-256) of the published weights begins
WEIGHTS = f"pt_inception-2015-12-05-{PUBLISHED}.pth"


class Inception(nn.Module):
    """The Inception network of the FID (Heusel et al. 2017), as torch-fidelity converted it from TensorFlow.

    Images ``[batch, C, H, W]`` of the domain become uint8 levels, one channel becomes three equal ones, and the network
    resizes them to 299×299 as TensorFlow 1 did; what comes is in double precision.

    Args:
        weights: a state dict in a file of tensors alone.
        domain: of the images.
        output: ``2048``, the features of the last pooling layer, or ``logits_unbiased``, 1,008 logits.

    Raises:
        ValueError: when the file is no state dict of this network.
    """

    num_features = 2048

    def __init__(self, weights: Path, domain: Domain, output: Literal["2048", "logits_unbiased"] = "2048") -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        again = io.BytesIO()  # the network unpickles whatever its file holds: it gets one of tensors that are read
        try:
            torch.save(torch.load(weights, map_location="cpu", weights_only=True), again)
            again.seek(0)
            self.network = FeatureExtractorInceptionV3("inception-v3-compat", [output], again)
        except Exception as error:  # a damaged archive or pickle can raise nearly anything
            raise ValueError(
                f"weights: {weights} is not the state dict of torch-fidelity's Inception network "
                f"({type(error).__name__}); the published file is {WEIGHTS}"
            ) from error
        self.low, self.high = domain.low, domain.high

    def forward(self, x: Batch) -> Tensor:
        levels = ((x - self.low) * (255 / (self.high - self.low))).round().clamp(0, 255).to(torch.uint8)
        return self.network(levels.expand(-1, 3, -1, -1))[0].double()


def check_inception(event_shape: tuple[int, ...], weights: str | None) -> None:
    """Refuse what it cannot see, and say what is missing.

    Raises:
        ValueError: without images of 1 or 3 channels, without torch-fidelity, or without its file.
    """
    if len(event_shape) != 3 or event_shape[0] not in (1, 3):
        raise ValueError(f"features: inception needs images of 1 or 3 channels, the data set has {list(event_shape)}")
    if importlib.util.find_spec("torch_fidelity") is None:
        raise ValueError("features: inception needs torch-fidelity; pip install '.[fid]' where this project is")
    if weights is None:
        raise ValueError(f"weights: must be the path of {WEIGHTS} for features=inception, got null")
    if not Path(weights).is_file():
        raise ValueError(f"weights: there is no file {weights}; features=inception reads {WEIGHTS}")
