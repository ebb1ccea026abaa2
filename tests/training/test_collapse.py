"""A collapse that is provoked is named in history, results.json and log."""

import json

import torch
from task_examples import CPU, NUM_BATCHES, NUM_FEATURES, Network, Pairs

from core.experiments.folder import ExperimentFolder
from core.experiments.schema import PretrainingResults
from core.machine.interruption import Interruption
from core.pretraining.methods import get_registry
from core.pretraining.task import PretrainingTask
from core.training.learner import Learner
from core.training.settings import TrainingSettings
from core.training.trainer import Trainer

SETTINGS = TrainingSettings(num_epochs=12, learning_rate=0.05, warmup_epochs=0)


def pretrain(path, **params: float) -> dict:
    torch.manual_seed(1)
    method = get_registry().get("vicreg", hidden_size=8, embedding_size=4, **params)
    method.attach(Network(NUM_FEATURES), NUM_FEATURES)
    task = PretrainingTask(method, Pairs(seed=1), Pairs(seed=2), seed=1)
    learner = Learner.create(
        Network(NUM_FEATURES), method, SETTINGS, steps_per_epoch=NUM_BATCHES, device=CPU
    )
    folder, interruption = ExperimentFolder.at(path), Interruption()
    folder.schema = PretrainingResults
    with folder.running(interruption):
        Trainer(learner, task, folder, settings=SETTINGS, interruption=interruption).fit()
    return json.loads((path / "results.json").read_text())


def test_without_its_terms_against_it_vicreg_collapses(tmp_path, caplog):
    with caplog.at_level("INFO"):
        results = pretrain(tmp_path, variance=0.0, covariance=0.0)
    assert results["collapsed"] is True
    assert results["history"][-1]["validation"]["collapsed"] is True
    assert "The embeddings have collapsed" in caplog.text
    assert "| collapsed | True |" in (tmp_path / "ENCODER_CARD.md").read_text()
