"""Augmentation of images by torchvision, in the order of SimCLR (Chen et al. 2020, arXiv 2002.05709, Appendix A).

A = blur ∘ grey ∘ jitter ∘ flip ∘ crop
"""

from typing import Annotated

import torch
from annotated_types import Ge, Le

from ebm_exp.augmentation.base import Augmentation
from ebm_exp.dataset.domain import Domain
from ebm_exp.precision import full_precision
from ebm_exp.random import Source, derive_seed, generator_of
from ebm_exp.types import Batch, From, NonNegative, Positive, PositiveInt, Probability

HalfTurn = Annotated[float, Ge(0), Le(0.5)]  # share of the circle of hues


class Images(Augmentation):
    """Crops, mirrors, recolours and blurs; the defaults are the recipe for CIFAR-10 of Du et al. 2021.

    Colours change between black, the domain's lower end, and white, its upper end. On images of one channel
    brightness and contrast change; saturation, hue and grey have no meaning there and are left out.

    Args:
        domain: images ``[channels, height, width]``.
        crop_scale: least and greatest share of the image's area that is kept and resized; null: no crop.
        crop_ratio: least and greatest width / height of a crop.
        flip_probability: of mirroring left and right.
        jitter: greatest change of brightness, contrast, saturation (factors 1 ± value, not below 0) and hue (± value,
            1 is the whole circle); null: none.
        jitter_probability: of changing colours.
        grey_probability: of dropping the colours.
        blur_kernel: side of the Gaussian kernel in pixels, odd; null: no blur.
        blur_sigma: least and greatest standard deviation of the kernel in pixels.
        blur_probability: of blurring.

    Raises:
        ValueError: when the data are no images or a value does not fit them.
    """

    def __init__(
        self,
        domain: Annotated[Domain, From("dataset.domain")],
        crop_scale: tuple[Probability, Probability] | None = (0.08, 1.0),
        crop_ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3),
        flip_probability: Probability = 0.5,
        jitter: tuple[NonNegative, NonNegative, NonNegative, HalfTurn] | None = (0.8, 0.8, 0.8, 0.4),
        jitter_probability: Probability = 0.8,
        grey_probability: Probability = 0.2,
        blur_kernel: PositiveInt | None = None,
        blur_sigma: tuple[Positive, Positive] = (0.1, 2.0),
        blur_probability: Probability = 0.5,
    ) -> None:
        if len(domain.event_shape) != 3:
            raise ValueError(f"needs images [channels, height, width], got points of shape {[*domain.event_shape]}")
        channels, *size = domain.event_shape
        for name, ends in (("crop_scale", crop_scale), ("crop_ratio", crop_ratio), ("blur_sigma", blur_sigma)):
            if ends is not None and not 0 < ends[0] <= ends[1]:
                raise ValueError(f"{name} must be [least, greatest], 0 < least ≤ greatest, got {[*ends]}")
        if blur_kernel is not None and (blur_kernel % 2 == 0 or blur_kernel > min(size)):
            raise ValueError(f"blur_kernel must be odd and at most the image's side {min(size)}, got {blur_kernel}")
        recolours = (jitter is not None and jitter_probability > 0) or grey_probability > 0
        if recolours and channels not in (1, 3):
            raise ValueError(f"jitter and grey_probability need images of 1 or 3 channels, got {channels}")

        from torchvision.transforms import v2  # here, for it takes a second to import

        self.domain = domain
        self._transforms: list[torch.nn.Module] = []
        if crop_scale is not None:
            self._transforms.append(v2.RandomResizedCrop(size, crop_scale, crop_ratio, antialias=True))
        if flip_probability > 0:
            self._transforms.append(v2.RandomHorizontalFlip(flip_probability))
        if jitter is not None and jitter_probability > 0:
            amounts = jitter if channels == 3 else jitter[:2]
            self._transforms.append(v2.RandomApply([v2.ColorJitter(*amounts)], jitter_probability))
        if grey_probability > 0 and channels == 3:
            self._transforms.append(v2.RandomGrayscale(grey_probability))
        if blur_kernel is not None and blur_probability > 0:
            self._transforms.append(v2.RandomApply([v2.GaussianBlur(blur_kernel, blur_sigma)], blur_probability))

    def __call__(self, x: Batch, source: Source, purpose: str) -> Batch:
        low, high = self.domain.low, self.domain.high
        levels = ((x - low) / (high - low)).clamp_(0, 1)  # torchvision's colours lie in [0, 1]
        # A transform draws one set of parameters per call, from torch's default generator on the host. Inference mode
        # saves a tenth of the time.
        with torch.random.fork_rng(devices=[]), torch.inference_mode(), full_precision(x.device):
            torch.default_generator.manual_seed(
                derive_seed("augmentation", generator_of(source).initial_seed(), purpose)
            )
            for row in levels:
                image = row
                for transform in self._transforms:
                    image = transform(image)
                row.copy_(image)
        return levels.mul_(high - low).add_(low).clamp_(low, high)
