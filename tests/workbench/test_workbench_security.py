"""Who may ask the workbench for what; and folders that somebody else has prepared."""

import json
import os
import urllib.parse

import pytest
from experiment_factory import read_results, write_experiment, write_results
from running_workbench import TOKEN, running

API = "/api/experiments"


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "secret.txt").write_text("a secret")
    results = folder / "results"
    experiment = write_experiment(results, name="plain")
    (experiment / "report.html").write_text("<script>alert(1)</script>")
    (experiment / "secret.txt").write_text("a secret")
    (experiment / "train.log").symlink_to(folder / "secret.txt")
    os.mkfifo(experiment / "config.yaml")
    (experiment / "MODEL_CARD.md").mkdir()
    return results


@pytest.fixture(scope="module")
def served(results_dir):
    with running(results_dir) as workbench:
        yield workbench


def test_a_page_of_this_server_gets_an_answer(served):
    assert served.ask("/").status == 200
    assert (
        served.ask(API, Origin=f"http://{served.host}", Sec_Fetch_Site="same-origin").status == 200
    )


@pytest.mark.parametrize("cookie", [None, "", "workbench=x", "other=1; workbench_1=x"])
@pytest.mark.parametrize("path", ["/", API, "/pages/app.js", "/nothing", "/api/review/list"])
def test_nothing_is_shown_without_the_token(served, path, cookie):
    answer = served.ask(path, Cookie=cookie)
    assert answer.status == 401
    assert b"plain" not in answer.body


def test_the_token_becomes_a_cookie_that_no_script_reads(served):
    answer = served.ask(f"/login?token={urllib.parse.quote(TOKEN)}", Cookie=None)
    assert (answer.status, answer.headers["location"]) == (303, "./")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert str(served.port) in cookie.partition("=")[0]
    assert served.ask("/login?token=wrong", Cookie=None).status == 401


@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:{port}", "127.0.0.1", "127.0.0.1:1", "", None,
             "127.0.0.1:{port}.attacker.example", "localhost.attacker.example:{port}"]
)  # fmt: skip
def test_a_name_that_was_pointed_at_this_machine_is_refused(served, host):
    given = host and host.format(port=served.port)
    assert served.ask(API, Host=given).status in (400, 421)


@pytest.mark.parametrize(
    ("allowed", "sent"),
    [
        ("Plant-PC:8765", "plant-pc:8765"),
        ("steel.example:443", "steel.example"),
        ("steel.example:80", "steel.example"),
        ("steel.example", "steel.example"),
    ],
)
def test_a_name_that_is_allowed_is_known_as_browsers_send_it(results_dir, allowed, sent):
    with running(results_dir, allowed_hosts=[allowed]) as workbench:
        assert workbench.ask(API, Host=sent, Origin=f"https://{sent}").status == 200
        assert workbench.ask(API, Host=f"{sent}.attacker.example").status == 421
        assert workbench.ask(API, Host="plant-pc:80").status == 421


@pytest.mark.parametrize(
    "origin", ["https://attacker.example", "null", "http://127.0.0.1", "http://127.0.0.1:1"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_another_site_is_refused(served, origin, method):
    json_type = {"Content_Type": "application/json"} if method != "GET" else {}
    body = b"{}" if method != "GET" else b""
    assert served.ask(API, method, body, Origin=origin, **json_type).status == 403


def test_another_site_may_link_here_and_nothing_else(served):
    assert served.ask(API, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status == 403
    assert served.ask("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200
    crossing = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert served.ask("/", "POST", b"{}", Origin=f"http://{served.host}", **crossing).status == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": "text/plain"}, 415),
        ({}, 415),
        ({"Content_Type": "application/json", "Content_Length": None}, 411),
        ({"Content_Type": "application/json", "Content_Length": "70000"}, 413),
        ({"Content_Type": "application/json"}, 405),
    ],
)
def test_what_is_sent_is_short_json(served, headers, status):
    assert (
        served.ask(API, "POST", b"{}", Origin=f"http://{served.host}", **headers).status == status
    )
    assert served.ask(API, "POST", b"{}", **headers).status == 403
    assert served.ask("/api/review/decide", "POST", b"{}", **headers).status == 403


@pytest.mark.parametrize("path", ["/", API, "/pages/app.js", "/nothing", "/login"])
@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "attacker.example"])
def test_every_answer_has_the_strict_headers(served, path, host):
    headers = served.ask(path, Host=host.format(port=served.port)).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers


