"""Values as people type them reach the settings as they were typed."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import assume, example, given
from hypothesis import strategies as st

from core.command.quoting import quoted
from core.errors import InputError


@pytest.mark.parametrize(
    "name",
    ["a=b", "prüfung", "data(1)", "x y", "it's", "[v2]", "1_000", "20261128", "true", "C:\\x",
     "a,b", "épreuve no. 3", "{x}", "-1", "a#b", "50%", "(", 'quo"te'],
)  # fmt: skip
def test_any_folder_can_be_named(name, compose):
    assert compose(f"data.root={name}").data.root == Path(name)
    assert compose(f"model.weights={name}").model["weights"] == name


@given(name=st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0$\\"), min_size=1))
@example(name="[)]")
def test_any_text_stays_as_it_is(name):
    assume(name.strip() == name)
    (argument,) = quoted([f"experiment.name={name}"])
    assert OverridesParser.create().parse_override(argument).value() == name


def test_the_home_folder_is_filled_in(compose, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert compose("data.root=~/severstal").data.root == tmp_path / "severstal"
    assert compose("model.weights=~/w.pt").model["weights"] == str(tmp_path / "w.pt")
    assert compose("data.root=a~/b").data.root == Path("a~/b")


@pytest.mark.slow
def test_numbers_are_text_where_text_is_expected(compose):
    assert compose("experiment.name=20261128").experiment.name == "20261128"
    assert compose("experiment.name=1_000").experiment.name == "1_000"
    assert compose("experiment.name=1e5").experiment.name == "1e5"
    assert compose("data.class_names=[1,2]").data.class_names == ("1", "2")
    assert compose("experiment.seed=7").experiment.seed == 7
    assert compose("data.split_file=null").data.split_file is None
    with pytest.raises(InputError, match="seed='seven'"):
        compose("experiment.seed=seven")


def test_elements_of_a_list_are_quoted_one_by_one(compose):
    config = compose("data.class_names=[Riß, naïve,裂纹,plain]")
    assert config.data.class_names == ("Riß", "naïve", "裂纹", "plain")


def test_a_checkpoint_of_another_project_can_be_named(compose):
    name = "epoch=3-step=100.ckpt"
    assert compose(f"model.weights={name}").model["weights"] == name


def test_what_hydra_reads_itself_stays():
    given = ["-m", "data.root=a,b", "loss.gamma=1,2", "model=resnet50", "--config-dir=x=y",
             "~mask_loss", "loss.alpha=[0.1,0.2]", "data.root=${oc.env:HOME}/x",
             "experiment.seed=range(1,4)"]  # fmt: skip
    assert quoted(given) == given
    assert quoted(["-m", "data.root=~/a,b"]) == ["-m", "data.root='~/a',b"]
    assert quoted(["data.root=a,b"]) == ["data.root='a,b'"]
