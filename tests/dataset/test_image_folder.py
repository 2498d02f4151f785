"""Folders of images: layouts, values, the cache, errors."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ebm_exp.dataset import ImageFolder, decode

CPU = torch.device("cpu")


def image(path: Path, value: int | tuple[int, int, int], shape: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(value, int) else "RGB", shape, value).save(path)


def folder(root: Path, tmp_path: Path, **more: object) -> ImageFolder:
    values = {"size": 8, "value_range": (0, 255), "dequantize": False, "cache_dir": str(tmp_path / "cache")} | more
    return ImageFolder("x", CPU, str(root), **values)


def test_train_and_test_folders_of_classes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for split, n in (("train", 3), ("test", 2)):
        for k, name in enumerate(("cat", "dog")):
            for i in range(n):
                image(root / split / name / f"{i}.png", (10 * k, i, 7))
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    data = folder(root, tmp_path)
    assert (data.n_train, data.n_test, data.class_names) == (6, 4, ["cat", "dog"])
    assert data.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.train()[:, :, 0, 0].tolist() == [[10 * k, i, 7] for k in range(2) for i in range(3)]
    assert data.test()[:, :, 7, 7].tolist() == [[10 * k, i, 7] for k in range(2) for i in range(2)]
    dogs = folder(root, tmp_path, classes=("dog",), channels="grey")
    assert (dogs.n_train, dogs.n_classes, dogs.event_shape) == (3, 1, (1, 8, 8))


def test_class_folders_without_a_test_split(tmp_path: Path) -> None:
    for k in range(3):
        for i in range(10):
            image(tmp_path / "root" / f"class {k}" / f"{i}.jpg", 20 * (3 * i + k) % 256)
    data = folder(tmp_path / "root", tmp_path, test_share=0.2, channels="grey")
    again = folder(tmp_path / "root", tmp_path, test_share=0.2, channels="grey")
    assert (data.n_train, data.n_test, data.n_classes) == (24, 6, 3)
    assert torch.equal(data.test(), again.test())  # the same split every time
    everything = torch.cat([data.train(), data.test()])[:, 0, 0, 0].sort().values
    expected = torch.tensor([20.0 * (3 * i + k) % 256 for k in range(3) for i in range(10)]).sort().values
    torch.testing.assert_close(everything, expected, atol=1.0, rtol=0)
    whole = folder(tmp_path / "root", tmp_path, test_share=0.0, channels="grey")
    assert (whole.n_train, whole.holds_out, data.holds_out) == (30, False, True)


def test_a_flat_folder_is_resized_and_cropped_in_the_middle(tmp_path: Path) -> None:
    """Of 24×8, the middle 8×8 is white; of 16×16, half the size is left."""
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = 255
    (tmp_path / "root").mkdir()
    Image.fromarray(wide).save(tmp_path / "root" / "a.png")
    Image.fromarray(np.kron(np.array([[10, 20], [30, 40]], np.uint8), np.ones((8, 8), np.uint8))).save(
        tmp_path / "root" / "b.png"
    )
    data = folder(tmp_path / "root", tmp_path, channels="grey", test_share=0.0)
    assert data.n_classes == 0
    assert data.train_labels is None
    assert data.train()[0].unique().tolist() == [255]
    assert [data.train()[1, 0, i, j].item() for i in (0, 7) for j in (0, 7)] == [10, 20, 30, 40]


def test_a_second_start_reads_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(5):
        image(tmp_path / "root" / f"{i}.png", i)
    first = folder(tmp_path / "root", tmp_path).train()
    decoded = []
    real = decode._decode
    monkeypatch.setattr(decode, "_decode", lambda file, *rest: decoded.append(file) or real(file, *rest))
    assert torch.equal(folder(tmp_path / "root", tmp_path).train(), first)
    assert decoded == []
    image(tmp_path / "root" / "3.png", 200)
    os.utime(tmp_path / "root" / "3.png", ns=(1, 1))  # a change of a file is noticed
    changed = folder(tmp_path / "root", tmp_path)
    assert len(decoded) == 5
    assert 200 in torch.cat([changed.train(), changed.test()])


def test_a_broken_file_is_named_and_leaves_no_cache(tmp_path: Path) -> None:
    image(tmp_path / "root" / "good.png", 1)
    (tmp_path / "root" / "bad.png").write_bytes((tmp_path / "root" / "good.png").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"root: .*bad.png cannot be read as an image"):
        folder(tmp_path / "root", tmp_path)
    assert not list((tmp_path / "cache").iterdir())


def test_what_is_no_folder_of_images(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"root: .*nowhere is not a folder"):
        folder(tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"root: .*empty holds no images \(.jpg"):
        folder(tmp_path / "empty", tmp_path)
