"""Small data sets with strips, and experiments that were trained on them."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from experiment_factory import read_results, write_experiment, write_results

from core.files.run_length import encode

HEIGHT, WIDTH = 32, 200


def draw_image(seed: int, dtype: type = np.uint8) -> np.ndarray:
    """A grey strip of noise. Shape: (HEIGHT, WIDTH)."""
    high = np.iinfo(dtype).max // 2
    return np.random.default_rng(seed).integers(0, high, (HEIGHT, WIDTH)).astype(dtype)


def write_data_set(root: Path, masks: Mapping[str, Mapping[int, np.ndarray]]) -> Path:
    """Images of these names, each with masks by ClassId, in the layout of the competition."""
    (root / "train_images").mkdir(parents=True)
    rows = ["ImageId,ClassId,EncodedPixels"]
    for seed, (name, of_image) in enumerate(masks.items()):
        cv2.imwrite(str(root / "train_images" / name), draw_image(seed))
        rows += [
            '"{}",{},{}'.format(name.replace('"', '""'), class_id, encode(mask))
            for class_id, mask in of_image.items()
        ]
    (root / "train.csv").write_text("\n".join(rows) + "\n")
    return root


def checkerboard(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Every other pixel, beginning with the first. Shape: uint8 (height, width)."""
    rows, columns = np.indices((height, width))
    return ((rows + columns) % 2 == 0).astype(np.uint8)


def write_trained(results_dir: Path, root: Path, name: str = "trained", images: int = 40) -> Path:
    """An experiment whose data set in `root` has the images of its split, labels by their masks."""
    folder = write_experiment(results_dir, name=name, images=images)
    results = read_results(folder)
    results["data"] |= {"root": str(root), "image_size": [HEIGHT, WIDTH]}
    write_results(folder, results)
    if not root.exists():
        lines = (folder / "split.csv").read_text().splitlines()[1:]
        write_data_set(root, {line.partition(",")[0]: {} for line in lines})
    return folder
