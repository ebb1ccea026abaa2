"""Mistakes on the command line of a pretraining: one line, exit code 2, and nothing is left."""

import pytest
from pretraining_runs import SMALL, run_script, write_labelled, write_strips

from core.pretraining.methods import get_registry

ONE = [*SMALL, "data.batch_size=1"]
COMPARING = [name for name in get_registry().list() if not get_registry().get(name).mask_head]
# The words of each command, and what its line says. {empty}, {one} and {strips} are folders.
MISTAKES = {
    "an empty folder": (
        [*SMALL, "data.unlabelled={empty}"],
        "data.unlabelled: {empty}: folder without images",
    ),
    "one image": (
        [*SMALL, "data.unlabelled={one}"],
        "data.unlabelled={one}: 1 image; expected at least 4 to learn from",
    ),
    "one image by a glob": (
        [*SMALL, "data.unlabelled={one}/*.jpg"],
        "data.unlabelled={one}/*.jpg: 1 image; expected at least 4 to learn from",
    ),
    "a glob of nothing": ([*SMALL, "data.unlabelled={empty}/*.jpg"], "data.unlabelled: {empty}/"),
    "no such folder": ([*SMALL, "data.unlabelled={empty}/missing"], "no such file or folder"),
    **{
        f"a batch of one for {name}": (
            [*ONE, f"method.name={name}", "data.unlabelled={strips}"],
            "data.batch_size=1: ",
        )
        for name in COMPARING
    },
    "a queue that is no multiple of the batch": (
        [*SMALL, "method.name=moco", "method.queue_size=100", "data.unlabelled={strips}"],
        "method.queue_size=100: is no multiple of data.batch_size=6: give 96",
    ),
    "images that are left out": (
        [*SMALL, "data.on_bad_image=skip", "data.unlabelled={strips}"],
        "data.on_bad_image=skip: has no effect on data.unlabelled",
    ),
    "a window larger than the strips": (
        [*SMALL, "views.window=[64,64]", "data.unlabelled={strips}"],
        "views.window=[64, 64]: is larger than the strips, 32x64 pixels",
    ),
    "a network that takes windows but no strips": (
        [
            *SMALL,
            "model.backbone=test_vit",
            "model.backbone_options={{img_size: [32, 32]}}",
            "views.window=[32,32]",
            "data.root={labelled}",
        ],
        "images are 32x64, and this network accepts 32x32 only",
    ),
    "patience without a probe": (
        [*SMALL, "training.early_stopping_patience=3", "data.unlabelled={strips}"],
        "training.early_stopping_patience=3: has no effect without a probe",
    ),
    "patience that ends before the first probe": (
        [
            *SMALL,
            "training.early_stopping_patience=2",
            "training.probe_every=5",
            "data.root={labelled}",
        ],
        "a probe is taken only every 5 epochs (training.probe_every): expected at least 5",
    ),
    "a size beside another one": (
        [*SMALL, "data.resize=[32,32]", "data.unlabelled={strips}"],
        "data.image_size=[32, 64]: has no effect, since data.resize takes images of any size",
    ),
    "labels of strips without labels": (
        [*SMALL, "method.name=clip", "data.unlabelled={strips}"],
        "data.unlabelled={strips}: method.name=clip learns from labels",
    ),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    where = tmp_path_factory.mktemp("folders")
    (where / "empty").mkdir()
    folders = {"one": write_strips(where / "one", [1]), "empty": where / "empty"}
    folders["strips"] = write_strips(where / "strips", range(9))
    folders["labelled"] = write_labelled(where / "labelled")
    return {name: str(folder) for name, folder in folders.items()}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(mistake, folders, tmp_path, monkeypatch, capsys):
    words, message = MISTAKES[mistake]
    words = [word.format(**folders) for word in words]
    results = tmp_path / "results"
    assert run_script(monkeypatch, *words, f"experiment.results_dir={results}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message.format(**folders) in line
    assert "Traceback" not in line
    assert not results.exists()


def test_a_last_batch_of_one_is_left_out_of_each_epoch(tmp_path, monkeypatch):
    """Of 9 images 7 are learned from: a batch of 6 and one image, which has no statistics."""
    strips = write_strips(tmp_path / "strips", range(9))
    words = [*SMALL, "method.name=vicreg", "training.num_epochs=1", f"data.unlabelled={strips}"]
    assert run_script(monkeypatch, *words, f"experiment.results_dir={tmp_path / 'results'}") == 0
