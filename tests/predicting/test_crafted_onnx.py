"""ONNX models with a valid signature that do something else: one line each, within limits."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import predict
from core.command.mistakes import run_command
from core.errors import InputError
from core.predicting import onnx_trial
from core.predicting.onnx_model import SIGNATURE_KEY, OnnxModel
from core.predicting.onnx_trial import open_untrusted

SIZE = (32, 64)
SIGNATURE = {
    "schema_version": 1, "model": "m@1", "class_names": ["pit", "rust"], "image_size": SIZE,
    "channels": 1, "thresholds": [0.5, 0.5], "threshold_version": "f1@1",
}  # fmt: skip
IMAGES = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 1, *SIZE])
OUTPUT = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2])
# The mean of each strip, by 255, for both classes.
MEANS = [
    helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
    helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
    helper.make_node("Div", ["means", "most"], ["scaled"]),
    helper.make_node("Concat", ["scaled", "scaled"], ["probabilities"], axis=1),
]


def constant(name, values, kind=TensorProto.INT64, shape=None):
    return helper.make_tensor(name, kind, [len(values)] if shape is None else shape, values)


CONSTANTS = [constant("axes", [2, 3]), constant("most", [255.0], TensorProto.FLOAT)]


def model(nodes=None, inputs=(IMAGES,), outputs=(OUTPUT,), constants=(), **signature) -> bytes:
    nodes = MEANS if nodes is None else nodes
    graph = helper.make_graph(nodes, "g", inputs, outputs, [*CONSTANTS, *constants])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(made, {SIGNATURE_KEY: json.dumps({**SIGNATURE, **signature})})
    return made.SerializeToString()


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def endless_loop() -> bytes:
    """Its body adds 0 to the means for 2^62 rounds."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Abs", ["state"], ["next"]),
        ],
        "body",
        [value("round", TensorProto.INT64, []), value("go", TensorProto.BOOL, []),
         value("state", TensorProto.FLOAT, ["batch", 1])],
        [value("go_on", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, ["batch", 1])],
    )  # fmt: skip
    nodes = [
        *MEANS[:3],
        helper.make_node("Loop", ["rounds", "yes", "scaled"], ["looped"], body=body),
        helper.make_node("Concat", ["looped", "looped"], ["probabilities"], axis=1),
    ]
    rounds = constant("rounds", [2**62], shape=[])
    return model(nodes, constants=[rounds, constant("yes", [True], TensorProto.BOOL, [])])


