"""Checkpoints load whole, or say why not."""

import pytest
import torch

from core.errors import InputError
from core.files.checkpoint import load_checkpoint, save_checkpoint


def test_round_trip(tmp_path):
    state = {"model": {"w": torch.arange(3.0)}, "history": [{"epoch": 1, "auroc": None}]}
    save_checkpoint(tmp_path / "last.pt", state)
    loaded = load_checkpoint(tmp_path / "last.pt")
    assert torch.equal(loaded["model"]["w"], state["model"]["w"])
    assert loaded["history"] == state["history"]


def test_missing_truncated_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "best.pt"
    with pytest.raises(InputError, match=r"best\.pt: no such checkpoint"):
        load_checkpoint(path)
    save_checkpoint(path, {"w": torch.zeros(1000)})
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a checkpoint"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"best\.pt: not a whole checkpoint"):
            load_checkpoint(path)


class RunsCode:
    def __reduce__(self):
        return (print, ("code of a foreign file ran",))


def test_code_in_a_checkpoint_does_not_run(tmp_path, capsys):
    torch.save({"w": RunsCode()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="not a whole checkpoint"):
        load_checkpoint(tmp_path / "evil.pt")
    assert capsys.readouterr().out == ""
