"""Forms: what they are drawn from, and what becomes of the values that come back."""

import json
import shlex
import shutil
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from experiment_factory import read_results, write_experiment, write_results
from hydra.core.override_parser.overrides_parser import OverridesParser
from launching_workbench import launching
from reviewable import write_reviewable

from core.command.choosers import CONFIG_DIR, short_forms
from core.errors import UnavailableError
from core.losses.registry import get_registry as losses
from core.machine.processes import IS_SUPPORTED
from core.models.registry import get_registry as models
from core.workbench.launching import checking, schemas
from core.workbench.launching.checking import composed
from core.workbench.launching.cloning import by_key
from core.workbench.launching.overrides import override_words
from core.workbench.launching.schemas import settable

pytestmark = pytest.mark.skipif(not IS_SUPPORTED, reason="processes are told apart by /proc")


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("launched") / "results"
    config = {
        "data.root": str(folder.parent / "strips"), "training.num_epochs": 7,
        "model.cbam_stages": [3], "experiment.name": "a",
        "data.num_images": 2000,  # of a preset for other data
        "data.image_size": [128, 800], "data.class_names": ["Riß", "b"], "loss.gone": 3,
    }  # fmt: skip
    (folder.parent / "strips").mkdir()
    results = read_results(write_experiment(folder, name="a", config=config))
    results["config"]["augmentation"] = {"rotation": None}
    write_results(folder / "a", results)
    (folder / "a" / "model_final.pt").write_bytes(b"")
    write_experiment(folder, name="b", config={"data.root": str(folder / "nowhere")})
    (folder / "b" / "split.csv").unlink()
    (folder / "b" / "split.csv").symlink_to("/etc/passwd")
    return folder


@pytest.fixture(scope="module")
def page(results_dir, tmp_path_factory):
    with launching(results_dir, tmp_path_factory.mktemp("queue")) as found:
        yield found


@pytest.fixture(scope="module")
def form(page):
    return page.served.ask("/api/form").json()


def check(page, values):
    return page.served.post("/api/form/check", values=values).json()


def test_a_form_has_every_component_setting_and_preset(form, page):
    components = form["components"]
    assert list(components["model"]["options"]) == list(models())
    assert list(components["loss"]["options"]) == list(losses())
    assert next(iter(components["mask_loss"]["options"])) == "none"
    assert list(form["settings"]) == [
        "data", "augmentation", "training", "evaluation", "experiment", "runtime"
    ]  # fmt: skip
    presets = {preset["name"]: preset for preset in form["presets"]["experiment"]}
    assert presets["quickstart"]["description"].startswith("A training that needs no data set")
    assert presets["loss_comparison"]["is_sweep"]
    known = settable(form)
    assert not {"experiment.results_dir", "data.cache_dir", "resume", "hydra"} & set(known)
    assert "loss_comparison" not in known["experiment"]
    tag = page.served.ask("/api/form").headers["etag"]
    assert page.served.ask("/api/form", If_None_Match=tag).status == 304


def standards(page, **chosen):
    answer = page.served.post("/api/form/standards", values=chosen)
    assert answer.status == 200, answer.body
    return answer.json()["values"]


@pytest.mark.slow
def test_what_a_key_has_is_what_the_training_has_whatever_is_chosen(form, page):
    """Of a preset with another component, the preset's values of its own one are no longer used."""
    experiments, supervisions = (
        [preset["name"] for preset in form["presets"][group] if not preset["is_sweep"]]
        for group in ("experiment", "supervision")
    )
    chosen = [{"experiment": name, "model.name": "convnext_atto_cbam"} for name in experiments]
    chosen += [{"supervision": name, "loss.type": "asymmetric_loss"} for name in supervisions]
    chosen += [{"experiment": "label_errors", "supervision": "labels", "data.source": "severstal"}]
    for each in chosen:
        found = standards(page, **each)
        config = by_key(composed([f"{key}={value}" for key, value in each.items()]).resolved())
        for name, schema in parameters(form):
            *component, key = name.split()
            if component and component[1] != config.get(form["components"][component[0]]["key"]):
                continue
            if key in config and key not in each:
                assert found.get(key, schema.get("default")) == config[key], (each, key)
    # A component itself is the preset's, so that the form knows when it is no change any more.
    assert standards(page, experiment="overfit", **{"model.name": "timm"})["model.name"] == (
        "resnet10_slim"
    )


