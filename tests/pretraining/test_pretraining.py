"""Whole pretrainings: what they leave, their resuming, and what a training makes of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pretraining_runs import (
    SIZE,
    SMALL,
    SMALL_EMBEDDINGS,
    composed,
    outcome,
    run_script,
    write_labelled,
    write_strips,
)
from safetensors import safe_open

from core.errors import InputError
from core.experiments.finding import find_experiments
from core.experiments.reading import read_experiment
from core.models.registry import get_registry
from core.pretraining import composition, task
from core.pretraining.choosing import choose_strips
from core.pretraining.command import short_forms
from core.pretraining.methods import get_registry as methods
from core.training.learner import Learner
from core.training.trainer import Trainer, update


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="module")
def plain_folder(tmp_path_factory) -> Path:
    return write_strips(tmp_path_factory.mktemp("plain"), range(100, 126))


def results_of(path: Path) -> dict:
    return json.loads((path / "results.json").read_text())


def run(results_dir: Path, *overrides) -> Path:
    before = set(results_dir.glob("*"))
    composition.pretrain(composed(f"experiment.results_dir={results_dir}", *overrides))
    (path,) = set(results_dir.glob("*")) - before
    return path


@pytest.fixture(scope="module")
def pretrained(labelled, tmp_path_factory) -> Path:
    """A pretraining of two epochs by VICReg, with a probe after each."""
    where = tmp_path_factory.mktemp("results")
    words = ("method.name=vicreg", "training.probe_every=1", "model.cbam_stages=[3]")
    return run(where, f"data.root={labelled}", *words)


def test_what_a_pretraining_leaves(pretrained):
    results = results_of(pretrained)
    assert (results["status"], results["kind"]) == ("completed", "pretraining")
    assert results["method"]["type"] == "vicreg"
    probed = [record["validation"]["probe_average_precision"] for record in results["history"]]
    assert len(probed) == 2
    assert results["best_epoch"] == results["tested_epoch"]
    assert probed[results["best_epoch"] - 1] == max(probed)
    assert results["data"]["part"] == "training"
    assert results["data"]["num_images"] == 28
    assert results["collapsed"] == results["test"]["collapsed"]
    files = {path.name for path in pretrained.iterdir()}
    assert files >= {"encoder.safetensors", "ENCODER_CARD.md", "view_pairs.jpg", "config.yaml",
                     "split.csv", "train.log", "report.html"}  # fmt: skip


def test_the_card_says_what_the_encoder_was_learned_from(pretrained, labelled):
    with safe_open(pretrained / "encoder.safetensors", "pt") as file:
        card = file.metadata()
    assert card["method"] == "vicreg"
    assert card["learned_from"] == f"28 images of {labelled} (training)"
    assert card["epochs"] == "2"
    assert "| learned from | 28 images" in (pretrained / "ENCODER_CARD.md").read_text()


def test_a_classifier_takes_every_tensor_of_the_encoder(pretrained, caplog):
    file = str(pretrained / "encoder.safetensors")
    params = {"backbone": "test_resnet", "pretrained": False, "cbam_stages": [3]}
    with caplog.at_level("INFO"):
        model = get_registry().get("timm", weights=file, **params)
    state = model.state_dict()
    with safe_open(file, "pt") as tensors:
        keys = set(tensors.keys())
        assert all(torch.equal(state[key], tensors.get_tensor(key)) for key in keys)
    assert state.keys() - keys == {f"{layer}.{p}" for layer in model.last_layers
                                   for p in ("weight", "bias")}  # fmt: skip
    assert any(key.startswith("attention.") for key in keys)
    assert f"{len(keys)} of {len(state)} tensors" in caplog.text
    assert caplog.text.rstrip().endswith("left as they were: fc")


@pytest.mark.parametrize(
    "params", [{"freeze_backbone": True}, {"mask_head": True, "mask_head_width": 8}]
)
def test_the_encoder_serves_other_classifiers(pretrained, params):
    file, shape = str(pretrained / "encoder.safetensors"), (2, 1, *SIZE)
    base = {"backbone": "test_resnet", "pretrained": False, "cbam_stages": [3]}
    model = get_registry().get("timm", weights=file, **base, **params)
    output = model(torch.zeros(shape, dtype=torch.uint8))
    logits = output["logits"] if isinstance(output, dict) else output
    assert logits.shape == (2, 4)


def test_an_encoder_of_another_network_is_refused(pretrained):
    file = str(pretrained / "encoder.safetensors")
    with pytest.raises(InputError, match=r"must be of the same network as model\.name"):
        get_registry().get("timm", backbone="test_convnext", pretrained=False, weights=file)


def test_the_group_of_a_training_is_taken_for_the_source():
    assert short_forms(["data=synthetic", "data.x=1"]) == ["data.source=synthetic", "data.x=1"]


def test_latest_is_the_latest_training(pretrained):
    with pytest.raises(InputError, match="latest: no completed experiment"):
        find_experiments(["latest"], pretrained.parent)


def test_compare_says_that_it_is_no_training(pretrained):
    with pytest.raises(
        InputError, match=r"is a pretraining.*model\.weights=\S+ trains one from it"
    ):
        read_experiment(pretrained)


@pytest.mark.parametrize("name", methods().list())
def test_every_method_pretrains(name, labelled, tmp_path):
    batch = ["method.queue_size=12"] if name == "moco" else []
    words = [f"method.name={name}", f"data.root={labelled}", "training.num_epochs=1", *batch]
    results = results_of(run(tmp_path, *words))
    assert results["status"] == "completed"
    assert set(methods().get(name).told) <= results["test"].keys()
    assert results["test"]["loss"] > 0


def test_the_projector_is_clipped_with_the_encoder(plain_folder, monkeypatch):
    norms = []

    def step(self):
        parts = (self.model, self.objective)
        gradients = [[p.grad for p in part.parameters() if p.requires_grad] for part in parts]
        norms.append([torch.nn.utils.get_total_norm(each).item() for each in gradients])

    monkeypatch.setattr(Learner, "step", step)
    words = [f"data.unlabelled={plain_folder}", "method.name=vicreg"]
    config = composed(*words, "training.gradient_clip_norm=0.01")
    built = composition.build(config, choose_strips(config))
    update(built.learner, built.task, [next(iter(built.task.train_batches))])
    ((encoder, projector),) = norms
    assert min(encoder, projector) > 1e-4
    assert (encoder**2 + projector**2) ** 0.5 == pytest.approx(0.01, rel=1e-3)


def test_what_is_auto_is_the_usual_way(plain_folder, tmp_path):
    automatic = [f"runtime.{key}=auto" for key in ("channels_last", "compile")]
    words = [f"data.unlabelled={plain_folder}", "data.num_workers=auto", *automatic]
    computation = results_of(run(tmp_path, *words, "training.num_epochs=1"))["computation"]
    assert computation["compiled"] is computation["channels_last"] is False
    assert computation["num_workers"] == 0


def test_a_folder_without_labels(plain_folder, tmp_path):
    path = run(tmp_path, f"data.unlabelled={plain_folder}/*.jpg")
    results = results_of(path)
    assert (results["data"]["num_images"], results["data"]["num_watched"]) == (20, 6)
    assert results["best_epoch"] == 2  # without a probe it is the last
    assert "probe_average_precision" not in results["history"][0]["validation"]


@pytest.fixture
def whole_and_stopped(tmp_path, monkeypatch) -> Callable[..., tuple[Path, Path]]:
    """The same pretraining twice: one is stopped after its sixth step, and may be resumed."""
    after_step = Trainer._after_step

    def asked(self, progress):
        self.interruption.requested |= self.learner.num_updates == 6
        after_step(self, progress)

    def pretrain(*words: str) -> tuple[Path, Path]:
        into = "experiment.results_dir={}"
        assert run_script(monkeypatch, *words, into.format(tmp_path / "whole")) == 0
        with monkeypatch.context() as patched:
            patched.setattr(Trainer, "_after_step", asked)
            assert run_script(monkeypatch, *words, into.format(tmp_path / "stopped")) == 130
        return tuple(next((tmp_path / name).iterdir()) for name in ("whole", "stopped"))

    return pretrain


@pytest.mark.slow
def test_of_epochs_without_a_probe_the_last_is_taken(labelled, tmp_path, monkeypatch):
    """The loss of MoCo rises while its queue fills, so that its first epoch has the lowest."""
    monkeypatch.setattr(task, "average_precision_of_probe", lambda *_: None)
    words = [f"data.root={labelled}", "method.name=moco", "method.queue_size=18"]
    results = results_of(run(tmp_path, *words, "training.num_epochs=3"))
    assert results["best_epoch"] == results["tested_epoch"] == 3


@pytest.mark.slow
def test_a_resumed_pretraining_keeps_its_split_and_what_it_began_from(
    labelled, pretrained, whole_and_stopped, tmp_path, monkeypatch
):
    split_file = tmp_path / "split.csv"
    split_file.write_bytes((pretrained / "split.csv").read_bytes())
    words = [*SMALL, "method.name=vicreg", *SMALL_EMBEDDINGS, "model.cbam_stages=[3]",
             f"data.root={labelled}", "data.split_strategy=file", f"data.split_file={split_file}",
             f"model.weights={pretrained / 'encoder.safetensors'}"]  # fmt: skip
    whole, stopped = whole_and_stopped(*words)
    swapped = {"train": "test", "test": "train"}
    lines = split_file.read_text().splitlines()
    parted = [line.rpartition(",") for line in lines]
    split_file.write_text("\n".join(f"{a},{swapped.get(c, c)}" for a, _, c in parted))
    assert run_script(monkeypatch, f"resume={stopped}") == 0
    assert (stopped / "split.csv").read_bytes() == (whole / "split.csv").read_bytes()
    assert outcome(stopped) == outcome(whole)
    assert outcome(stopped)["encoder"]["card"]["initial_weights"]


@pytest.mark.slow
def test_moco_resumes_within_an_epoch_bit_for_bit(
    plain_folder, whole_and_stopped, monkeypatch, capsys
):
    words = [*SMALL, *SMALL_EMBEDDINGS, "method.name=moco", "method.queue_size=18"]
    words.append("model.drop_rate=0.2")
    words = [*words, f"data.unlabelled={plain_folder}", "model.drop_path_rate=0.1"]
    whole, stopped = whole_and_stopped(*words)
    state = torch.load(stopped / "checkpoints" / "last.pt", weights_only=True)
    assert state["epoch_progress"]["progress"]["step"] == 2
    assert f"python code/pretrain.py resume={stopped}" in capsys.readouterr().out
    assert run_script(monkeypatch, "resume=latest", f"experiment.results_dir={stopped.parent}") == 0
    assert outcome(stopped) == outcome(whole)
    (queue,) = [k for k in state["objective"] if k.endswith("queue.keys")]
    assert state["objective"][queue].abs().sum() > 0

    assert run_script(monkeypatch, f"resume={stopped}") == 2
    assert "is completed, nothing is left to do" in capsys.readouterr().err
    assert run_script(monkeypatch, f"resume={stopped}", "experiment.seed=5") == 2
    assert "experiment.seed was 42, is 5" in capsys.readouterr().err
    shutil.rmtree(stopped / "checkpoints")
    assert run_script(monkeypatch, f"resume={stopped}", "training.num_epochs=9") == 2
    assert "epochs, which would be overwritten" in capsys.readouterr().err
