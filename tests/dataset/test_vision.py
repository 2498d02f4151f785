"""torchvision's data sets, on small files in their own formats."""

import gzip
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from ebm_exp.dataset import Vision

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)


def write_idx(folder: Path, packed: bool = False) -> dict[str, np.ndarray]:
    """The four files of the MNIST family: magic number, sizes (big-endian), bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for prefix, n in (("train", 20), ("t10k", 6)):
        x = RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        y = (np.arange(n) % 10).astype(np.uint8)
        for name, array in ((f"{prefix}-images-idx3-ubyte", x), (f"{prefix}-labels-idx1-ubyte", y)):
            head = bytes([0, 0, 8, array.ndim]) + b"".join(int(k).to_bytes(4, "big") for k in array.shape)
            data = head + array.tobytes()
            (folder / (name + ".gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)
            arrays[name] = array
    return arrays


@pytest.mark.parametrize("source", ["MNIST", "FashionMNIST", "KMNIST"])
@pytest.mark.parametrize(("below", "packed"), [("{}/raw", False), ("{}/raw", True), ("", False), ("", True)])
def test_idx_files_plain_or_packed_nested_or_flat(source: str, below: str, packed: bool, tmp_path: Path) -> None:
    arrays = write_idx(tmp_path / below.format(source), packed)
    data = Vision(source, "x", CPU, str(tmp_path), download=False, value_range=(0, 1))
    assert data.event_shape == (1, 28, 28)
    assert (data.n_train, data.n_test, data.n_classes, len(data.class_names)) == (20, 6, 10, 10)
    expected = torch.from_numpy(arrays["train-images-idx3-ubyte"]).unsqueeze(1) / 255
    torch.testing.assert_close(data.train(), expected)
    torch.testing.assert_close(data.test()[:, 0], torch.from_numpy(arrays["t10k-images-idx3-ubyte"]) / 255)
    assert data.train_labels.tolist() == [k % 10 for k in range(20)]
    assert data.test_labels.tolist() == list(range(6))
    if packed:
        assert not list(tmp_path.rglob("*ubyte"))  # nothing is written where the user keeps files


def test_noise_leaves_the_range_unless_it_is_clamped(tmp_path: Path) -> None:
    write_idx(tmp_path)
    for clamp in (True, False):
        data = Vision("MNIST", "x", CPU, str(tmp_path), download=False, noise_std=0.5, clamp_noise=clamp)
        assert (float(data.batch(0, 20, 0).x.abs().max()) <= 1) is clamp


def test_missing_files_say_where_and_how(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"root: FashionMNIST needs train-images-idx3-ubyte.*looked for in .*download=true"
    ):
        Vision("FashionMNIST", "x", CPU, str(tmp_path), download=False)
    for source in ("CIFAR10", "CIFAR100", "SVHN", "CelebA"):
        with pytest.raises(ValueError, match=rf"root: {source}'s files are not in {tmp_path}.*download=true"):
            Vision(source, "x", CPU, str(tmp_path), download=False)


def test_a_download_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(self: object) -> None:
        raise RuntimeError("Error downloading train-images:\nno route to host")

    monkeypatch.setattr(datasets.MNIST, "download", no_network)
    with pytest.raises(ValueError, match=r"root: MNIST's files are not in .*torchvision says: .* no route") as caught:
        Vision("MNIST", "x", CPU, str(tmp_path), download=True)
    assert "\n" not in str(caught.value)


def test_a_broken_idx_file_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="train-images-idx3-ubyte is no IDX file"):
        Vision("MNIST", "x", CPU, str(tmp_path), download=False)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_truncated_idx_file_is_named(name: str, packed: bool, tmp_path: Path) -> None:
    write_idx(tmp_path, packed)
    file = tmp_path / (name + ".gz" if packed else name)
    whole = file.read_bytes()
    for length in (0, 2, 7, 11, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"root: .*{file.name} is no IDX file, or damaged") as caught:
            Vision("MNIST", "x", CPU, str(tmp_path), download=False)
        assert "\n" not in str(caught.value)
    if packed:  # a byte changed
        file.write_bytes(
            whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 255]) + whole[len(whole) // 2 + 1 :]
        )
        with pytest.raises(ValueError, match=rf"root: .*{file.name} is no IDX file, or damaged"):
            Vision("MNIST", "x", CPU, str(tmp_path), download=False)


def test_idx_files_that_do_not_fit_each_other(tmp_path: Path) -> None:
    def start(**more: object) -> None:
        Vision("MNIST", "x", CPU, str(tmp_path), download=False, **more)

    write_idx(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte"
    whole = labels.read_bytes()
    labels.write_bytes(whole[:4] + (19).to_bytes(4, "big") + whole[8:-1])
    with pytest.raises(ValueError, match=r"root: MNIST's train split in .* has 20 images and 19 labels"):
        start()
    labels.write_bytes(whole[:-1] + b"\x0b")
    for classes in (None, (1, 2)):
        with pytest.raises(ValueError, match=r"root: MNIST's train split in .* has labels 0 … 11, must be 0 … 9"):
            start(classes=classes)
    labels.write_bytes((tmp_path / "train-images-idx3-ubyte").read_bytes())
    with pytest.raises(
        ValueError,
        match=r"root: .*labels-idx1-ubyte is no IDX file.*it must hold bytes in 1 dimensions, it says kind 8 in 3",
    ):
        start()


def test_an_empty_root_is_not_the_current_folder() -> None:
    with pytest.raises(ValueError, match=r"^root: is empty \(unset variable\?\)"):
        Vision("MNIST", "x", CPU, "", download=False)


def test_a_damaged_pickle_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pickles(tmp_path, "CIFAR10", monkeypatch)
    file = tmp_path / datasets.CIFAR10.base_folder / datasets.CIFAR10.train_list[0][0]
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"root: CIFAR10's files are not in .*, or damaged; dataset.download=true"):
        Vision("CIFAR10", "x", CPU, str(tmp_path), download=False)


def write_pickles(root: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, list[int]]:
    """CIFAR's batches: bytes [n, 3072] row by row, red before green before blue; torchvision checks their MD5."""
    kind = getattr(datasets, source)
    folder, key = root / kind.base_folder, "labels" if source == "CIFAR10" else "fine_labels"
    folder.mkdir(parents=True)
    points, labels = [], []
    for attribute in ("train_list", "test_list"):
        listed = []
        for name, _ in getattr(kind, attribute):
            x = RNG.integers(0, 256, (4, 3072), dtype=np.uint8)
            y = RNG.integers(0, 10, 4).tolist()
            data = pickle.dumps({"data": x, key: y})
            (folder / name).write_bytes(data)
            listed.append([name, hashlib.md5(data).hexdigest()])
            points.append(x)
            labels += y
        monkeypatch.setattr(kind, attribute, listed)
    names = [f"class {k}" for k in range(10)]
    data = pickle.dumps({"label_names": names, "fine_label_names": names})
    (folder / kind.meta["filename"]).write_bytes(data)
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": hashlib.md5(data).hexdigest()})
    return np.concatenate(points).reshape(-1, 3, 32, 32), labels