def test_a_wrong_file_is_listed_and_told_once_it_is_chosen(tmp_path, monkeypatch):
    config = tmp_path / "config"
    shutil.copytree(CONFIG_DIR, config)
    monkeypatch.setattr(schemas, "CONFIG_DIR", config)
    monkeypatch.setattr(checking, "CONFIG_DIR", config)
    monkeypatch.setattr(checking, "short_forms", partial(short_forms, config_dir=config))
    head = "# @package _global_\n# Mine.\n"
    (config / "experiment" / "own.yaml").write_text(f"{head}training: {{num_epoch: 3}}\n")
    (config / "experiment" / "broken.yaml").write_text(f"{head}training: {{num_epochs: 3\n")
    form = schemas.describe_form()
    presets = {preset["name"]: preset for preset in form["presets"]["experiment"]}
    assert presets["own"]["description"] == "Mine."
    assert "broken.yaml: not a YAML file" in presets["broken"]["description"]
    found = {name: checking.check_words([f"experiment={name}"], "x") for name in ("own", "broken")}
    assert "training.num_epoch=3: unknown key" in found["own"]["problem"]
    assert "broken.yaml" in found["broken"]["problem"]


def test_a_form_that_cannot_be_described_says_why(page, monkeypatch):
    def ended(*_):
        raise UnavailableError("the process was ended")

    monkeypatch.setattr(page.launcher, "form", ended)
    answer = page.served.ask("/api/form")
    assert (answer.status, answer.json()["problem"]) == (503, "the process was ended")


def parameters(form) -> Iterator[tuple[str, dict[str, Any]]]:
    for group, about in form["components"].items():
        for name, option in about["options"].items():
            for key, schema in option["parameters"].items():
                yield f"{group} {name} {group}.{key}", schema
    for section, about in form["settings"].items():
        for key, schema in about["parameters"].items():
            yield f"{section}.{key}", schema
            for inner, own in schema.get("parameters", {}).items():
                yield f"{section}.{key}.{inner}", own


def test_every_parameter_says_what_it_is(form):
    missing = [name for name, schema in parameters(form) if not schema.get("description")]
    assert not missing, f"give these a Field(description=...): {missing}"


def other_than(default: Any, schema: dict[str, Any]) -> Any:
    """A value that the schema allows, not the default unless there is no other."""
    for member in schema.get("anyOf", [schema]):
        values = member.get("enum") or [member.get("const")]
        kind = None if member.keys() & {"enum", "const"} else member.get("type")
        if kind == "boolean":
            values = [True, False]
        elif kind in ("integer", "number"):
            low = member.get("minimum", member.get("exclusiveMinimum", 0))
            high = member.get("maximum", member.get("exclusiveMaximum", low + 2))
            values = [low + (high - low) / 4, low + (high - low) / 2] if kind == "number" else []
            values = values or [low + 1, high - 1]
        elif kind == "array":
            items = member.get("prefixItems") or [member["items"]] * 2
            values = [[other_than(None, item) for item in items]]
        elif kind == "object":
            values = [{"type": "bce_with_logits", "weight": 2}]
        elif kind == "string" and values == [None]:
            values = ["test_resnet"]
        for value in values:
            if value not in (None, default):
                return value
    assert schema["const"] == default
    return default


@pytest.mark.slow
@pytest.mark.parametrize("group", ["model", "loss", "mask_loss"])
def test_every_parameter_of_every_component_can_be_set_and_none_is_sent_untouched(
    form, group, page, monkeypatch
):
    # All are set at once here, also those that do nothing beside one another.
    monkeypatch.setattr(checking, "check_component_effects", lambda *_: None)
    known, about = settable(form), form["components"][group]
    for name, option in about["options"].items():
        values = {about["key"]: name}
        assert override_words(values, known, {}) == [f"{about['key']}={name}"]
        places = {}
        for key, schema in option["parameters"].items():
            path = f"{group}.{key}"
            if schema.get("place"):
                places[path] = {"key of a place": "/some/file.pt"}
                values[path] = "key of a place"
            else:
                values[path] = other_than(schema.get("default"), schema)
        words = override_words(values, known, places)
        assert len(words) == len(values)
        config = by_key(composed(words).resolved())
        for key, value in values.items():
            wanted = places[key][value] if key in places else value
            assert config.get(key) == wanted or name == "none", key


