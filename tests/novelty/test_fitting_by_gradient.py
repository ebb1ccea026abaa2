"""Detectors that the trainer trains, from the command line to a scored strip."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from detector_jobs import SIZE, Striped
from outcomes import plain
from safetensors.torch import load_file

from core.errors import InputError
from core.novelty.detector_file import FittedDetector
from core.novelty.learning import learned_and_watched
from core.training.trainer import Trainer

SMALL = [
    f"data.image_size=[{SIZE[0]},{SIZE[1]}]",
    "data.batch_size=4",
    "training.num_epochs=2",
    "training.warmup_epochs=0",
    "runtime.precision=float32",
]
CODES = ["detector.bottleneck=rvq_vae", "detector.bottleneck_options={codebook_size: 8}"]
SECONDS = ("duration_seconds", "images_per_second", "data_wait_share")


@pytest.fixture(scope="module")
def strips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("strips")
    for number in range(30):
        content = cv2.imencode(".png", Striped().read(number))[1]
        (folder / f"{number:03d}.png").write_bytes(content.tobytes())
    return folder


def novelty(monkeypatch, *arguments: Any) -> int:
    """The exit code of `python code/novelty.py ARGUMENTS`, run in this process."""
    import logging

    from hydra.core.global_hydra import GlobalHydra

    import novelty as script
    from core.command.mistakes import run_command

    monkeypatch.setattr(sys, "argv", ["code/novelty.py", *map(str, arguments)])
    logging.getLogger().handlers.clear()
    try:
        run_command(script.main, "core.novelty.command:explain_key")
    except SystemExit as ended:
        return ended.code or 0
    finally:
        GlobalHydra.instance().clear()
    return 0


def fit(monkeypatch, results_dir: Path, *words: Any) -> Path:
    assert novelty(monkeypatch, "fit", *SMALL, *words, f"experiment.results_dir={results_dir}") == 0
    (path,) = results_dir.glob("novelty_*")
    return path


def results_of(path: Path) -> dict[str, Any]:
    return json.loads((path / "results.json").read_text())


def outcome(path: Path) -> dict[str, Any]:
    results = results_of(path)
    for record in results["history"]:
        for key in SECONDS:
            del record["train"][key]
    last = torch.load(path / "checkpoints" / "last.pt", weights_only=True)
    kept = {key: results[key] for key in ("history", "threshold", "test", "best_epoch")}
    return {
        **kept,
        "last": plain({key: last[key] for key in ("model", "optimizer")}),
        "detector": plain(load_file(path / "detector.safetensors")),
    }


@pytest.mark.slow
def test_interrupted_and_resumed_it_is_the_same_bit_for_bit(strips, tmp_path, monkeypatch, capsys):
    words = ["detector.name=autoencoder", *CODES, f"data.unlabelled={strips}"]
    whole = fit(monkeypatch, tmp_path / "whole", *words)
    after_step = Trainer._after_step

    def asked(self, progress):
        self.interruption.requested |= self.learner.num_updates == 6
        after_step(self, progress)

    there = f"experiment.results_dir={tmp_path / 'stopped'}"
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_after_step", asked)
        assert novelty(monkeypatch, "fit", *SMALL, *words, there) == 130
    (stopped,) = (tmp_path / "stopped").glob("novelty_*")
    assert f"python code/novelty.py fit resume={stopped}" in capsys.readouterr().out
    assert novelty(monkeypatch, "fit", "resume=latest", there) == 0
    assert outcome(stopped) == outcome(whole)

    assert novelty(monkeypatch, "fit", f"resume={stopped}") == 2
    assert "is completed, nothing is left to do" in capsys.readouterr().err
    assert novelty(monkeypatch, "fit", f"resume={stopped}", "experiment.seed=5") == 2
    assert "experiment.seed was 42, is 5" in capsys.readouterr().err
    shutil.rmtree(stopped / "checkpoints")
    assert novelty(monkeypatch, "fit", f"resume={stopped}", "training.num_epochs=99") == 2
    assert "epochs, which would be overwritten" in capsys.readouterr().err


@pytest.mark.slow
def test_what_a_training_leaves(strips, tmp_path, monkeypatch):
    words = ["detector.name=autoencoder", *CODES, "training.trackers=[tensorboard]"]
    path = fit(monkeypatch, tmp_path, f"data.unlabelled={strips}", *words)
    results = results_of(path)
    assert (results["status"], results["kind"]) == ("completed", "novelty")
    record = results["history"][0]
    assert record["loss_terms"].keys() == {"reconstruction_loss", "kl_loss", "quantizer_loss"}
    assert 1 < record["codes"]["codes_used"] <= 8
    errors = [each["validation"]["reconstruction_loss"] for each in results["history"]]
    assert errors[results["best_epoch"] - 1] == min(errors)
    assert (
        results["fit"]["num_learned"] + results["fit"]["num_watched"]
        == (results["data"]["num_fit"])
    )
    assert results["timings"]["training_seconds"] > 0
    assert any((path / "tensorboard").iterdir())
    best = torch.load(path / "checkpoints" / "best.pt", weights_only=True)["model"]
    written = load_file(path / "detector.safetensors")
    assert all(torch.equal(written[f"network.{key}"], value) for key, value in best.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["autoencoder", "synthetic_defects"])
def test_a_finished_detector_scores_as_it_did(name, strips, tmp_path, monkeypatch):
    path = fit(monkeypatch, tmp_path, f"detector.name={name}", f"data.unlabelled={strips}")
    found = FittedDetector(path)
    images = np.stack([Striped().read(row) for row in range(3)])[:, None]
    scores = [score for score, _ in found(images)]
    assert np.isfinite(scores).all()
    again = FittedDetector(path)(images)
    assert [score for score, _ in again] == scores
    assert novelty(monkeypatch, "score", path, strips, "--output", tmp_path / "scores") == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("words", [["autoencoder", *CODES], ["synthetic_defects"]])
def test_the_exported_model_scores_as_torch_does(words, strips, tmp_path, monkeypatch):
    import export

    name = f"detector.name={words[0]}"
    path = fit(monkeypatch, tmp_path, name, *words[1:], f"data.unlabelled={strips}")
    export.main([str(path), "--format", "onnx"])
    session = onnxruntime.InferenceSession(path / "detector.onnx")
    images = np.stack([Striped().read(row) for row in range(3)])[:, None]
    scores, maps = session.run(["scores", "maps"], {"images": images})
    for place, (score, heat) in enumerate(FittedDetector(path)(images)):
        assert scores[place] == pytest.approx(score, abs=1e-4)
        np.testing.assert_allclose(maps[place], heat, atol=1e-4)
    about = json.loads(session.get_modelmeta().custom_metadata_map["signature"])
    assert about["threshold"] == results_of(path)["threshold"]["threshold"]
    assert about["image_size"] == list(SIZE)
    parity = json.loads((path / "detector.onnx.parity.json").read_text())
    assert parity["max_difference"] <= parity["tolerance"] == 1e-4


def test_other_exports_of_a_detector_are_refused(strips, tmp_path, monkeypatch):
    import export

    path = fit(monkeypatch, tmp_path, "detector.name=autoencoder", f"data.unlabelled={strips}")
    for words in (["--format", "int8"], ["--latency"], ["--format", "onnx", "--latency"]):
        with pytest.raises(InputError, match=r"detector of novelty.*--format onnx alone"):
            export.main([str(path), *words])
    with pytest.raises(InputError, match=r"ends in \.onnx"):
        export.main([str(path), "--format", "onnx", "--output", str(tmp_path / "model.pt")])


@pytest.mark.slow
def test_keys_of_a_training_are_refused_where_nothing_is_trained(
    strips, tmp_path, monkeypatch, capsys
):
    words = ["detector.name=high_pass", f"data.unlabelled={strips}", *SMALL[:2]]
    words.append(f"experiment.results_dir={tmp_path}")
    for key in (
        "training.num_epochs=3",
        "views.gain=0.1",
        "runtime.devices=2",
        "data.num_workers=1",
    ):
        assert novelty(monkeypatch, "fit", *words, key) == 2
        assert f"{key}: has no effect, as detector.name=high_pass" in capsys.readouterr().err
    assert novelty(monkeypatch, "fit", *words) == 0
    (path,) = tmp_path.iterdir()
    assert novelty(monkeypatch, "fit", f"resume={path}") == 2
    assert "is fitted in one piece" in capsys.readouterr().err


@pytest.mark.parametrize(("copies", "num_watched"), [(1, 256), (25, 250)])
def test_all_strips_are_learned_from_or_choose_the_epoch(copies, num_watched):
    groups = np.arange(3550) // copies
    learned, watched = learned_and_watched(groups, 42)
    assert len(watched) == num_watched
    assert sorted([*learned, *watched]) == list(range(3550))
    assert not set(groups[learned]) & set(groups[watched])


def test_a_group_is_watched_where_none_fits_into_a_tenth():
    learned, watched = learned_and_watched(np.repeat(range(4), 5), 0)
    assert (len(learned), len(watched)) == (15, 5)
    assert [len(each) for each in learned_and_watched(np.zeros(9, int), 0)] == [9, 0]
