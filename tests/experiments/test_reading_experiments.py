"""results.json as found in the wild: whole, cut off, unfinished, from the future."""

import json
import re

import pytest
from experiment_factory import read_results, write_experiment, write_results

from core.errors import InputError
from core.experiments.finding import find_experiment, find_experiments
from core.experiments.reading import flatten, read_all, read_experiment


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_experiment(tmp_path_factory.mktemp("results"))


@pytest.fixture
def changed(whole, tmp_path):
    """Writes a copy of the experiment with some sections replaced, None to drop one."""

    def write(name="copy", **sections):
        folder = tmp_path / name
        folder.mkdir()
        results = read_results(whole) | sections
        results = {key: value for key, value in results.items() if value is not None}
        write_results(folder, results)
        return folder

    return write


def test_a_completed_experiment_is_read(whole):
    experiment = read_experiment(whole)
    assert experiment.name == "experiment_a"
    assert experiment.class_names == ["defect_1", "defect_2", "defect_3", "defect_4"]
    assert experiment.config["loss.type"] == "focal_loss"
    assert experiment.look_up("test", "num_images") == 120
    assert experiment.look_up("test", "no", "such", "thing") is None


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_cut_off_results_are_named(whole, tmp_path, share):
    text = (whole / "results.json").read_text()
    (tmp_path / "results.json").write_text(text[: int(share * len(text))])
    with pytest.raises(InputError, match=r"results\.json: not a JSON file, perhaps cut off"):
        read_experiment(tmp_path)


@pytest.mark.parametrize("content", ["[]", "null", "{}", '{"schema_version": "x"}', "\x00\xff"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=r"results\.json"):
        read_experiment(tmp_path)


def test_a_newer_schema_is_refused(changed):
    with pytest.raises(InputError, match="schema_version 2; this version reads 1"):
        read_experiment(changed(schema_version=2))


@pytest.mark.parametrize(
    ("status", "words"),
    [("running", "still running"), ("interrupted", "interrupted"), ("failed", "failed")],
)
def test_unfinished_experiments_say_so(changed, status, words):
    folder = changed(status=status, status_message="out of memory")
    with pytest.raises(InputError, match=rf"{folder}.*{words}.*out of memory.*resume={folder} "):
        read_experiment(folder)


def test_an_unknown_status_and_missing_figures_are_named(changed):
    with pytest.raises(InputError, match="status='done'; expected 'completed'"):
        read_experiment(changed("one", status="done"))
    with pytest.raises(InputError, match=r"has no test\.macro"):
        read_experiment(changed("two", test=None))
    with pytest.raises(InputError, match=r"has no data\.class_names"):
        read_experiment(changed("three", data={}))


def test_the_others_are_still_read(whole, changed, tmp_path):
    failed = changed("failed", status="failed")
    experiments, problems = read_all([failed, whole, tmp_path / "nowhere"])
    assert [experiment.name for experiment in experiments] == ["experiment_a"]
    assert len(problems) == 2
    assert all("\n" not in problem for problem in problems)


def test_experiments_are_found_by_folder_by_name_and_by_file(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps({}))
    (tmp_path / "empty").mkdir()
    a, b = tmp_path / "a", tmp_path / "b"
    assert find_experiments(results_dir=tmp_path) == [a, b]
    assert find_experiments([tmp_path]) == [a, b]
    assert find_experiments(["b", "a", "b"], tmp_path) == [b, a]
    assert find_experiments([a / "results.json"]) == [a]


def test_what_is_not_there_is_named_with_the_nearest(tmp_path):
    (tmp_path / "experiment_1").mkdir()
    with pytest.raises(InputError, match=r"experiment_2 .*did you mean 'experiment_1'"):
        find_experiments(["experiment_2"], tmp_path)
    with pytest.raises(InputError, match=r"has no results\.json"):
        find_experiments(["experiment_1"], tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        find_experiments(results_dir=tmp_path / "nowhere")


def test_flatten_keeps_empty_sections():
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "a.c": {}, "d": [1]}


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["config"], [1]),
        (["data", "class_names"], "defect_1"),
        (["data", "class_names"], ["a", "a"]),
        (["data", "class_names"], [{"a": 1}]),
        (["test", "num_images"], "9"),
        (["test", "macro"], {"f1": "high"}),
        (["test", "per_class"], {"defect_1": 3}),
        (["test", "intervals"], {"macro": {"f1": [0.1]}}),
        (["history"], [{"epoch": "one"}]),
        (["best_epoch"], 10**30),
        (["thresholds"], {"defect_1": [0.5]}),
    ],
)
def test_results_of_other_types_are_named_by_their_key(whole, tmp_path, keys, value):
    results = read_results(whole)
    inner = results
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    write_results(tmp_path, results)
    with pytest.raises(InputError, match=re.escape(".".join(keys))) as caught:
        read_experiment(tmp_path)
    assert "results.json" in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.fixture
def several(changed, tmp_path):
    """Three experiments; the newest is not completed."""
    for day, name, status in ((1, "quickstart_1", "completed"), (3, "quickstart_3", "failed"),
                              (2, "quickstart_2", "completed")):  # fmt: skip
        head = {"name": name, "created_at": f"2026-01-0{day}T00:00:00+00:00"}
        changed(name, status=status, experiment=head)
    return tmp_path


def test_the_latest_is_the_newest_completed_one(several):
    assert find_experiment("latest", several).name == "quickstart_2"
    with pytest.raises(InputError, match=r"latest: no completed experiment in .*: train first"):
        find_experiment("latest", several / "quickstart_1")


def test_the_beginning_of_a_name_will_do_where_it_is_the_only_one(several, changed):
    changed("other_run")
    assert find_experiment("oth", several).name == "other_run"
    assert len(find_experiments(["quick"], several)) == 3
    listed = "is 3 experiments, newest first quickstart_3, quickstart_2, quickstart_1: name one"
    with pytest.raises(InputError, match=f"quick: {listed}"):
        find_experiment("quick", several)
    with pytest.raises(InputError, match="quickstrat is no experiment"):
        find_experiment("quickstrat", several)
    assert find_experiment("quickstart_1", several).name == "quickstart_1"


def test_a_file_of_an_experiment_stands_for_it(tmp_path):
    folder = tmp_path / "one"
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("results.json", "model_final.pt", "config.yaml", "checkpoints/best.pt", "a.png"):
        (folder / name).write_text("{}")
    for name in ("results.json", "model_final.pt", "config.yaml"):
        assert find_experiment(folder / name) == folder
    for name in ("checkpoints/best.pt", "a.png"):
        with pytest.raises(InputError, match=f"give the folder {folder}$"):
            find_experiment(folder / name)
