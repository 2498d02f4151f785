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


def folder(root: Path | str, tmp_path: Path, **more: object) -> ImageFolder:
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


def test_classes_whose_names_yaml_reads_as_something_else(tmp_path: Path) -> None:
    root, names = tmp_path / "root", ["1", "1e3", "no", "null", "true"]
    for k, name in enumerate(names):
        image(root / name / "0.png", 40 * k)
    for k, called in enumerate((1, 1000.0, False, None, True)):
        for typed in (called, names[k]):
            data = folder(root, tmp_path, classes=(typed,), test_share=0.0, channels="grey")
            assert (data.class_names, data.train()[0, 0, 0, 0].item()) == ([names[k]], 40 * k)


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


def layout(root: Path, *files: str) -> Path:
    """Grey images whose level is their number in the list."""
    for i, file in enumerate(files):
        image(root / file, i)
    return root


@pytest.mark.parametrize("where", [".ipynb_checkpoints", "__MACOSX", "@eaDir", ".hidden", "cat/.ipynb_checkpoints"])
def test_what_tools_leave_behind_is_no_data(where: str, tmp_path: Path) -> None:
    root = layout(tmp_path / "root", "cat/a.png", "cat/b.png", "dog/a.png", f"{where}/a-checkpoint.png", "cat/._a.png")
    data = folder(root, tmp_path, test_share=0.0)
    assert (data.n_train, data.class_names) == (3, ["cat", "dog"])
    only = layout(tmp_path / "flat", "a.png", "b.png", f"{where.rpartition('/')[2]}/a-checkpoint.png", "._a.png")
    data = folder(only, tmp_path, test_share=0.0)
    assert (data.n_train, data.n_classes) == (2, 0)
    inside = layout(tmp_path / ".cache" / "root", "a.png", "b.png")  # a root below such a folder is the user's choice
    assert folder(inside, tmp_path, test_share=0.0).n_train == 2


@pytest.mark.parametrize("name", ["test", "val", "valid", "validation", "Val", "testing"])
@pytest.mark.parametrize("train", ["train", "Training"])
def test_names_of_the_held_out_folder(name: str, train: str, tmp_path: Path) -> None:
    root = layout(
        tmp_path / "root", f"{train}/cat/a.png", f"{train}/dog/a.png", f"{train}/dog/b.png", f"{name}/dog/c.png"
    )
    data = folder(root, tmp_path)
    assert (data.class_names, data.train().mean(dim=(1, 2, 3)).tolist()) == (["cat", "dog"], [0, 1, 2])
    assert (data.test().mean().item(), data.test_labels.tolist(), data.holds_out) == (3, [1], True)


def test_of_several_held_out_folders_test_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = layout(tmp_path / "root", "train/a.png", "val/b.png", "val/c.png", "test/d.png", "extra/e.png", "f.png")
    data = folder(root, tmp_path)
    assert (data.train().mean().item(), data.test().mean().item(), data.n_classes) == (0, 3, 0)
    said = [record.getMessage() for record in caplog.records]
    for text in ("2 images in val", "1 images in extra", "1 images in the folder itself"):
        assert sum(f"{text} are not used, those in train and test are" in line for line in said) == 1


def test_a_train_folder_alone_is_split(tmp_path: Path) -> None:
    root = layout(tmp_path / "root", *[f"train/{name}/{i}.png" for name in ("cat", "dog") for i in range(5)])
    data = folder(root, tmp_path, test_share=0.2)
    assert (data.n_train, data.n_test, data.class_names) == (8, 2, ["cat", "dog"])


def test_train_beside_other_classes_is_a_class(tmp_path: Path) -> None:
    data = folder(layout(tmp_path / "root", "train/a.png", "bus/b.png", "car/c.png"), tmp_path, test_share=0.0)
    assert data.class_names == ["bus", "car", "train"]


def test_layouts_that_say_two_things(tmp_path: Path) -> None:
    stray = layout(tmp_path / "stray", *[f"{i}.png" for i in range(10)], "thumbs/0.png")
    with pytest.raises(ValueError, match=r"root: .*stray holds 10 images itself and 1 in its folders \(thumbs\)"):
        folder(stray, tmp_path)
    below = layout(tmp_path / "below", "train/a.png", "train/cat/b.png", "test/cat/c.png")
    with pytest.raises(ValueError, match=r"root: .*train holds 1 images itself and 1 in its folders \(cat\)"):
        folder(below, tmp_path)
    alone = layout(tmp_path / "alone", "test/cat/a.png", "val/cat/b.png")
    with pytest.raises(ValueError, match=r"root: .*alone has the folder test, but no train beside it"):
        folder(alone, tmp_path)
    for first, second, flat in (("cat/a.png", "b.png", "test"), ("a.png", "cat/b.png", "train")):
        mixed = layout(tmp_path / f"mixed {flat}", f"train/{first}", f"test/{second}")
        with pytest.raises(ValueError, match=rf"root: .* has class folders, .*{flat} has none"):
            folder(mixed, tmp_path)
    other = layout(tmp_path / "other", "train/cat/a.png", "test/dog/b.png")
    with pytest.raises(ValueError, match=r"root: .*test has classes that .*train has not: dog"):
        folder(other, tmp_path)


