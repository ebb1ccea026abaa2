"""What is nearly right: one line that names the right thing, without a word of Hydra's."""

import sys

import pytest
from hydra.core.global_hydra import GlobalHydra

NEARLY = {
    "model.nam=x": ["model.nam", "did you mean 'name'"],
    "loss.typ=focal_loss": ["loss.typ", "did you mean 'type'"],
    "loss.type=bce": ["loss.type=bce", "did you mean 'bce_with_logits'"],
    "modl=resnet50": ["modl", "did you mean 'model'"],
    "num_epochs=3": ["num_epochs", "did you mean 'training.num_epochs'"],
    "optimizer.lr=3": ["optimizer", "did you mean 'training.optimizer'"],
    "model resnet50": ["model", "model=NAME"],
    "--training.num_epochs=3": ["--training.num_epochs=3", "without dashes: training.num_epochs"],
    "loss.type=compound": ["loss.components", "such as loss.components=[{type:"],
    # Before anything is read.
    "runtime.device=cuda data.root={folder}": ["runtime.device='cuda'", "runtime.device=cpu"],
    "model=timm model.backbone=resnet1 data.root={folder}": ["backbone='resnet1'", "did you mean"],
    "mask_loss.type=dice_loss data.root={folder}": ["mask_loss.type=dice", "predicts no masks"],
    "augmentation.rotation=on": ["augmentation.rotation='on'", "true, null, a probability"],
    "experiment=quikstart": ["experiment=quikstart", "did you mean 'quickstart'", "overfit"],
    "augmentation=fancy": ["augmentation=fancy", "known: none, standard"],
    "supervision=mask": ["supervision=mask", "did you mean 'masks'"],
    "data=severstall": ["data=severstall", "did you mean 'severstal'"],
    "{folder}": ["{folder}", "data.root={folder}"],
    "{folder}/missing": ["{folder}/missing", "data.root={folder}/missing"],
    "{trained}": ["resume={trained}"],
    "resnet50": ["model.name=resnet50"],
    "focal_loss": ["loss.type=focal_loss"],
    "quickstart": ["experiment=quickstart"],
    "training.num_epochs": ["training.num_epochs=VALUE"],
    "training.num_epochs =3": ["training.num_epochs =3", "without blanks"],
    "data.root= {folder}": ["data.root= {folder}", "without blanks"],
    "resume={folder}": ["resume={folder}", "no config.yaml", "folder of an experiment"],
    "resume=": ["resume=: is empty", "latest"],
    "resume={results}": ["resume={results}", "1 experiment, {name}", "name one of them"],
    "resume={trained}/model_final.pt": ["resume={trained}", "completed"],
    "resume={trained}/checkpoints/last.pt": ["resume={trained}", "completed"],
}


@pytest.mark.parametrize("words", NEARLY)
def test_what_is_nearly_right(words, train_command, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    places = {
        "{folder}": str(tmp_path),
        "{trained}": str(trained),
        "{results}": str(trained.parent),
        "{name}": trained.name,
    }

    def placed(text: str) -> str:
        for name, place in places.items():
            text = text.replace(name, place)
        return text

    ended = train_command(*placed(words).split())
    assert ended.exit_code == 2
    (line,) = ended.errors.splitlines()
    assert all(placed(word) in line for word in NEARLY[words]), line
    assert "Could not" not in line
    assert "hydra" not in line.lower()


@pytest.mark.parametrize("arguments", [["--config-name", "train_config"], ["-m"], ["~resume"]])
def test_options_and_their_values_are_no_such_words(arguments):
    from core.command.quoting import quoted

    assert quoted([*arguments, "experiment.seed=1"]) == [*arguments, "experiment.seed=1"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["-m", "--cfg", "job"], "Only one of --run, --multirun, --cfg"),
        (["--resolve"], "The --resolve flag can only be used in conjunction with --cfg"),
        (["--experimental-rerun", "nowhere"], "File nowhere does not exist. `--help`"),
    ],
)
@pytest.mark.filterwarnings("ignore:Experimental rerun")
def test_options_that_hydra_refuses(options, text, train_command):
    ended = train_command(*options)
    assert ended.exit_code == 2
    (line,) = ended.errors.splitlines()
    assert line.startswith(f"error: {text}")


def test_an_option_of_a_sweep(train_command, tmp_path):
    ended = train_command("-m", "augmentation=none,fancy", f"experiment.results_dir={tmp_path}")
    assert ended.exit_code == 2
    line = ended.errors.splitlines()[-1]
    assert "augmentation=fancy: no such augmentation; known: none, standard" in line


@pytest.mark.parametrize("option", ["data=severstall", "{folder}"])
def test_validation_says_it_too(option, tmp_path, monkeypatch, capsys):
    import validate_data
    from core.command.mistakes import run_command
    from core.running.data_validation import explain_key

    words = ["validate_data.py", option.replace("{folder}", str(tmp_path))]
    monkeypatch.setattr(sys, "argv", words)
    try:
        with pytest.raises(SystemExit) as ended:
            run_command(validate_data.main, explain_key)
    finally:
        GlobalHydra.instance().clear()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert ("did you mean 'severstal'" if "=" in option else f"data.root={tmp_path}") in line
