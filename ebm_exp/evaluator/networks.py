"""Published classifiers of images, as far as their state dicts need: each has features, and class scores of these."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad, relu

from ebm_exp.energy.convolution import Convolution
from ebm_exp.types import Batch


class PublishedNetwork(nn.Module, ABC):
    """Features ``[batch, num_features]`` of images ``[batch, C, H, W]``, and scores ``[batch, n_classes]`` of these."""

    @abstractmethod
    def features(self, x: Batch) -> Tensor:
        """What the last linear layer reads."""

    @abstractmethod
    def head(self, features: Tensor) -> Tensor:
        """What the last linear layer makes of it, up to a constant."""


class CifarResNet(PublishedNetwork):
    """A ResNet of 6n + 2 layers for images of 32×32 (He et al. 2016, arXiv 1512.03385, Sec. 4.2).

    Three stages of n blocks have 16, 32 and 64 channels, the second and third at half of the resolution. No shortcut
    has weights: where channels double, every second pixel is taken, and zeros are the new channels, half of them on
    either side.

    Args:
        n: blocks in a stage; 3 is ResNet-20, 9 is ResNet-56.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = Convolution(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(_Block(16, 16) for _ in range(n)))
        self.layer2 = nn.Sequential(_Block(16, 32), *(_Block(32, 32) for _ in range(n - 1)))
        self.layer3 = nn.Sequential(_Block(32, 64), *(_Block(64, 64) for _ in range(n - 1)))
        self.linear = nn.Linear(64, 10)

    def features(self, x: Batch) -> Tensor:
        x = relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x))).mean((2, 3))

    def head(self, features: Tensor) -> Tensor:
        return self.linear(features)


class _Block(nn.Module):
    """Two convolutions of 3×3, each normalised, and what came in added."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.stride = n_out // n_in
        self.new = (n_out - n_in) // 2  # channels of zeros on either side
        self.conv1 = Convolution(n_in, n_out, 3, self.stride, padding=1, bias=False)
        self.conv2 = Convolution(n_out, n_out, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(n_out), nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new, self.new))
        return relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))) + shortcut)


class LeNet(PublishedNetwork):
    """LeNet-5 (LeCun et al. 1998) for grey images of 32×32: tanh, maxima of 2×2, and each map of C3 reads all six."""

    def __init__(self) -> None:
        super().__init__()
        widths = {"c1": (1, 6), "c3": (6, 16), "c5": (16, 120)}
        self.convnet = nn.ModuleDict({name: Convolution(n_in, n_out, 5) for name, (n_in, n_out) in widths.items()})
        self.fc = nn.ModuleDict({"f6": nn.Linear(120, 84), "f7": nn.Linear(84, 10)})

    def features(self, x: Batch) -> Tensor:
        for name in ("c1", "c3"):
            x = max_pool2d(torch.tanh(self.convnet[name](x)), 2)
        return torch.tanh(self.fc["f6"](torch.tanh(self.convnet["c5"](x)).flatten(1)))

    def head(self, features: Tensor) -> Tensor:
        return self.fc["f7"](features)


class EfficientNetLite0(PublishedNetwork):
    """EfficientNet-lite0 (Tan & Le 2019, without squeeze-and-excitation) as ``efficientnet-lite-pytorch`` has it."""

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        self.network = EfficientNet.from_name("efficientnet-lite0")

    def features(self, x: Batch) -> Tensor:
        return self.network.extract_features(x).mean((2, 3))

    def head(self, features: Tensor) -> Tensor:
        return self.network._fc(features)