def test_a_class_folder_without_images_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = layout(tmp_path / "root", "cat/a.png", "dog/b.png")
    (root / "bird").mkdir()
    (root / "bird" / "a.heic").write_bytes(b"x")
    assert folder(root, tmp_path, test_share=0.0).class_names == ["cat", "dog"]
    assert "no class: bird in" in caplog.text


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    root = os.fsencode(layout(tmp_path / "root", "cat/a.png", "cat/b.png"))
    os.rename(root + b"/cat/a.png", root + b"/cat/\xe4.png")
    os.rename(root + b"/cat", root + b"/k\xe4tzchen")
    data = folder(tmp_path / "root", tmp_path, test_share=0.0)
    assert data.class_names == [r"k\xe4tzchen"]
    assert data.train().mean(dim=(1, 2, 3)).tolist() == [1, 0]  # b before ä
    assert folder(tmp_path / "root", tmp_path, classes=tuple(data.class_names), test_share=0.0).n_train == 2
    with open(root + b"/k\xe4tzchen/\xe4.png", "wb") as file:
        file.write(b"no image")
    with pytest.raises(ValueError, match="cannot be read as an image") as caught:
        folder(tmp_path / "root", tmp_path)
    assert r"k\xe4tzchen/\xe4.png" in str(caught.value)
    str(caught.value).encode()  # can be written to any log


def test_broken_links_are_named(tmp_path: Path) -> None:
    root = layout(tmp_path / "root", "cat/a.png")
    (root / "cat" / ".#lock").symlink_to("nobody@nowhere")  # an editor's, and no data
    assert folder(root, tmp_path, test_share=0.0).n_train == 1
    (root / "dog").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"root: .*root/dog is a broken link to .*gone$"):
        folder(root, tmp_path)
    (root / "dog").unlink()
    for name in ("b.png", "c.png"):
        (root / "cat" / name).symlink_to(name)  # to itself
    with pytest.raises(ValueError, match=r"root: .*cat/b.png is a broken link to b.png, one of 2 here$"):
        folder(root, tmp_path)


def test_links_are_followed_but_never_in_circles(tmp_path: Path) -> None:
    store = layout(tmp_path / "store", "a.png", "deep/b.png")
    root = layout(tmp_path / "root", "cat/c.png")
    (root / "dog").symlink_to(store)
    (root / "cat" / "d.png").symlink_to(store / "a.png")
    (root / "cat" / "here").symlink_to(".")
    (root / "cat" / "up").symlink_to(root)
    (store / "deep" / "back").symlink_to(root / "dog")
    (tmp_path / "link").symlink_to(root)
    for way in (root, tmp_path / "link"):
        data = folder(way, tmp_path, test_share=0.0)
        assert (data.class_names, data.train_labels.tolist()) == (["cat", "dog"], [0, 0, 1, 1])


def test_an_empty_path_is_not_the_current_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^root: is empty \(unset variable\?\)"):
        folder("", tmp_path)
    with pytest.raises(ValueError, match=r"^cache_dir: is empty"):
        folder(layout(tmp_path / "root", "a.png"), tmp_path, cache_dir="")


def test_channels_follow_the_files_unless_they_are_named(tmp_path: Path) -> None:
    root = layout(tmp_path / "root", "a.png", "b.png")
    assert folder(root, tmp_path).event_shape == (1, 8, 8)
    assert folder(root, tmp_path, channels="rgb").event_shape == (3, 8, 8)
    image(root / "c.png", (1, 2, 3))
    assert folder(root, tmp_path).event_shape == (3, 8, 8)


def test_transparent_files_lie_on_the_background(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    Image.new("RGBA", (8, 8), (200, 30, 90, 0)).save(tmp_path / "root" / "a.png")
    assert folder(tmp_path / "root", tmp_path).train().unique().tolist() == [255]
    assert folder(tmp_path / "root", tmp_path, background="black").train().unique().tolist() == [0]


def test_where_nothing_is_held_out_the_training_images_stand_in(tmp_path: Path) -> None:
    root = layout(tmp_path / "root", *[f"{i}.png" for i in range(10)])
    data = folder(root, tmp_path, test_share=0.0, n_train=4)
    assert (data.n_train, data.n_test, data.holds_out) == (4, 4, False)
    with pytest.raises(ValueError, match="n_test: nothing is held out"):
        folder(root, tmp_path, test_share=0.0, n_test=4)


def test_a_rare_class_is_held_out_last(tmp_path: Path) -> None:
    """Of ten splits at random nine would train on no image of the class of one."""
    counts = {"cat": 18, "dog": 9, "rare": 2, "single": 1}
    root = layout(tmp_path / "root", *[f"{name}/{i}.png" for name, n in counts.items() for i in range(n)])
    data = folder(root, tmp_path, test_share=0.5)
    assert data.train_labels is not None
    assert data.test_labels is not None
    assert torch.bincount(data.train_labels).tolist() == [9, 4, 1, 1]
    assert torch.bincount(data.test_labels).tolist() == [9, 5, 1]


def test_what_is_left_out_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = layout(tmp_path / "root", "train/cat/a.png", "train/dog/b.png", "test/cat/c.png")
    for name in ("train/cat/a.HEIC", "train/cat/b.heic", "test/cat/c.gif", "README", "train/.DS_Store"):
        (root / name).write_bytes(b"x")
    folder(root, tmp_path)
    said = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(said) == 1
    assert "files that are left out, 4: 2 .heic, 1 .gif, 1 no ending; only .jpg, .jpeg, .png" in said[0]
    for file in root.rglob("*.png"):
        file.unlink()
    with pytest.raises(ValueError, match=r"holds no images \(.jpg.*\), but other files, 2: 2 .heic$"):
        folder(root, tmp_path)
