"""Images that are not 8-bit JPEGs of one size: the same rule from training to an exported model."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import explain
import export
import predict
from core.files.resizing import Resize
from core.files.run_length import decode, encode
from core.running.reevaluation import reevaluate

pytestmark = pytest.mark.slow

SIZE = (64, 320)
NUM_IMAGES = 32


def steel(number: int) -> np.ndarray:
    """A strip of 12 bits, dark as those of a camera that is not at its limit."""
    generator = np.random.default_rng(number)
    coarse = generator.uniform(300, 3000, (8, 40)).astype(np.float32)
    image = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    return image.clip(0, 4095).astype(np.uint16)


def write_data(root: Path, ending: str, of, rows=lambda k: "1 5 65 5") -> Path:
    """A data set whose image k is `of(k)`."""
    (root / "train_images").mkdir(parents=True)
    lines = ["ImageId,ClassId,EncodedPixels"]
    for k in range(NUM_IMAGES):
        assert cv2.imwrite(str(root / "train_images" / f"{k:03d}{ending}"), of(k))
        lines += [f"{k:03d}{ending},{k % 4 + 1},{rows(k)}"] * (k < 20)
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def trained(train_command, tmp_path):
    """The folder of an experiment on that data."""

    def run(root: Path, *overrides: str) -> Path:
        results = tmp_path / f"results_{root.name}"
        ended = train_command(
            f"data.root={root}", f"experiment.results_dir={results}", "model=timm",
            "model.backbone=test_resnet", "model.pretrained=false", "training.num_epochs=1",
            "evaluation.bootstrap_resamples=100", "runtime.precision=float32", *overrides,
        )  # fmt: skip
        assert ended.exit_code == 0, ended.errors
        (path,) = results.iterdir()
        return path

    return run


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def probabilities(file: Path) -> dict[str, list[float]]:
    """By the name of the image, from either kind of predictions.csv."""
    with file.open() as stream:
        return {
            Path(row.get("image") or row["image_id"]).name: [
                float(value) for key, value in row.items() if key.startswith("probability_")
            ]
            for row in csv.DictReader(stream)
        }


def assert_all_read_alike(experiment: Path, root: Path, tmp_path: Path) -> None:
    """Prediction, evaluation, explanation and the exported model see what training saw."""
    own = probabilities(experiment / "predictions.csv")
    export.main([str(experiment), "--format", "onnx", "--output", str(tmp_path / "model.onnx")])
    for model in (experiment, tmp_path / "model.onnx"):
        output = tmp_path / "predicted.csv"
        predict.main([str(model), str(root / "train_images"), "--output", str(output)])
        found = probabilities(output)
        assert len(found) == NUM_IMAGES
        for name, values in own.items():
            assert found[name] == pytest.approx(values, abs=1e-5)
    reevaluate(experiment, root)
    (evaluated,) = experiment.glob("evaluation_*/predictions.csv")
    scored = probabilities(evaluated)
    assert scored  # the others were learned from
    for name, values in scored.items():
        assert own[name] == pytest.approx(values, abs=1e-5)
    explain.main([str(experiment), "--output", str(tmp_path / "explained"), "--curve-steps", "0"])
    explained = read(tmp_path / "explained" / "explanation.json")["images"]
    assert explained
    for image in explained:
        values = own[Path(image["image"]).name]
        assert list(image["probabilities"].values()) == pytest.approx(values, abs=1e-5)


def test_images_of_12_bits(trained, tmp_path):
    """Scaled by 12 bits, and not cut to the upper 8 of 16, of which 12 levels would be left."""
    size = f"data.image_size=[{SIZE[0]},{SIZE[1]}]"
    root = write_data(tmp_path / "deep", ".png", steel)
    experiment = trained(root, size)
    assert read(experiment / "results.json")["data"]["bit_depth"] == 12
    assert_all_read_alike(experiment, root, tmp_path)
    plain = write_data(tmp_path / "plain", ".png", lambda k: (steel(k) >> 4).astype(np.uint8))
    expected = probabilities(trained(plain, size) / "predictions.csv")
    assert probabilities(experiment / "predictions.csv") == expected


def test_an_image_of_another_camera_is_refused(trained, tmp_path, capsys):
    root = write_data(tmp_path / "deep", ".png", steel)
    experiment = trained(root, f"data.image_size=[{SIZE[0]},{SIZE[1]}]")
    images = Path(shutil.copytree(root / "train_images", tmp_path / "images"))
    cv2.imwrite(str(images / "000.png"), steel(0) * 16)
    output = tmp_path / "predicted.csv"
    with pytest.raises(SystemExit, match="1"):
        predict.main([str(experiment), str(images), "--output", str(output)])
    with output.open() as stream:
        errors = [row["error"] for row in csv.DictReader(stream)]
    assert "expected at most 4095" in errors[0]
    assert not any(errors[1:])


@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
def test_images_of_several_sizes(trained, tmp_path, mode):
    """Resized alike, with their masks, wherever the model is used."""
    sizes = [(64, 320), (128, 500), (50, 400), (96, 300)]

    def image(k: int) -> np.ndarray:
        return cv2.resize((steel(k) >> 4).astype(np.uint8), sizes[k % 4][::-1])

    def code(k: int) -> str:
        mask = np.zeros(sizes[k % 4], np.uint8)
        mask[10:40, 30:200] = 1
        return encode(mask)

    root = write_data(tmp_path / "mixed", ".png", image, code)
    experiment = trained(
        root, "data.resize=[64,320]", f"data.resize_mode={mode}", "model.mask_head=true",
        "model.mask_head_width=8", "mask_loss.type=dice_loss",
    )  # fmt: skip
    data = read(experiment / "results.json")["data"]
    assert data["image_size"] == [64, 320]
    assert data["resize_mode"] == mode
    report = (experiment / "report.html").read_text()
    assert "Dice" in report
    assert "image not found" not in report
    assert_all_read_alike(experiment, root, tmp_path)
    resize = Resize((64, 320), mode)
    small = write_data(
        tmp_path / "small", ".png", lambda k: resize.image(image(k)),
        lambda k: encode(resize.masks(decode(code(k), *sizes[k % 4])[None])[0]),
    )  # fmt: skip
    expected = trained(
        small, "data.image_size=[64,320]", "model.mask_head=true", "model.mask_head_width=8",
        "mask_loss.type=dice_loss",
    )  # fmt: skip
    for name, values in probabilities(expected / "predictions.csv").items():
        assert probabilities(experiment / "predictions.csv")[name] == values
    explained = read(experiment / "results.json")["test"]["localization"]
    assert explained == read(expected / "results.json")["test"]["localization"]
