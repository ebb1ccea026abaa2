"""The address of what corrected labels are worth: its figures, what is missing, what is refused."""

import shutil
from pathlib import Path

import pytest
from experiment_factory import read_results, write_results
from running_workbench import running
from trained_twice import FINGERPRINT, write_both, write_corrected, write_given, write_review

from core.experiments.reading import read_all
from core.review.gain import measure
from core.review.gain_table import gain_tables, headline, notes
from core.review.pairing import find_pairings
from core.review.store import ReviewStore

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Trainings of three seeds, and a review in the folder where the server keeps them."""
    folder = tmp_path_factory.mktemp("gain")
    write_both(folder, 400, 1.5, 1.5)
    (folder / "reviews").mkdir()
    write_review(folder / "reviews" / f"{FINGERPRINT[:16]}.sqlite", folder, 120)
    return folder


@pytest.fixture
def changeable(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "results"))


def asked(served, key: str = ""):
    answer = served.ask(f"/api/gain?key={key}")
    assert answer.status == 200, answer.body
    return answer.json()


@pytest.mark.slow
def test_every_cell_and_sentence_is_that_of_the_command(made):
    with running(made) as served:
        found = asked(served)
        names = {row["key"]: name for name, row in served.rows().items()}
        again = served.ask("/api/gain", If_None_Match=served.ask("/api/gain").headers["etag"])
        assert again.status == 304
    read, _ = read_all(sorted(file.parent for file in made.glob("*/results.json")))
    (pairing,), _ = find_pairings(read)
    store = made / "reviews" / f"{FINGERPRINT[:16]}.sqlite"
    expected = measure(pairing, ReviewStore(store))
    assert found["headline"] == headline(expected)
    assert found["notes"] == notes(expected)
    assert [(each["title"], each["rows"]) for each in found["tables"]] == gain_tables(expected)
    assert [names[each[0]] for each in found["trainings"]] == ["given_1", "given_2", "given_3"]
    assert str(store) in found["commands"][2]
    assert not found["problems"]


def test_without_corrected_labels_the_commands_are_said_and_nothing_is_read(tmp_path, monkeypatch):
    write_given(tmp_path, 1, images=40)

    def never(*_):
        raise AssertionError("asked for a computation")

    monkeypatch.setattr("core.workbench.gains.read_gain", never)
    with running(tmp_path) as served:
        found = asked(served)
    assert (found["choices"], found["problems"]) == ([], [])
    assert len(found["commands"]) == 3
    assert "data.corrections=null,reviewed/corrections.csv" in found["commands"][1]


@pytest.mark.slow
def test_a_change_of_the_review_or_of_the_trainings_is_seen(changeable):
    with running(changeable) as served:
        assert "headline" in asked(served)
        (changeable / "reviews" / f"{FINGERPRINT[:16]}.sqlite").unlink()
        shutil.rmtree(changeable / "corrected_3")
        served.index.update()
        found = asked(served)
    assert "headline" not in found
    assert "seeds: 2 match" in found["problems"][0]


@pytest.mark.slow
def test_the_commands_name_the_store_of_the_pairing(changeable):
    ReviewStore(changeable / "reviews" / f"{'0' * 16}.sqlite", create=True)
    with running(changeable) as served:
        assert f"{FINGERPRINT[:16]}.sqlite" in asked(served)["commands"][2]


def test_too_few_reviewed_strips_are_refused_in_a_line(changeable):
    store = changeable / "reviews" / f"{FINGERPRINT[:16]}.sqlite"
    store.unlink()
    write_review(store, changeable, 12)
    with running(changeable) as served:
        found = asked(served)
    assert found["refused"].startswith("12 of 400 test strips are decided")
    assert len(found["trainings"]) == 3


@pytest.mark.slow
def test_one_of_several_pairings_is_chosen_by_any_of_its_trainings(changeable):
    for seed in (1, 2, 3):
        write_corrected(changeable, seed, name=f"second_{seed}", sha256="aa", images=400)
    with running(changeable) as served:
        first, key = asked(served), served.key("second_2")
        second = asked(served, key)
    assert [each["key"] for each in first["choices"]] == [each["key"] for each in second["choices"]]
    assert first["chosen"] != second["chosen"]
    assert "second_" in second["trainings"][0][3]


def test_hostile_results_lead_to_no_other_file(changeable):
    for seed in (1, 2, 3):
        for side in ("given", "corrected"):
            folder = changeable / f"{side}_{seed}"
            results = read_results(folder)
            results["data"]["fingerprint"] = "../../../../etc/passwd"
            if side == "corrected":
                results["data"]["corrections"]["given_fingerprint"] = "../../../../etc/passwd"
            results["config"]["loss"]["type"] = HOSTILE
            write_results(folder, results)
    with running(changeable) as served:
        found = asked(served)
        assert served.ask("/api/gain?key=../secret").status == 404
        assert served.post("/api/gain").status == 405
    assert "expected 64 hexadecimal digits" in str(found)
