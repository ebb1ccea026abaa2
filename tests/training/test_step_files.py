"""How many files of the training a reader of one step has to open."""

import sys
from pathlib import Path

from conftest import REPOSITORY

from core.training import trainer

ROOM = REPOSITORY / "code" / "core" / "training"
MOST = 6


def test_a_step_enters_few_files(train_command, tiny, tmp_path, monkeypatch):
    update, entered = trainer.update, set()

    def note(frame, event, _):
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(ROOM):
            entered.add(str(file.relative_to(ROOM)))

    def noted(*args):
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            return update(*args)
        finally:
            sys.setprofile(before)

    monkeypatch.setattr(trainer, "update", noted)
    few = ["data.num_images=20", "training.num_epochs=1"]
    ended = train_command(*tiny, *few, f"experiment.results_dir={tmp_path}")
    assert ended.exit_code == 0, ended.errors
    assert {"trainer.py", "learner.py"} < entered
    assert len(entered) <= MOST, sorted(entered)
