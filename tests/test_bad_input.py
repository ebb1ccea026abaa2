"""A user's mistakes: one clear line, exit code 2, and nothing left behind."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

SIZE = (64, 320)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A small data set in the layout of the competition: 24 strips, four of each class."""
    root = tmp_path_factory.mktemp("sound") / "strips"
    (root / "train_images").mkdir(parents=True)
    generator = np.random.default_rng(0)
    lines = ["ImageId,ClassId,EncodedPixels"]
    for number in range(24):
        name = f"{number:09x}.jpg"
        image = generator.integers(60, 200, SIZE, dtype=np.uint8)
        cv2.imwrite(str(root / "train_images" / name), image)
        if number < 16:
            lines.append(f"{name},{number % 4 + 1},1 5 65 5")
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def strips(sound, tmp_path) -> Path:
    """A copy of the data set that a test may spoil."""
    return Path(shutil.copytree(sound, tmp_path / "strips"))


def arguments(root: Path, results: Path, *overrides: str) -> list[str]:
    return [
        f"data.root={root}",
        f"experiment.results_dir={results}",
        "data.image_size=[64,320]",
        "model=timm",
        "model.backbone=test_resnet",
        "model.pretrained=false",
        "training.num_epochs=1",
        "evaluation.bootstrap_resamples=100",
        *overrides,
    ]


def refused(train_command, root: Path, tmp_path: Path, *overrides: str) -> str:
    results = tmp_path / "results"
    ended = train_command(*arguments(root, results, *overrides))
    assert ended.exit_code == 2, ended.output + ended.errors
    assert "Traceback" not in ended.output + ended.errors
    (line,) = ended.errors.strip().splitlines()
    assert not results.exists()
    return line


@pytest.mark.slow
def test_the_data_set_of_these_tests_trains(train_command, sound, tmp_path):
    ended = train_command(*arguments(sound, tmp_path / "results"))
    assert ended.exit_code == 0, ended.errors


def append(root: Path, row: str) -> None:
    with (root / "train.csv").open("a") as table:
        table.write(row + "\n")


