"""Every mode of image files: right, or refused with the file and the mode."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from PIL import EpsImagePlugin, Image, ImageCms

from ebm_exp.config.errors import UserError
from ebm_exp.dataset.decode import decoded
from ebm_exp.mode.inpaint import _from_file
from ebm_exp.report.images import Gallery

DEEP = (np.arange(64).reshape(8, 8) * 1040).astype(np.uint16)  # 0 … 65,520
EIGHT = torch.from_numpy(np.rint(DEEP / 257).astype(np.uint8))


def one(file: Path, channels: str | None = None, background: str = "white") -> torch.Tensor:
    """[C, 8, 8] of one file."""
    return decoded([str(file)], 8, channels, file.parent / "cache", 1, background=background)[0]


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
@pytest.mark.parametrize("extension", [".png", ".tif", ".pgm"])
def test_sixteen_bits_of_grey_are_scaled_to_eight(mode: str, extension: str, tmp_path: Path) -> None:
    file = tmp_path / f"x{extension}"
    image = Image.fromarray(DEEP) if mode == "I;16" else Image.frombytes("I;16B", (8, 8), DEEP.astype(">u2").tobytes())
    if mode == "I;16B" and extension == ".pgm":
        file.write_bytes(b"P5 8 8 65535 " + DEEP.astype(">u2").tobytes())  # Pillow does not write it from this mode
    else:
        image.save(file)
    assert torch.equal(one(file), EIGHT[None])
    assert torch.equal(one(file, "rgb"), EIGHT.expand(3, 8, 8))


def test_other_ranges_of_deep_grey(tmp_path: Path) -> None:
    """A PGM of 0 … 1023, a TIFF in which 0 is white, a camera that lay on its side, a level that is transparent."""
    (tmp_path / "a.pgm").write_bytes(b"P5 8 8 1023 " + (DEEP // 65).astype(">u2").tobytes())
    expected = torch.from_numpy(np.rint(DEEP // 65 / 1023 * 255).astype(np.uint8))
    assert (one(tmp_path / "a.pgm")[0].int() - expected.int()).abs().max() <= 1
    Image.fromarray(DEEP).save(tmp_path / "b.tif", tiffinfo={262: 0})
    assert torch.equal(one(tmp_path / "b.tif"), 255 - EIGHT[None])
    turned = Image.Exif()
    turned[0x112] = 6
    Image.fromarray(DEEP).save(tmp_path / "c.png", exif=turned)
    assert torch.equal(one(tmp_path / "c.png")[0], EIGHT.rot90(-1))
    Image.fromarray(DEEP).save(tmp_path / "d.png", transparency=1040)
    assert one(tmp_path / "d.png")[0, 0, :3].tolist() == [0, 255, int(EIGHT[0, 2])]
    assert one(tmp_path / "d.png", background="black")[0, 0, :3].tolist() == [0, 0, int(EIGHT[0, 2])]


def test_twelve_bits_fill_the_range_too(tmp_path: Path) -> None:
    values = DEEP.flatten() >> 4
    packed = b"".join(((int(a) << 12) | int(b)).to_bytes(3, "big") for a, b in values.reshape(-1, 2))
    tags = [(256, 8), (257, 8), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 8), (279, len(packed))]
    entries = b"".join(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "x.tif").write_bytes(b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory)
    expected = torch.from_numpy(np.rint(values.reshape(8, 8) / 4095 * 255).astype(np.uint8))
    assert torch.equal(one(tmp_path / "x.tif"), expected[None])


COLOUR = (200, 30, 90)
SEEN = {  # what Pillow writes: its mode, its file, the colour that is seen, how far off its own conversion may be
    "1": ("png", 255, 0),
    "L": ("png", 90, 0),
    "P": ("png", COLOUR, 0),
    "RGB": ("png", COLOUR, 0),
    "RGBX": ("tif", COLOUR, 0),
    "CMYK": ("tif", COLOUR, 0),
    "YCbCr": ("tif", COLOUR, 2),
    "LAB": ("tif", COLOUR, 4),
    "HSV": ("webp", COLOUR, 6),
}


@pytest.mark.parametrize("mode", SEEN)
@pytest.mark.parametrize("channels", ["rgb", "grey", None])
def test_every_opaque_mode(mode: str, channels: str | None, tmp_path: Path) -> None:
    if mode == "YCbCr" and int(PIL.__version__.split(".")[0]) < 13:
        pytest.skip("Pillow before 13 cannot read the YCbCr TIFF that it writes")
    extension, seen, off = SEEN[mode]
    image = Image.new("RGB", (8, 8), seen) if isinstance(seen, tuple) else Image.new("L", (8, 8), seen)
    if mode == "LAB":
        profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
        image = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    file = tmp_path / f"x.{extension}"
    image = image.quantize(4) if mode == "P" else image.convert(mode)
    image.save(file, **({"lossless": True} if extension == "webp" else {}))
    x = one(file, channels)
    grey = mode in ("1", "L")
    assert len(x) == (1 if channels == "grey" or (channels is None and grey) else 3)
    rgb = torch.tensor([seen] * 3 if grey else seen)
    expected = rgb if len(x) == 3 else torch.tensor([0.299, 0.587, 0.114]) @ rgb.float()
    assert (x - expected.view(-1, 1, 1)).abs().max() <= off + (0.6 if len(x) == 1 else 0)


def test_cmyk_of_a_jpeg(tmp_path: Path) -> None:
    """Adobe writes it inverted, as Pillow does."""
    Image.new("RGB", (8, 8), COLOUR).convert("CMYK").save(tmp_path / "x.jpg", quality=100)
    assert (one(tmp_path / "x.jpg").float() - torch.tensor(COLOUR).view(3, 1, 1)).abs().max() <= 3


HIDDEN = {  # every way of Pillow's to say that colours do not show: mode, file, pixel, how it is saved
    "RGBA": ("RGBA", "png", (200, 30, 90, 0), {}),
    "LA": ("LA", "png", (90, 0), {}),
    "PA": ("PA", "tif", (1, 0), {}),
    "P, one entry": ("P", "png", 3, {"transparency": 3}),
    "P, bytes": ("P", "png", 3, {"transparency": bytes([255, 255, 255, 0])}),
    "RGB, one colour": ("RGB", "png", COLOUR, {"transparency": COLOUR}),
    "L, one level": ("L", "png", 90, {"transparency": 90}),
    "1, one level": ("1", "png", 0, {"transparency": 0}),
    "WebP": ("RGBA", "webp", (200, 30, 90, 0), {"lossless": True, "exact": True}),
    "TIFF": ("RGBA", "tif", (200, 30, 90, 0), {}),
}


@pytest.mark.parametrize("kind", HIDDEN)
@pytest.mark.parametrize(("background", "level"), [("white", 255), ("black", 0)])
def test_hidden_colours_show_the_background(kind: str, background: str, level: int, tmp_path: Path) -> None:
    mode, extension, pixel, how = HIDDEN[kind]
    image = Image.new(mode, (8, 8), pixel)
    if mode in ("P", "PA"):
        image.putpalette(list(range(100, 112)))
    image.save(tmp_path / f"x.{extension}", **how)
    for channels in ("rgb", "grey"):
        assert one(tmp_path / f"x.{extension}", channels, background).unique().tolist() == [level]


def test_half_hidden_colours_are_mixed(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (200, 0, 100, 128)).save(tmp_path / "x.png")
    seen = torch.tensor([200 * 128 + 255 * 127, 255 * 127, 100 * 128 + 255 * 127]) / 255
    assert (one(tmp_path / "x.png")[:, 0, 0] - seen).abs().max() <= 1
    Image.new("RGBA", (8, 8), (200, 0, 100, 255)).save(tmp_path / "y.png")
    assert one(tmp_path / "y.png")[:, 0, 0].tolist() == [200, 0, 100]


def test_deep_grey_with_alpha_is_grey(tmp_path: Path) -> None:
    """Pillow reads but does not write it: a PNG by hand."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    alpha = np.full((8, 8), 65535, np.uint16)
    alpha[0, 0] = 0
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.stack([DEEP // 257 * 257, alpha], -1))
    head = struct.pack(">IIBBBBB", 8, 8, 16, 4, 0, 0, 0)
    (tmp_path / "x.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    x = one(tmp_path / "x.png")
    assert x.shape == (1, 8, 8)
    assert x[0, 0, 0] == 255
    assert torch.equal(x[0, 1:], torch.from_numpy((DEEP // 257).astype(np.uint8))[1:])


@pytest.mark.parametrize(("dtype", "mode"), [(np.int32, "I"), (np.float32, "F")])
def test_numbers_without_a_range_are_refused(dtype: type, mode: str, tmp_path: Path) -> None:
    Image.fromarray(DEEP.astype(dtype)).save(tmp_path / "x.tif")
    with pytest.raises(ValueError, match=rf"root: .*x.tif has mode {mode} .* black and white are not known") as caught:
        one(tmp_path / "x.tif")
    assert "\n" not in str(caught.value)


def test_channels_follow_all_files(tmp_path: Path) -> None:
    Image.fromarray(DEEP).save(tmp_path / "a.png")
    Image.new("LA", (8, 8), (9, 255)).save(tmp_path / "b.png")
    Image.new("1", (8, 8), 1).save(tmp_path / "c.png")
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "d.png")
    files = [str(tmp_path / f"{name}.png") for name in "abcd"]
    assert decoded(files[:3], 8, None, tmp_path / "cache", 1).shape == (3, 1, 8, 8)
    assert decoded(files, 8, None, tmp_path / "cache", 1).shape == (4, 3, 8, 8)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"root: .*gone.png cannot be read \(No such file or directory\)"):
        one(tmp_path / "gone.png")


@pytest.mark.parametrize("extension", ["png", "jpg", "tif", "webp", "bmp", "ppm"])
def test_a_truncated_file_is_named(extension: str, tmp_path: Path) -> None:
    file = tmp_path / f"x.{extension}"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file)
    whole = file.read_bytes()
    for length in (0, 5, 30, len(whole) // 2):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"root: .*x.{extension} cannot be read as an image \(.+\)") as caught:
            one(file)
        assert "\n" not in str(caught.value)


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("reader", ["dataset", "mask", "report"])
def test_what_an_image_is_not_starts_no_program(reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    file, program = tmp_path / "x.png", tmp_path / "bin" / "gs"
    file.write_bytes(POSTSCRIPT)
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/made\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    if reader == "report":
        assert Gallery().panels(file, "", split=False) == []
    elif reader == "mask":
        with pytest.raises(UserError, match=r"mask: .* cannot be read as an image"):
            _from_file(file, 8, 8)
    else:
        with pytest.raises(ValueError, match=r"x\.png cannot be read as an image \(it is none of JPEG, PNG"):
            one(file)
    assert not (tmp_path / "made").exists()
