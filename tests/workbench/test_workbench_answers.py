"""What the pages of the workbench are sent, and the files that they are made of."""

import gzip
import hashlib
import json
import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from experiment_factory import read_results, write_experiment, write_results
from running_workbench import running

from core.analysis.comparison import compare_results
from core.analysis.comparison_document import headline_rows
from core.metrics.intervals import Bootstrap
from core.workbench.files import read_assets

PAGES = REPOSITORY / "code" / "core" / "workbench" / "pages"


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write_experiment(folder, name="a", seed=1, config={"loss.type": "bce_with_logits"})
    write_experiment(folder, name="b", seed=2, quality=2.0)
    write_experiment(folder, name="elsewhere", data_seed=3)
    unfinished = write_experiment(folder, name="unfinished")
    write_results(unfinished, read_results(unfinished) | {"status": "interrupted"})
    return folder


@pytest.fixture(scope="module")
def served(results_dir):
    with running(results_dir) as workbench:
        yield workbench


def test_only_the_columns_that_are_asked_for_are_sent(served):
    row = served.rows("macro_f1", "loss.type", "no_such")["a"]
    assert set(row["values"]) == {"macro_f1", "loss.type"}
    names = [name for name, _ in served.ask("/api/columns").json()["columns"]]
    assert {"macro_f1", "defect_4_recall", "loss.gamma", "created"} <= set(names)