def memory_bomb(where: str) -> bytes:
    """100 GB of zeros, known when the graph is optimised, or made from the strips."""
    nodes = [
        helper.make_node("ConstantOfShape", ["huge"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        *MEANS[:3],
        helper.make_node("Add", ["scaled", "sum"], ["added"]),
        helper.make_node("Concat", ["added", "added"], ["probabilities"], axis=1),
    ]
    if where == "run":
        nodes[0] = helper.make_node("Expand", ["flat", "huge"], ["zeros"])
        nodes[1] = helper.make_node("ReduceMax", ["zeros"], ["sum"], keepdims=0)
        nodes.insert(0, MEANS[0])
        nodes.insert(1, helper.make_node("Reshape", ["floats", "one_row"], ["row"]))
        nodes.insert(2, helper.make_node("ReduceMin", ["row"], ["flat"], keepdims=1))
        del nodes[5]
    return model(
        nodes, constants=[constant("huge", [250_000, 100_000]), constant("one_row", [1, -1])]
    )


OTHER = value("other", TensorProto.UINT8, ["batch", 1, *SIZE])
TO_WORDS = helper.make_node("Cast", ["scaled"], ["words"], to=TensorProto.STRING)
CRAFTED = {
    "two inputs": lambda: model(inputs=(IMAGES, OTHER)),
    "no input": lambda: model(
        [helper.make_node("Expand", ["most", "axes"], ["probabilities"])], inputs=()
    ),
    "float input": lambda: model(inputs=(value("images", TensorProto.FLOAT, ["batch", 1, *SIZE]),)),
    "strips of another size": lambda: model(
        inputs=(value("images", TensorProto.UINT8, ["batch", 1, 64, 64]),)
    ),
    "three dimensions": lambda: model(inputs=(value("images", TensorProto.UINT8, [1, 32, 64]),)),
    "two outputs": lambda: model(
        outputs=(OUTPUT, value("means", TensorProto.FLOAT, ["batch", 1]))
    ),
    "string output": lambda: model(
        [*MEANS[:3], TO_WORDS,
         helper.make_node("Concat", ["words", "words"], ["probabilities"], axis=1)],
        outputs=(value("probabilities", TensorProto.STRING, ["batch", 2]),),
    ),
    "one column": lambda: model(
        [*MEANS[:2], helper.make_node("Div", ["means", "most"], ["probabilities"])],
        outputs=(value("probabilities", TensorProto.FLOAT, ["batch", "n"]),),
    ),
    "one row": lambda: model(
        [*MEANS[:3], helper.make_node("Concat", ["scaled", "scaled"], ["both"], axis=1),
         helper.make_node("ReduceMax", ["both", "first"], ["probabilities"])],
        outputs=(value("probabilities", TensorProto.FLOAT, ["n", 2]),),
        constants=[constant("first", [0])],
    ),
    "above 1": lambda: model([
        *MEANS[:2], helper.make_node("Concat", ["means", "means"], ["probabilities"], axis=1)
    ]),
    "not a number": lambda: model([
        *MEANS[:2], helper.make_node("Sub", ["means", "means"], ["zero"]),
        helper.make_node("Div", ["zero", "zero"], ["nan"]),
        helper.make_node("Concat", ["nan", "nan"], ["probabilities"], axis=1),
    ]),
    "image_size of 0": lambda: model(image_size=[0, 64]),
    "image_size of 200,000 squared": lambda: model(image_size=[200_000, 200_000]),
    "image_size of 16,384 squared": lambda: model(image_size=[16_384, 16_384]),
    "a million classes": lambda: model(
        class_names=[str(k) for k in range(10**5)], thresholds=[0.5] * 10**5
    ),
    "a memory bomb while it is opened": lambda: memory_bomb("open"),
    "a memory bomb while it runs": lambda: memory_bomb("run"),
    "an endless loop": endless_loop,
}  # fmt: skip


REASONS = {
    "its input is": ("two inputs", "no input", "float input", "strips of another size"),
    "not a whole ONNX model": ("three dimensions",),
    "its output is": ("two outputs", "string output", "one column"),
    "values for": ("one row", "above 1", "not a number"),
    "image_size": tuple(name for name in CRAFTED if name.startswith("image_size")),
    "at most 1000": ("a million classes",),
    "fails on 1 strips": tuple(name for name in CRAFTED if "bomb" in name),
    "take more than 1.5 seconds": ("an endless loop",),
}


# Each is opened in a process of its own; of those that are refused alike, the first one is quick.
QUICK = {names[0] for names in REASONS.values()} - {"a million classes", "an endless loop"}


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CRAFTED],
)
def test_a_crafted_model_gets_one_line(name, tmp_path, capsys, monkeypatch):
    if name == "an endless loop":
        monkeypatch.setattr(onnx_trial, "SECONDS", 1.5)
    file = tmp_path / "model.onnx"
    file.write_bytes(CRAFTED[name]())
    (tmp_path / "strip.jpg").touch()
    words = [str(file), str(tmp_path / "strip.jpg"), "--output", str(tmp_path / "rows.csv")]
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: predict.main(words))
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(file) in line
    assert len(line) < 700
    assert [reason for reason in REASONS if name in REASONS[reason] and reason in line]
    assert not (tmp_path / "rows.csv").exists()


@pytest.mark.slow
def test_a_right_model_is_opened_from_a_file_and_from_bytes(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(model())
    strips = np.full((3, 1, *SIZE), 51, np.uint8)
    for opened in (open_untrusted(file, "m"), open_untrusted(model(), "m")):
        np.testing.assert_allclose(opened(strips), np.full((3, 2), 0.2), atol=1e-6)


def test_a_graph_that_turns_bad_later_is_refused_in_its_row_of_strips():
    """Only with other strips than those that it was tried with."""
    nodes = [
        *MEANS[:3],
        helper.make_node("Sub", ["scaled", "most_share"], ["left"]),
        helper.make_node("Sqrt", ["left"], ["root"]),
        helper.make_node("Concat", ["root", "root"], ["probabilities"], axis=1),
    ]
    share = constant("most_share", [0.4], TensorProto.FLOAT)
    opened = open_untrusted(model(nodes, constants=[share]), "model.onnx")
    with pytest.raises(InputError, match=r"model\.onnx: returns .* probabilities from 0 to 1"):
        opened(np.zeros((1, 1, *SIZE), np.uint8))


def test_a_limit_is_not_set_in_this_process(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_CPU)
    open_untrusted(model(), "m")
    after = resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_CPU)
    assert before == after


def test_the_shapes_of_the_examples_are_valid():
    for name in ("two inputs", "one column", "one row", "not a number"):
        onnx.checker.check_model(onnx.load_from_string(CRAFTED[name]()))
    assert OnnxModel(model(), "m").signature.class_names == ("pit", "rust")