@pytest.mark.parametrize("source", ["CIFAR10", "CIFAR100"])
def test_cifar_pickles(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = write_pickles(tmp_path, source, monkeypatch)
    data = Vision(source, "x", CPU, str(tmp_path), download=False, value_range=(0, 1))
    assert data.n_test == 4
    assert data.event_shape == (3, 32, 32)
    torch.testing.assert_close(torch.cat([data.train(), data.test()]), torch.from_numpy(x) / 255)
    assert torch.cat([data.train_labels, data.test_labels]).tolist() == y
    assert data.class_names[3] == "class 3"


def test_svhn_mat_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[32, 32, 3, n], and ten stands for the digit 0."""
    from scipy.io import savemat

    written, listed = {}, {}
    for split in ("train", "test"):
        x, y = RNG.integers(0, 256, (32, 32, 3, 5), dtype=np.uint8), np.array([[10], [1], [2], [10], [9]])
        file = tmp_path / f"{split}_32x32.mat"
        savemat(file, {"X": x, "y": y})
        written[split], listed[split] = x, ["", file.name, hashlib.md5(file.read_bytes()).hexdigest()]
    monkeypatch.setattr(datasets.SVHN, "split_list", listed)
    data = Vision("SVHN", "x", CPU, str(tmp_path), download=False, value_range=(0, 1))
    torch.testing.assert_close(data.train(), torch.from_numpy(written["train"]).permute(3, 2, 0, 1) / 255)
    assert data.train_labels.tolist() == [0, 1, 2, 0, 9]


def test_celeba_faces_and_an_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "root" / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{i:06d}.jpg" for i in range(1, 7)]
    for i, name in enumerate(names):  # a bright border that the crop takes away
        image = np.full((218, 178, 3), 255, np.uint8)
        image[39:179, 19:159] = 30 * i
        Image.fromarray(image).save(folder / "img_align_celeba" / name, quality=100, subsampling=0)
    attributes = [[1, -1], [-1, 1], [1, 1], [-1, -1], [1, -1], [-1, 1]]
    rows = [f"{n} {a} {b}" for n, (a, b) in zip(names, attributes, strict=True)]
    texts = {
        "list_eval_partition.txt": [f"{n} {s}" for n, s in zip(names, (0, 0, 0, 1, 2, 2), strict=True)],
        "list_attr_celeba.txt": ["6", "Bald Smiling", *rows],
        "identity_CelebA.txt": [f"{n} 1" for n in names],
        "list_bbox_celeba.txt": ["6", "x y", *[f"{n} 1 2" for n in names]],
        "list_landmarks_align_celeba.txt": ["6", "x y", *[f"{n} 1 2" for n in names]],
    }
    for name, lines in texts.items():
        (folder / name).write_text("\n".join(lines))
    md5 = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in texts}
    listed = [(a, md5.get(name, b), name) for a, b, name in datasets.CelebA.file_list]
    monkeypatch.setattr(datasets.CelebA, "file_list", listed)
    where = {"root": str(tmp_path / "root"), "download": False, "cache_dir": str(tmp_path), "value_range": (0, 255)}
    plain = Vision("CelebA", "x", CPU, size=32, **where)
    assert (plain.event_shape, plain.n_train, plain.n_test, plain.n_classes) == ((3, 32, 32), 3, 2, 0)
    expected = torch.tensor([0.0, 30.0, 60.0]).view(3, 1, 1, 1).expand(3, 3, 32, 32)
    torch.testing.assert_close(plain.train(), expected, atol=2.0, rtol=0)  # JPEG
    (folder / "img_align_celeba" / names[1]).rename(tmp_path / "gone.jpg")
    with pytest.raises(ValueError, match=r"root: .*000002.jpg cannot be read \(No such file or directory\)"):
        Vision("CelebA", "x", CPU, size=32, **where)
    (tmp_path / "gone.jpg").rename(folder / "img_align_celeba" / names[1])
    smiling = Vision("CelebA", "x", CPU, size=32, attribute="Smiling", **where)
    assert (smiling.train_labels.tolist(), smiling.test_labels.tolist()) == ([0, 1, 1], [0, 1])
    assert smiling.class_names == ["not Smiling", "Smiling"]
    with pytest.raises(ValueError, match="attribute: must be one of Bald, Smiling, got Grinning"):
        Vision("CelebA", "x", CPU, attribute="Grinning", **where)


def test_some_classes_and_some_points(tmp_path: Path) -> None:
    arrays = write_idx(tmp_path)
    where = {"name": "x", "device": CPU, "root": str(tmp_path), "download": False, "value_range": (0, 255)}
    two = Vision("FashionMNIST", **where, classes=("Bag", 2))
    assert two.class_names == ["Bag", "Pullover"]
    assert two.n_classes == 2
    x = arrays["train-images-idx3-ubyte"]
    for point, y in zip(two.train()[:, 0], two.train_labels, strict=True):
        original = [8, 2][int(y)]
        assert any(torch.equal(point, torch.from_numpy(x[i]).float()) for i in (original, original + 10))
    assert two.n_train == 4
    few = Vision("FashionMNIST", **where, n_train=7, n_test=2)
    assert (few.n_train, few.n_test) == (7, 2)
    with pytest.raises(ValueError, match="classes: must be different ones of T-shirt/top, Trouser"):
        Vision("FashionMNIST", **where, classes=("Hat",))
    with pytest.raises(ValueError, match="n_train: must be at most 20, the points of this split, got 21"):
        Vision("FashionMNIST", **where, n_train=21)