OUTSIDE = [
    "../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "%2e%2e%2fsecret.txt",
    "..\\secret.txt",
    "..%5csecret.txt", "....//secret.txt", "..;/secret.txt", "%252e%252e%252fsecret.txt",
    "%c0%ae%c0%ae/secret.txt", "..%c0%afsecret.txt", "/etc/passwd", "%2fetc%2fpasswd",
    "file:///etc/passwd", "file:%2f%2f%2fetc%2fpasswd", "secret.txt", "./secret.txt",
    "results.json/../secret.txt", "results.json%00.png", "secret.txt%00report.html",
    "results.json/",
    "results.json;secret.txt", "results.json#secret.txt", "RESULTS.JSON", ".lock", "checkpoints",
    "%2e", "..", "~/secret.txt", "$(cat%20secret.txt)", "`id`", "report.html%20", "report.html.",
    "C:%5cWindows%5cwin.ini", "con", "__init__.py", "app.py", "pages/../app.py", "",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_path_leads_out_of_what_is_known(served, name):
    key = served.key("plain")
    for path in (f"{API}/{key}/{name}", f"/pages/{name}", f"/{name}", f"{API}/{name}/results.json",
                 f"/api/review/{name}", f"/api/review/list/{name}"):  # fmt: skip
        answer = served.ask(path)
        assert answer.status in (307, 400, 404) or path in ("/", f"{API}/", f"{API}/{key}/")
        for secret in (b"a secret", b"root:", b"import "):
            assert secret not in answer.body


@pytest.mark.parametrize(
    "key", ["plain", "../results/plain", "0" * 16, "%00", "'; drop table x; --"]
)
def test_only_keys_of_the_server_name_an_experiment(served, key):
    quoted = urllib.parse.quote(key, safe="")
    for path in (f"{API}/{quoted}", f"{API}/{quoted}/results.json",
                 f"/api/comparison?key={quoted}", f"/api/curves?key={quoted}",
                 f"/api/gain?key={quoted}",
                 f"/api/review/list?key={quoted}",
                 f"/api/review/progress?key={quoted}"):  # fmt: skip
        assert served.ask(path).status == 404


@pytest.mark.parametrize("name", ["train.log", "config.yaml", "MODEL_CARD.md", "split.csv.gz"])
def test_links_pipes_and_folders_are_not_read(served, name):
    answer = served.ask(f"{API}/{served.key('plain')}/{name}")
    assert answer.status == 404
    assert b"a secret" not in answer.body


def test_a_report_runs_no_script_and_is_nobody(served):
    answer = served.ask(f"{API}/{served.key('plain')}/report.html")
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script" not in policy
    assert "allow" not in policy


HOSTILE = {
    "cut": b'{"schema_version": 1, "status": ',
    "deep": b'{"a":' * 90_000,
    "not_a_number": b'{"schema_version": 1, "status": "running", "test": {"x": NaN}}',
    "list": b"[1, 2, 3]",
    "text": b"\xff\xfe\x00",
    "empty": b"",
    "other_types": b'{"schema_version": 1, "status": "running", "history": 5}',
    "huge_number": b'{"schema_version": 1, "status": "running", "config": {"a": '
    + b"9" * 5000
    + b"}}",
    "later": b'{"schema_version": 9}',
    "half_a_letter": b'{"schema_version": 1, "status": "\\ud800"}',
}


@pytest.fixture
def hostile_dir(tmp_path):
    for name, content in HOSTILE.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_bytes(content)
    (tmp_path / "directory" / "results.json").mkdir(parents=True)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "results.json")
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "results.json").symlink_to("results.json")
    (tmp_path / "circle").symlink_to(tmp_path)
    marked = write_experiment(tmp_path, name="<img src=x onerror=alert(1)>")
    results = read_results(marked)
    results["status_message"] = "<script>alert(1)</script>\x1b[31m\u202e"
    results["config"]["</script><script>"] = {"__proto__": "x" * 10_000}
    results["config"] |= {"kind": "<b>", "key": "x", "name": "x"}
    write_results(marked, results)
    os.mkdir(os.fsencode(tmp_path) + b"/not_\xff_unicode")  # noqa: PTH102
    with open(os.fsencode(tmp_path) + b"/not_\xff_unicode/results.json", "wb") as stream:  # noqa: PTH123
        stream.write((marked / "results.json").read_bytes())
    return tmp_path


def test_a_hostile_folder_is_shown_as_such(hostile_dir):
    with running(hostile_dir) as served:
        answer = served.ask(API)
        assert answer.status == 200
        rows = {row["name"]: row for row in answer.json()["experiments"]}
        damaged = {name for name, row in rows.items() if row["status"] == "damaged"}
        assert damaged == {*HOSTILE, "directory", "pipe", "loop"}
        assert all(rows[name]["message"] for name in damaged)
        assert {"<img src=x onerror=alert(1)>", "not_\\udcff_unicode"} <= set(rows)
        message = rows["<img src=x onerror=alert(1)>"]["message"]
        assert message == "<script>alert(1)</script>\\x1b[31m\\u202e"
        assert len(json.dumps(rows)) < 20_000
        for row in rows.values():
            whole = served.ask(f"{API}/{row['key']}")
            assert whole.status == 200
            assert ("problem" in whole.json()) == (row["status"] == "damaged")
        assert {row["values"].get("kind") for row in served.rows("kind").values()} == {
            None, "classification"
        }  # fmt: skip
        keys = "&".join(f"key={row['key']}" for row in rows.values())
        assert served.ask(f"/api/comparison?{keys}").status == 200
        assert served.ask(f"/api/curves?{keys}").status == 200


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    with running(tmp_path / "none") as served:
        assert served.ask(API).json()["experiments"] == []