@pytest.mark.parametrize("path", ["/api/experiments", "/api/columns", "/", "/pages/app.js"])
def test_what_has_not_changed_is_not_sent_again(served, path):
    first = served.ask(path)
    again = served.ask(path, If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert served.ask(path, If_None_Match='"other"').body == first.body


def test_a_browser_keeps_what_belongs_to_the_first_page(served):
    first = served.ask("/")
    addresses = re.findall(rb'(?:href|src)="([^"]+)"', first.body)
    assert first.headers["cache-control"] == "no-cache"
    assert len(addresses) > 3
    for address in addresses:
        sent = served.ask(f"/{address.decode()}")
        assert (sent.status, "immutable" in sent.headers["cache-control"]) == (200, True)
    other = addresses[0].replace(b"pages/", b"pages/0").decode()
    assert served.ask(f"/{other}").status == 404


def compared(served, names, sort="macro_f1"):
    keys = "&".join(f"key={served.key(name)}" for name in names)
    return served.ask(f"/api/comparison?{keys}&sort={sort}").json()


def test_a_comparison_is_that_of_compare_py_to_the_digit(served, results_dir):
    found = compared(served, ["a", "b"])
    wanted = compare_results([results_dir / "a", results_dir / "b"], bootstrap=Bootstrap())
    assert [group["rows"] for group in found["groups"]] == [
        headline_rows(wanted, group) for group in wanted.groups
    ]
    assert [pair["sentence"] for pair in found["pairs"]] == [p.sentence() for p in wanted.pairs]
    assert found["pairs"]
    differing = dict(map(tuple, ((key, values) for key, values in found["differences"])))
    assert set(differing["loss.type"]) == {"bce_with_logits", "focal_loss"}
    assert "model.name" not in differing
    assert ["model.name", "resnet50"] in found["same"]


def test_what_cannot_be_compared_is_not_ranked(served):
    found = compared(served, ["a", "elsewhere", "unfinished"])
    assert [group["label"] for group in found["groups"]] == ["A", "B"]
    assert found["ranks"] == ["A1", "B1"]
    assert not found["pairs"]
    assert "ranked within each set only" in found["notes"][0]
    (problem,) = found["problems"]
    assert "was interrupted" in problem


def test_what_is_gone_is_left_out_of_a_comparison(served):
    keys = [served.key("a"), "0" * 16, served.key("b")]
    query = "&".join(f"key={key}" for key in keys)
    found = served.ask(f"/api/comparison?{query}").json()
    assert (found["keys"], found["names"], found["gone"]) == ([keys[0], keys[2]], ["a", "b"], 1)
    assert len(found["groups"][0]["rows"]) == 3
    runs = served.ask(f"/api/curves?{query}").json()["runs"]
    assert [run["name"] for run in runs] == ["a", "b"]
    for address in ("comparison", "curves"):
        assert served.ask(f"/api/{address}?key=0").status == 404


def test_a_mistake_is_told_in_the_sentence_of_the_command(served):
    assert (
        "unknown figure (did you mean 'macro_f1'?)" in compared(served, ["a"], "macro_f")["problem"]
    )


def test_the_whole_of_one_experiment(served, results_dir):
    one = served.ask(f"/api/experiments/{served.key('a')}").json()
    header, macro, *_ = one["figures"]
    assert header[1:] == ["precision", "recall", "F1", "AP", "AUROC"]
    f1 = read_results(results_dir / "a")["test"]["macro"]["f1"]
    assert macro[3].startswith(f"{f1:.3f} [")
    assert one["history"]["validation.macro_auroc"] == [None, 0.9, 0.9]
    assert one["files"] == ["results.json", "predictions.csv", "split.csv"]
    for name in one["files"]:
        answer = served.ask(f"/api/experiments/{one['key']}/{name}")
        assert answer.body == (results_dir / "a" / name).read_bytes()


def test_too_many_are_refused(served):
    keys = "&".join(["key=0"] * 51)
    assert served.ask(f"/api/comparison?{keys}").status == 422
    assert served.ask("/api/comparison").status == 422


def test_code_of_others_is_as_it_was_published():
    table = (PAGES / "vendor" / "README.md").read_text()
    sums = dict(re.findall(r"^\| `([\w.]+)` \|.*\| `([0-9a-f]{64})` \|$", table, re.MULTILINE))
    files = {path.name for path in (PAGES / "vendor").iterdir()} - {"README.md"}
    assert set(sums) == files
    for name, wanted in sums.items():
        assert hashlib.sha256((PAGES / "vendor" / name).read_bytes()).hexdigest() == wanted, name
    assert {f"{name.partition('.')[0]}.LICENSE" for name in files} <= files


def test_the_pages_ask_for_nothing_elsewhere_and_build_no_markup_of_text():
    for path in sorted(PAGES.glob("*.*")):
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//cdn|@import|url\(", text), path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|\beval\b|Function\(", text), (
            path.name
        )
        assert not re.search(r"(href|src|fetch\()=?[\"'`(]+/", text), f"{path.name}: not relative"
        assert text.count("\n") <= 250, path.name


def test_no_page_styles_what_is_another_pages():
    owners: dict[str, set[str]] = {}
    for file in PAGES.glob("*.css"):
        for name in re.findall(r"(?m)^(\.[\w-]+)(?= |,| >)[^{]*\{", file.read_text()):
            owners.setdefault(name, set()).add(file.name)
    shared = {name for name, files in owners.items() if len(files - {"style.css"}) > 1}
    assert owners
    assert not shared


def test_the_pages_are_light(served):
    _, assets = read_assets()
    sent = [served.ask(f"/pages/{name}", accept_encoding="gzip") for name in assets]
    assert sum(len(one.body) for one in sent) < 75_000
    assert {one.headers["content-encoding"] for one in sent} == {"gzip"}
    for asset, one in zip(assets.values(), sent, strict=True):
        assert gzip.decompress(one.body) == asset.content


@pytest.mark.slow
def test_the_server_needs_neither_torch_nor_what_takes_seconds():
    script = "import sys, core.workbench.serving; print(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", f"import json; {script}"],
        cwd=REPOSITORY / "code", capture_output=True, check=True,
    )  # fmt: skip
    imported = {name.partition(".")[0] for name in json.loads(ended.stdout)}
    assert not imported & {"torch", "sklearn", "pandas", "matplotlib", "timm", "albumentations"}
