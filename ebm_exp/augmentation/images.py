"""Augmentation of images, in the order of SimCLR (Chen et al. 2020, arXiv 2002.05709, Appendix A).

A = blur ∘ grey ∘ jitter ∘ flip ∘ crop, each as torchvision.transforms.v2 does it, for a whole batch at once.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from ebm_exp.augmentation.base import Augmentation
from ebm_exp.augmentation.operations import blur, change_colours, crop, drop_colours, mirror
from ebm_exp.augmentation.parameters import draw_boxes, draw_flags, draw_jitter, draw_kernels
from ebm_exp.dataset.domain import Domain
from ebm_exp.random import Rows, Source, draw_rows, generator_of
from ebm_exp.random import generator as derived_generator
from ebm_exp.types import Batch, From, NonNegative, Positive, PositiveInt, Probability

HalfTurn = Annotated[float, Ge(0), Le(0.5)]  # share of the circle of hues

_IN_CACHE = 2**17  # numbers; for images of 32×32 and of 128×128 within a tenth of the fastest power of two


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
        channels, height, width = domain.event_shape
        for name, ends in (("crop_scale", crop_scale), ("crop_ratio", crop_ratio), ("blur_sigma", blur_sigma)):
            if ends is not None and not 0 < ends[0] <= ends[1]:
                raise ValueError(f"{name} must be [least, greatest], 0 < least ≤ greatest, got {[*ends]}")
        if blur_kernel is not None and (blur_kernel % 2 == 0 or blur_kernel > min(height, width)):
            raise ValueError(
                f"blur_kernel must be odd and at most the image's side {min(height, width)}, got {blur_kernel}"
            )
        recolours = (jitter is not None and jitter_probability > 0) or grey_probability > 0
        if recolours and channels not in (1, 3):
            raise ValueError(f"jitter and grey_probability need images of 1 or 3 channels, got {channels}")

        self.domain = domain
        self._changes: list[tuple[Callable[..., Tensor], Callable[[Tensor, Tensor], Tensor]]] = []
        if crop_scale is not None:
            self._changes.append((partial(draw_boxes, size=(height, width), scale=crop_scale, ratio=crop_ratio), crop))
        if flip_probability > 0:
            self._changes.append((partial(draw_flags, probability=flip_probability), mirror))
        if jitter is not None and jitter_probability > 0:
            self._changes.append((partial(draw_jitter, amounts=jitter, probability=jitter_probability), change_colours))
        if grey_probability > 0 and channels == 3:
            self._changes.append((partial(draw_flags, probability=grey_probability), drop_colours))
        if blur_kernel is not None and blur_probability > 0:
            draw = partial(draw_kernels, side=blur_kernel, sigma=blur_sigma, probability=blur_probability)
            self._changes.append((draw, blur))

    @torch.no_grad()
    def __call__(self, x: Batch, source: Source, purpose: str) -> Batch:
        low, high = self.domain.low, self.domain.high
        levels = ((x - low) / (high - low)).clamp_(0, 1)
        # Drawn where x is: what the host drew would have to be sent, and sending makes the host wait.
        own = derived_generator(x.device, "augmentation", generator_of(source).initial_seed(), purpose)
        source = replace(source, generator=own) if isinstance(source, Rows) else own
        drawn = [draw_rows(len(x), source, partial(draw, device=x.device)) for draw, _ in self._changes]
        # Images go through all changes some at a time on the CPU, whose cache holds them, and all at once elsewhere.
        n = max(1, _IN_CACHE // math.prod(x.shape[1:]) if x.device.type == "cpu" else len(x))
        for part, *rows in zip(levels.split(n), *(parameters.split(n) for parameters in drawn), strict=True):
            changed = part
            for (_, change), parameters in zip(self._changes, rows, strict=True):
                changed = change(changed, parameters)
            part.copy_(changed)
        return levels.mul_(high - low).add_(low).clamp_(low, high)
