"""Settings that every data set of images shares."""

from typing import TypedDict


class ImageOptions(TypedDict, total=False):
    """What every data set of images can be asked for, and hands on to ``Dataset``, which has the defaults."""

    dequantize: bool  # add uniform noise of one level's width, so that the levels tile the domain evenly
    clamp_noise: bool  # clamp noisy points to the domain: an image's value range, but not a toy's plotting box
    horizontal_flip: bool  # mirror each training image with probability ½
    resident: bool | None  # keep the points on the device; null: when they fill at most half of its free memory