def remove_everything(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def rare_class(root: Path) -> None:
    lines = (root / "train.csv").read_text().splitlines()
    kept = [line for line in lines if ",2," not in line]
    (root / "train.csv").write_text("\n".join([*kept, f"{1:09x}.jpg,2,1 5"]) + "\n")


def contradicting_labels(root: Path) -> None:
    """labels.csv that calls every strip clean."""
    names = sorted(path.name for path in (root / "train_images").iterdir())
    header = "ImageId,defect_1,defect_2,defect_3,defect_4"
    (root / "labels.csv").write_text("\n".join([header, *(f"{n},0,0,0,0" for n in names)]))


FIRST = f"{0:09x}.jpg"
CLEAN = f"{20:09x}.jpg"
BAD_DATA = {
    "missing root": (lambda root: root.rename(root.with_name("gone")), ["strips", "quickstart"]),
    "empty folder": (remove_everything, ["strips", "train.csv", "quickstart"]),
    "row for a missing image": (
        lambda root: append(root, "ffffffff0.jpg,1,1 5"),
        ["train.csv", "ffffffff0.jpg"],
    ),
    "undecodable image": (
        lambda root: (root / "train_images" / FIRST).write_text("no image"),
        [FIRST],
    ),
    "truncated image": (
        lambda root: (root / "train_images" / FIRST).write_bytes(
            (root / "train_images" / FIRST).read_bytes()[:-200]
        ),
        [FIRST],
    ),
    "wrong image size": (
        lambda root: cv2.imwrite(str(root / "train_images" / FIRST), np.zeros((64, 100), np.uint8)),
        [FIRST, "64x100", "64x320"],
    ),
    "malformed run-length code": (
        lambda root: append(root, f"{CLEAN},1,1 5 x"),
        ["train.csv", CLEAN, "x"],
    ),
    "overlong run-length code": (
        lambda root: append(root, f"{CLEAN},1,20480 5"),
        ["train.csv", CLEAN, "20480"],
    ),
    "class id outside": (lambda root: append(root, f"{CLEAN},7,1 5"), ["train.csv", "7", CLEAN]),
    "duplicate rows": (lambda root: append(root, f"{FIRST},1,1 5"), ["train.csv", FIRST]),
    "labels that contradict the masks": (
        contradicting_labels,
        ["labels.csv", "train.csv", FIRST, "defect_1", "and 15 more"],
    ),
    "class with fewer than 3 images": (rare_class, ["defect_2", "1 image"]),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data(name, train_command, strips, tmp_path):
    spoil, words = BAD_DATA[name]
    spoil(strips)
    line = refused(train_command, strips, tmp_path)
    assert line.startswith("error: ")
    assert all(word in line for word in words), line


def test_generated_strips_never_go_into_a_data_set(train_command, strips, tmp_path):
    before = sorted(strips.rglob("*"))
    line = refused(train_command, strips, tmp_path, "data.source=synthetic")
    assert f"data.root={strips}: holds a data set (train.csv)" in line
    assert "give another folder, such as data/synthetic" in line
    assert sorted(strips.rglob("*")) == before


# What the data, the machine or Hydra's grammar refuses, and one value of each kind that the
# config's own checks refuse: tests/command/test_bad_values.py has all of those.
BAD_VALUES = {
    "model.name=convnext_tiny_cbma": ["convnext_tiny_cbma", "'convnext_tiny_cbam'", "resnet50"],
    "loss.type=focall_loss": ["focall_loss", "'focal_loss'", "bce_with_logits"],
    "training.num_epoch=3": ["training.num_epoch", "did you mean 'num_epochs'"],
    "trainin.num_epochs=3": ["trainin", "did you mean 'training'"],
    "+training.extra=3": ["training", "extra"],
    "+more.extra=3": ["more"],
    "training.num_epochs=0": ["training", "num_epochs=0", "1"],
    "training.folds=5": ["defect_1", "4 images", "training.folds"],
    "resume=/nowhere": ["resume=/nowhere", "no such folder", "latest"],
    "resume=latest": ["resume=latest", "no unfinished experiment", "results"],
    "training.optimizer=adamx": ["adamx"],
    "loss.gama=3": ["loss.gama", "did you mean 'gamma'", "pos_weight"],
    "loss.pos_weight=balanced": ["loss.pos_weight", "only of bce_with_logits"],
    "loss.alpha=[0.5,0.5]": ["alpha", "2", "4"],
    "loss.gamma=-1": ["focal_loss", "gamma=-1", "0"],
    "loss.reduction=none": ["reduction", "none"],
    "loss.type=boundary_loss": ["boundary_loss", "masks"],
    "loss.type=softmax_focal_loss": ["softmax_focal_loss", "one class"],
    "loss.type=compound": ["loss.components"],
    "model.num_classes=3": ["num_classes=3", "4"],
    "model.cbam_stages=[9]": ["cbam_stages", "9"],
    "model.backbone=resnet1888": ["resnet1888"],
    "evaluation.cost_miss={defect_1:3}": [
        "evaluation.cost_miss={'defect_1': 3",
        "one cost for each of defect_1, defect_2",
    ],
    "data.batch_size=auto": ["data.batch_size=auto", "CUDA", "data.batch_size=8"],
    "data.split_strategy=file": ["split_file"],
    "experiment=quickstrat": ["quickstrat", "quickstart"],
    "data=nowhere": ["nowhere", "synthetic"],
    "runtime.precision=float16": ["runtime.precision='float16'", "CUDA", "bfloat16"],
    "model.backbone=vit_tiny_patch16_224": [
        "images are 64x320",
        "224x224 only",
        "img_size:[64,320]",
    ],
    "runtime.precision=float32 runtime.depthwise_gradient=matmul": [
        "runtime.depthwise_gradient='matmul'",
        "float32 on cpu",
    ],
    "runtime.precision=bfloat16 runtime.depthwise_gradient=matmul": [
        "runtime.depthwise_gradient='matmul'",
        "no depthwise convolution",
    ],
    "runtime.devices=9": ["data.batch_size=8", "runtime.devices=9", "larger batch"],
    "model.weights=/nowhere/file.pt": ["/nowhere/file.pt"],
    "training.num_epochs": ["training.num_epochs"],
}


@pytest.mark.parametrize("override", BAD_VALUES)
def test_bad_values(override, train_command, sound, tmp_path):
    line = refused(train_command, sound, tmp_path, *override.split())
    assert all(word in line for word in BAD_VALUES[override]), line


def test_values_without_an_effect(train_command, sound, tmp_path):
    line = refused(train_command, sound, tmp_path, "data.resize=[64,160]")
    assert "data.image_size=[64, 320]: has no effect, since data.resize" in line


def test_blackout_without_masks(train_command, strips, tmp_path):
    (strips / "train.csv").unlink()
    rows = [f"{number:09x}.jpg,{number % 2},{number // 2 % 2}" for number in range(24)]
    (strips / "labels.csv").write_text("\n".join(["ImageId,pit,crack", *rows]) + "\n")
    line = refused(train_command, strips, tmp_path, "augmentation.blackout.probability=0.4")
    words = ["augmentation.blackout.probability=0.4", "labels.csv", "augmentation.blackout=null"]
    assert all(word in line for word in words), line
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_running_out_of_memory_says_what_to_change(
    error, train_command, strips, tmp_path, monkeypatch
):
    def full(*_):
        raise error

    monkeypatch.setattr("core.training.trainer.update", full)
    overrides = ["data.batch_size=6", "runtime.precision=float32"]
    ended = train_command(*arguments(strips, tmp_path / "results", *overrides))
    assert ended.exit_code == 2
    (line,) = ended.errors.strip().splitlines()
    words = ["data.batch_size=6", "64x320", "float32", "timm", "data.batch_size=3"]
    words += ["accumulation_steps=2", "precision=bfloat16", "gradient_checkpointing=true"]
    assert all(word in line for word in words), line
    (file,) = (tmp_path / "results").glob("*/results.json")
    assert '"status": "failed"' in file.read_text()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_names_its_images(train_command, strips, tmp_path):
    overrides = ["training.learning_rate=1e30", "training.warmup_epochs=0", "data.batch_size=4"]
    ended = train_command(*arguments(strips, tmp_path / "results", *overrides))
    assert ended.exit_code == 2
    (line,) = ended.errors.strip().splitlines()
    assert all(word in line for word in ["training.learning_rate", ".jpg", "lower"]), line
    (file,) = (tmp_path / "results").glob("*/results.json")
    assert '"status": "failed"' in file.read_text()


@pytest.mark.slow
def test_a_data_set_and_a_cache_folder_that_cannot_be_written(train_command, strips, tmp_path):
    """Cost time and one line for each cache, and no figure."""
    runs = {"kept": [f"data.cache_dir={tmp_path / 'kept'}"], "locked": ["data.cache_dir=/dev/null"]}
    tables = {}
    for name, override in runs.items():
        results = tmp_path / name
        for path in (strips, strips / "train_images"):
            path.chmod(0o500)
        ended = train_command(*arguments(strips, results, "data.cache=disk", *override))
        assert ended.exit_code == 0, ended.errors
        lines = [line for line in ended.output.splitlines() if "/dev/null cannot be" in line]
        assert len(lines) == (2 if name == "locked" else 0), ended.output
        assert all("data.cache_dir=DIR" in line for line in lines)
        (file,) = results.glob("*/predictions.csv")
        tables[name] = file.read_text()
    assert tables["kept"] == tables["locked"]
    assert sorted(path.name for path in strips.parent.iterdir()) == ["kept", "locked", "strips"]


def test_split_file_that_overlaps(train_command, strips, tmp_path):
    names = sorted(path.name for path in (strips / "train_images").iterdir())
    parts = ["train", "validation", "test"]
    rows = [f"{name},{parts[i % 3]}" for i, name in enumerate(names)]
    split_file = tmp_path / "split.csv"
    split_file.write_text("\n".join(["image_id,split", *rows, f"{names[0]},test"]) + "\n")
    line = refused(
        train_command,
        strips,
        tmp_path,
        "data.split_strategy=file",
        f"data.split_file={split_file}",
    )
    assert all(word in line for word in ["split.csv", names[0]]), line


def test_results_folder_that_cannot_be_written(train_command, strips, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.geteuid() == 0:
        # root may write anywhere but below a file
        locked.rmdir()
        locked.write_text("")
    ended = train_command(*arguments(strips, locked / "results"))
    assert ended.exit_code == 2
    assert "experiment.results_dir" in ended.errors
    assert ended.errors.count("\n") == 1


@pytest.mark.slow
def test_bad_images_are_skipped_where_that_is_asked_for(train_command, strips, tmp_path):
    """They are in no part, and results.json lists each with its reason."""
    for name in (FIRST, CLEAN):
        (strips / "train_images" / name).write_text("half")
    results = tmp_path / "results"
    ended = train_command(*arguments(strips, results, "data.on_bad_image=skip"))
    assert ended.exit_code == 0, ended.errors
    assert "2 of 24 images are skipped" in ended.output
    (file,) = results.glob("*/results.json")
    data = json.loads(file.read_text())["data"]
    assert [image["image_id"] for image in data["skipped_images"]] == [FIRST, CLEAN]
    assert all("not an image" in image["reason"] for image in data["skipped_images"])
    assert data["num_images"] == 22
    split = (file.parent / "split.csv").read_text()
    assert FIRST not in split
    assert split.count("\n") == 23


@pytest.mark.parametrize("on_bad_image", ["error", "skip"])
def test_an_image_that_vanishes_during_training(
    on_bad_image, train_command, strips, tmp_path, monkeypatch
):
    """The run stops with one line, also where bad images are skipped: the list must be true."""
    from core.data import image_source

    read, seen = image_source.read_image, []

    def vanishing(path, *rest):
        seen.append(path)
        if len(seen) == 10:
            path.unlink()
        return read(path, *rest)

    monkeypatch.setattr(image_source, "read_image", vanishing)
    results = tmp_path / "results"
    ended = train_command(*arguments(strips, results, f"data.on_bad_image={on_bad_image}"))
    assert ended.exit_code == 2
    (line,) = ended.errors.strip().splitlines()
    assert seen[9].name in line
    assert "cannot be read" in line
    (file,) = results.glob("*/results.json")
    content = json.loads(file.read_text())
    assert content["status"] == "failed"
    assert seen[9].name in content["status_message"]
    assert content["data"]["skipped_images"] == []