def test_every_setting_can_be_set(form):
    known = settable(form)
    for name, schema in parameters(form):
        if " " in name or schema.get("place"):
            continue
        value = None if "switch" in schema else other_than(schema.get("default"), schema)
        (word,) = override_words({name: value}, known, {})
        override = OverridesParser.create().parse_override(word)
        assert (override.key_or_group, override.value()) == (name, value)


NAMES = [
    "it's", "a b", "$x", "a\\'b", "[x]", "Riß", "1e5", "null", "a=b", "''", '"q"', "{a}", "..", "",
    "+a", "!x", "*", "<b>", "-m", "--help", "; rm -rf /", "$(id)", "`id`", "a,b",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_text_stays_text_in_one_word(name, form):
    (word,) = override_words({"data.class_names": [name, "z"]}, settable(form), {})
    assert OverridesParser.create().parse_override(word).value() == [name, "z"]


def test_the_command_line_is_that_of_what_was_changed(page, results_dir):
    checked = check(page, {"training.num_epochs": 3, "loss.type": "bce_with_logits"})
    assert checked["command"] == (
        "python code/train.py loss.type=bce_with_logits training.num_epochs=3 "
        f"experiment.results_dir={results_dir}"
    )
    assert (checked["wants"], checked["num_devices"]) in (("cpu", 1), ("gpu", 1))
    assert f"srun --ntasks=1 {checked['command']}\n" in checked["script"]
    assert check(page, {"experiment": "quickstart"})["name"] == "quickstart"
    assert "#SBATCH --gpus=1\n" in checked["script"]
    assert "--gpus" not in check(page, {"runtime.device": "cpu"})["script"]


def test_costs_are_of_classes_by_their_names(page):
    checked = check(page, {"evaluation.cost_miss": {"rolled-in scale": 5, "1": 2, "profile": 3}})
    assert "evaluation.cost_miss={rolled-in scale:5,1:2,profile:3}" in checked["words"]


@pytest.mark.parametrize(
    ("values", "path", "sentence"),
    [
        ({"training.num_epochs": 0}, "training.num_epochs",
         "training.num_epochs=0: input should be greater than or equal to 1"),
        ({"loss.gamma": -1}, "loss.gamma", "loss focal_loss: gamma=-1: input should be"),
        ({"loss.type": "bce_with_logits", "loss.gamma": 1}, "loss.gamma",
         "loss.gamma: not a key of this loss; only of focal_loss"),
        ({"augmentation.rotation.degrees": 100}, "augmentation.rotation.degrees",
         "augmentation.rotation.degrees=100: input should be less"),
        ({"loss.type": "compound"}, "loss.components", "loss.components: has no value"),
        ({"loss.type": "compound", "loss.components": [{"type": "bce"}, {"type": "foo"}]},
         "loss.components", "unknown name 'foo' (did you mean"),
        ({"data.image_size": [5, 5]}, "data.image_size", "data.image_size.0=5: input should be"),
        ({"data.num_images": 7}, "data.num_images", "data.source=synthetic only"),
        ({"mask_loss.type": "dice_loss"}, "mask_loss.type",
         "the model predicts no masks: give model.mask_head=true"),
        ({"mask_loss.type": "dice_loss", "model.mask_head": True,
          "augmentation.mixup.probability": 0.5}, "augmentation.mixup.probability",
         "a blend of two strips has no mask that mask_loss could learn"),
        ({"training.trackers": ["mlflow"]}, "training.trackers", "training.trackers: mlflow needs"),
        ({"training.folds": 3, "data.split_strategy": "stratified_80_10_10"}, "training.folds",
         "makes its own splits"),
        ({"training.optimizer": "adamx"}, "training.optimizer", "timm has no optimizer of that"),
        ({"model.name": "resnet51"}, "model.name", "expected one of"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_the_words_of_the_command_beside_its_key(page, values, path, sentence):
    found = check(page, values)
    assert set(found) == {"problem", "path"}
    assert sentence in found["problem"]
    assert found["path"] == path
    answer = page.served.post("/api/jobs", values=values, request=page.request())
    assert (answer.status, answer.json()) == (422, found)


HOSTILE = [
    *({key: value} for key in (
        "hydra.run.dir", "hydra/launcher", "hydra.launcher", "+x.y", "++hydra.job.name", "~model",
        "experiment.results_dir", "data.cache_dir", "--config-dir", "-cd", "-m", "", "model",
        "data", "resume", "hydra.sweeper.params", "loss@x", "data.root ", "data.root\n",
        "data/../root",
        "augmentation.rotation.__class__", "model.backbone_options.checkpoint_path", "experiment=x",
        "config_path", "training.num_epochs=1 hydra.run.dir", "hydra.searchpath", "__proto__",
    ) for value in ("/tmp/evil",)),
    {"data.root": "/etc"}, {"data.root": "../.."}, {"data.root": ["/etc"]}, {"data.root": 1},
    {"model.weights": "/etc/passwd"}, {"data.split_file": "file:///etc/passwd"},
    {"data.corrections": "decisions.sqlite"}, {"data.root": "${oc.env:SECRET}"},
    {"experiment.name": "${oc.env:SECRET}"}, {"data.class_names": ["${oc.env:SECRET}", "b"]},
    {"experiment.name": "../x"}, {"experiment.name": "/x"}, {"experiment.name": "a;id"},
    {"experiment.name": "$(id)"}, {"experiment.name": "`id`"}, {"experiment.name": "-m"},
    {"experiment.name": "a\nhydra.run.dir=/"}, {"experiment.name": "~/x"}, {"experiment.name": {}},
    {"model.name": "timm", "model.backbone": "local-dir:evil"},
    {"model.name": "timm", "model.backbone": "hf-hub:evil/x"},
    {"model.backbone_options": {"checkpoint_path": "evil"}},
    {"model.backbone_options": {"pretrained_cfg_overlay": {"a": 1}}},
    {"model.backbone_options": {"a": "/etc/passwd"}}, {"model.backbone_options": {"a b": 1}},
    {"model.backbone_options": {"a": {"x:1,b": 2}}}, {"model.name": "resnet50,timm"},
    {"model.name": ["resnet50"]}, {"experiment": "../../evil"}, {"experiment": "loss_comparison"},
    {"experiment": "quickstart,few_strips"}, {"supervision": "masks hydra.run.dir=/"},
    {"training.num_epochs": "1,2"}, {"training.num_epochs": "choice(1,2)"},
    {"training.num_epochs": "range(1,9)"}, {"training.num_epochs": float("inf")},
    {"training.num_epochs": float("nan")}, {"training.num_epochs": 1e300},
    {"training.num_epochs": 10**400}, {"evaluation.cost_miss": {"a:1,b": 2}},
    {"training.optimizer": "sgd\x00"}, {"training.optimizer": "s" * 5000},
    {"data.unused_masks": ["x"] * 3000}, {"loss.components": [[[[[[[[1]]]]]]]]},
]  # fmt: skip


@pytest.mark.parametrize("values", HOSTILE, ids=lambda values: json.dumps(values)[:60])
def test_what_a_form_does_not_have_is_refused(page, values, monkeypatch):
    monkeypatch.setenv("SECRET", "a secret")
    answer = page.served.post("/api/jobs", values=values, request=page.request())
    assert answer.status == 422
    assert "problem" in answer.json()
    assert "a secret" not in answer.json()["problem"]
    assert page.served.ask("/api/jobs").json()["jobs"] == []


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'"x"', b"{}", b'{"values": []}', b'{"values": {}, "more": 1}',
     b'{"values": {"a": ', b'{"values": {}, "request": 5}', b'{"values": {}, "request": "a b"}'],
)  # fmt: skip
def test_a_body_of_another_shape_is_refused(page, body):
    headers = {"Content_Type": "application/json", "Origin": f"http://{page.served.host}"}
    answer = page.served.ask("/api/jobs", "POST", body or b" ", **headers)
    assert answer.status == 422
    assert page.served.ask("/api/jobs").json()["jobs"] == []


def test_only_known_places_are_offered_and_none_by_its_path(form, page, results_dir):
    places = {key: [place["label"] for place in found] for key, found in form["places"].items()}
    assert places == {
        "data.root": [str(results_dir.parent / "strips")],
        "data.split_file": [str(results_dir / "a" / "split.csv")],
        "data.corrections": [],
        "model.weights": [str(results_dir / "a" / "model_final.pt")],
    }
    for key in ("data.root", "model.weights"):
        (place,) = form["places"][key]
        assert f"{key}={place['label']}" in check(page, {key: place["key"]})["words"]


def test_a_clone_has_what_differs_from_the_defaults(page):
    found = page.served.ask(f"/api/form/clone?key={page.served.key('a')}").json()
    values = found["values"]
    place = page.served.ask("/api/form").json()["places"]["data.root"][0]["key"]
    assert values["data.root"] == place
    assert values["data.class_names"] == ["Riß", "b"]
    assert values["training.num_epochs"] == 7
    assert values["augmentation.rotation"] is None
    assert "data.num_images" not in values
    assert found["lost"] == ["loss.gone=3: no key of this version"]
    elsewhere = page.served.ask(f"/api/form/clone?key={page.served.key('b')}").json()
    assert elsewhere["lost"][0].endswith("nowhere: not one of the places that can be chosen here")
    assert page.served.ask("/api/form/clone?key=../a").status == 404


def test_a_clone_trains_with_the_same_config(page, results_dir, form):
    values = page.served.ask(f"/api/form/clone?key={page.served.key('a')}").json()["values"]
    words = check(page, values)["words"]
    config = by_key(composed(words).resolved())
    own = by_key(read_results(results_dir / "a")["config"])
    assert own.pop("data.num_images") == 2000  # without an effect
    known = {**settable(form)}
    assert {key: config[key] for key in own if key in known and key in config} == {
        key: own[key] for key in own if key in known and key in config
    }


def test_the_command_of_a_review_trains_as_what_is_reviewed(tmp_path):
    config = {"training.num_epochs": 7, "data.class_names": ["a b", "c", "d", "e"]}
    path = write_reviewable(tmp_path / "my folder", images=12, config=config)
    results = read_results(path)
    results["config"]["data"]["root"] = root = results["data"]["root"]
    write_results(path, results)
    with launching(path.parent, tmp_path / "queue") as page:
        key = page.served.key("reviewable")
        found = page.served.ask(f"/api/review/training?key={key}").json()
        listed = page.served.ask(f"/api/review/list?key={key}").json()["command"]
    *_, store = shlex.split(listed)
    python, script, *words = shlex.split(found["command"])
    assert (python, script, found["lost"]) == ("python", "code/train.py", [])
    config = by_key(composed(words).resolved())
    assert config["data.root"] == root
    assert config["data.corrections"] == store
    assert config["data.class_names"] == ["a b", "c", "d", "e"]
    assert (config["training.num_epochs"], config["model.name"]) == (7, "resnet50")
    assert config["experiment.results_dir"] == str(path.parent)


def test_a_hostile_config_is_cloned_as_text(tmp_path):
    folder = write_experiment(tmp_path / "results", name="evil")
    results = read_results(folder)
    results["config"] = {
        "data": {"root": "${oc.env:SECRET}", "split_file": {"a": 1},
                 "class_names": ["<b>", "${x}"]},
        "loss": {"type": [1]},
        "hydra": {"run": {"dir": "/"}},
        "model": {"name": "../x", "weights": "/etc/passwd"},
        "training": {"num_epochs": {"a": {"b": [1] * 9000}}, "optimizer": "\x1b[31m"},
    }  # fmt: skip
    write_results(folder, results)
    with launching(tmp_path / "results", tmp_path / "queue") as page:
        found = page.served.ask(f"/api/form/clone?key={page.served.key('evil')}").json()
        assert not {"data.root", "model.weights", "hydra.run.dir"} & set(found["values"])
        assert check(page, found["values"])["problem"]
        assert "\x1b" not in json.dumps(found["lost"], ensure_ascii=False)
