"""An experiment whose held-out strips can be reviewed, its data set, and a reviewer of them."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from experiment_factory import CLASS_NAMES, read_results, write_experiment, write_results
from PIL import Image
from running_workbench import Answer, Running

from core.data.annotations import read_label_table
from core.data.label_table import LabelTable
from core.files.resizing import Resize


def write_reviewable(folder: Path, name: str = "reviewable", images: int = 120, **how: Any) -> Path:
    """The data set `strips` and, in `results`, an experiment that predicted all of it."""
    path = write_experiment(folder / "results", name=name, images=images, **how)
    root = folder / "strips"
    (root / "images").mkdir(parents=True)
    with (path / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    generator = np.random.default_rng(0)
    for row in rows:
        grey = generator.integers(90, 160, (16, 100), dtype=np.uint8)
        Image.fromarray(grey).save(root / "images" / row["image_id"], quality=40)
    with (root / "labels.csv").open("w", newline="") as stream:
        written = csv.writer(stream)
        names = how.get("class_names", CLASS_NAMES)
        written.writerow(["ImageId", *names])
        written.writerows([r["image_id"], *(r[f"label_{n}"] for n in names)] for r in rows)
    results = read_results(path)
    results["data"] |= {"fingerprint": read_table(root).fingerprint(), "root": str(root)}
    write_results(path, results)
    return path


def read_table(root: Path) -> LabelTable:
    """The table as a training reads it."""
    return read_label_table(root, None, Resize((16, 100), "stretch"))


class Reviewer:
    """Somebody who reviews an experiment through the addresses of the server."""

    def __init__(self, served: Running, name: str = "Ann", experiment: str = "reviewable") -> None:
        self.served, self.name = served, name
        self.about = {"key": served.key(experiment), "reviewer": name}
        self.number = 0

    def next(self, count: int = 4, **how: Any) -> dict[str, Any]:
        """The strips that are next."""
        return self._of(self.served.post("/api/review/next", **self.about, count=count, **how))

    def decide(self, strip: dict[str, Any], answers: list[int | None], /, **how: Any) -> Answer:
        """Decide on a strip; each call is another request, unless it is named."""
        self.number += 1
        return self.served.post("/api/review/decide", **{
            **self.about, "request": f"{self.name}-request-{self.number:06d}",
            "strip": strip["key"], "blind": strip["blind"], "answers": answers, "seconds": 1.5,
            **how,
        })  # fmt: skip

    def undo(self, number: int) -> dict[str, Any]:
        """Take back the decision with this number."""
        return self._of(self.served.post("/api/review/undo", **self.about, number=number))

    @staticmethod
    def _of(answer: Answer) -> dict[str, Any]:
        assert answer.status == 200, answer.body
        return answer.json()
