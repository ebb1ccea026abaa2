"""One schema for those who write results.json and those who read it."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
from experiment_factory import read_results, write_experiment
from pydantic import BaseModel, ValidationError

from core.experiments.folder import ExperimentFolder
from core.experiments.reading import read_experiment
from core.experiments.schema import Results, RunResults
from core.machine.interruption import Interruption
from core.running.continuation import describe_resumption
from core.running.cross_validation import cross_validate
from core.training.checkpoint import Checkpoints

# Fields that none of the runs below writes.
UNWRITTEN = {
    "SkippedImage.image_id": "every image of these runs is whole",
    "SkippedImage.reason": "every image of these runs is whole",
    "MissingMask.image_id": "every label of these runs has its mask",
    "MissingMask.class_names": "every label of these runs has its mask",
    **{
        f"Corrections.{name}": "no review corrected labels of these runs"
        for name in ("file", "sha256", "given_fingerprint", "num_decided", "num_without_mask",
                     "added", "removed")
    },
    "Data.corrections": "no review corrected labels of these runs",
    "InitialWeights.pretrained_by": "none of these runs goes on from a pretraining",
    "InitialWeights.held_out_images_seen": "none of these runs goes on from a pretraining",
    "Commit.commit": "null where the code is in no checkout",
    "Commit.changed": "null where the code is in no checkout",
}  # fmt: skip


@pytest.fixture(scope="module")
def folds(compose, tiny, tmp_path_factory) -> list[Path]:
    """A cross-validation with masks and what else adds a section, and its folds."""
    results_dir = tmp_path_factory.mktemp("folds")
    cross_validate(
        compose(
            *tiny, "training.num_epochs=1", "training.folds=3", "training.evaluate_train_part=true",
            "model.mask_head=true", "model.mask_head_width=8", "mask_loss.type=tversky_loss",
            "loss.type=compound", "loss.components=[{type:focal_loss},{type:bce_with_logits}]",
            "data.label_noise=0.1", "evaluation.calibration=platt", "training.head_epochs=1",
            f"experiment.results_dir={results_dir}",
        )
    )  # fmt: skip
    (path,) = results_dir.iterdir()
    return [path, *sorted(path.glob("fold_*"))]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> Path:
    """A folder that was gone on with, with a value that was settled, and stopped."""
    path = tmp_path_factory.mktemp("interrupted")
    ExperimentFolder.at(path).record(status="running")
    found = Checkpoints(path / "checkpoints").newest()
    folder = ExperimentFolder.reopen(path, describe_resumption({}, found))
    folder.results["experiment"]["settled"] = {"data.batch_size": "auto"}
    with pytest.raises(KeyboardInterrupt), folder.running(Interruption()):
        raise KeyboardInterrupt
    return path


@pytest.fixture(scope="module")
def written(trained, folds, interrupted) -> list[dict[str, Any]]:
    return [read_results(path) for path in (trained, *folds, interrupted)]


def sections(annotation: Any, content: Any) -> Iterator[tuple[type[BaseModel], dict[str, Any]]]:
    """Every section of a content of that type, with its model."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, content
        for name, field in annotation.model_fields.items():
            if content.get(name) is not None:
                yield from sections(field.annotation, content[name])
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from sections(argument, content)
    elif origin is list and isinstance(content, list):
        for item in content:
            yield from sections(arguments[0], item)
    elif origin is dict and isinstance(content, dict):
        for item in content.values():
            yield from sections(arguments[1], item)


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model inside a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models(field.annotation)
    for argument in get_args(annotation):
        yield from models(argument)


@pytest.mark.slow
def test_what_runs_write_is_in_the_schema_to_the_last_field(written, tmp_path):
    for results in [*written, read_results(write_experiment(tmp_path))]:
        Results.model_validate(results, extra="forbid")


@pytest.mark.slow
def test_every_field_of_the_schema_is_written(written):
    known = {f"{model.__name__}.{name}" for model in models(Results) for name in model.model_fields}
    found = {
        f"{model.__name__}.{name}"
        for results in written
        for model, content in sections(Results, results)
        for name in content
    }
    assert found - known == set()
    assert known - found <= set(UNWRITTEN)
    assert set(UNWRITTEN) <= known


@pytest.mark.parametrize(
    "section",
    [{"news": 1}, {"timings": {"news_seconds": 1.0}}, {"history": [{"epoch": 1, "news": 1}]}],
)
def test_an_unknown_field_is_read_but_not_written(section, trained, tmp_path):
    folder = ExperimentFolder.at(tmp_path)
    with pytest.raises(ValidationError, match="news"):
        folder.record(**section)
    assert not folder.results_file.exists()
    folder.results_file.write_text(json.dumps(read_results(trained) | section))
    assert read_experiment(tmp_path).results.items() >= section.items()


def test_another_kind_of_training_has_figures_of_its_own(tmp_path):
    folder = ExperimentFolder.at(tmp_path)
    folder.schema = RunResults
    folder.record(history=[{"epoch": 1, "validation": {"error": 0.5}}], test={"error": 0.25})
    with pytest.raises(ValidationError, match="tset"):
        folder.record(tset={"error": 0.25})


def test_a_run_goes_on_in_the_folder_of_another_version(tmp_path):
    head = {"name": "a", "created_at": "2026-03-04", "news": 1, "resumed_at": [{"news": 1}]}
    for earlier, kept in ((head, "2026-03-04"), ({"name": 5}, None), ("text", None)):
        (tmp_path / "results.json").write_text(json.dumps({"experiment": earlier}))
        folder = ExperimentFolder.reopen(tmp_path, describe_resumption({}))
        folder.record(status="running")
        found = read_results(tmp_path)["experiment"]
        assert found["created_at"] == kept or kept is None
        assert len(found["resumed_at"]) == (2 if kept else 1)
