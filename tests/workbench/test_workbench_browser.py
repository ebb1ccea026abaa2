"""The pages of the workbench in a browser: Debian's chromium, driven by playwright."""

import shutil

import pytest
from browsing import HOSTILE, IN_A_BROWSER, expect, login, new_page, opened
from conftest import REPOSITORY
from experiment_factory import read_results, write_experiment, write_results
from running_workbench import running

pytestmark = IN_A_BROWSER
PAGES = REPOSITORY / "code" / "core" / "workbench" / "pages"


@pytest.fixture
def results_dir(tmp_path):
    write_experiment(tmp_path, name="a", seed=1, config={"loss.type": "bce_with_logits"})
    write_experiment(tmp_path, name="b", seed=2, quality=2.0)
    write_experiment(tmp_path, name=HOSTILE, data_seed=3)
    live = write_experiment(tmp_path, name="live")
    results = read_results(live)
    del results["test"]
    write_results(live, results | {"status": "interrupted"})
    return tmp_path


def test_figures_are_rounded_as_compare_py_rounds(browser, tmp_path):
    between = write_experiment(tmp_path, name="between")
    results = read_results(between)
    results["test"]["macro"] |= {"f1": 0.8125, "average_precision": 0.0625, "auroc": 0.9375}
    write_results(between, results)
    shown = "#experiments?column=macro_f1&column=macro_average_precision&column=macro_auroc"
    with running(tmp_path) as served, opened(browser, served, shown) as page:
        cells = page.locator("tbody td .number")
        expect(cells).to_have_count(3)
        assert cells.all_inner_texts() == [f"{x:.3f}" for x in (0.8125, 0.0625, 0.9375)]


def test_a_damaged_experiment_says_what_is_wrong(browser, results_dir):
    (results_dir / "b" / "results.json").write_text('{"schema_version": 1,')
    with running(results_dir) as served:
        address = f"#experiment?key={served.key('b')}"
        with opened(browser, served, address) as page:
            expect(page.get_by_text("not a JSON file, perhaps cut off").first).to_be_visible()


def names(page):
    return [text.split("\n")[0] for text in page.locator("td.name").all_inner_texts()]


def test_the_table_is_sorted_filtered_and_kept_in_the_address(browser, results_dir):
    with running(results_dir) as served, opened(browser, served) as page:
        expect(page.get_by_role("status")).to_have_text("4 of 4 shown")
        page.get_by_role("button", name="macro-F1", exact=True).click()
        assert names(page)[-1] == "live"  # it has no figure
        page.get_by_role("button", name="macro-F1 ↓").click()
        assert names(page)[-1] == "live"
        page.get_by_text("Columns (9)").click()
        page.get_by_label("Find a column").fill("loss.gamma")
        page.get_by_label("loss.gamma", exact=True).check()
        expect(page.get_by_role("button", name="loss.gamma")).to_be_visible()
        page.get_by_label("Filter").fill("loss.type=focal_loss macro_f1>0.1")
        expect(page.get_by_role("status")).to_have_text("2 of 4 shown")
        page.reload()
        expect(page.get_by_role("status")).to_have_text("2 of 4 shown")
        assert set(names(page)) == {"b", HOSTILE}
        expect(page.get_by_role("button", name="loss.gamma")).to_be_visible()
        assert page.get_by_label("Filter").input_value() == "loss.type=focal_loss macro_f1>0.1"


def test_an_empty_folder_says_the_one_command(browser, tmp_path):
    with running(tmp_path) as served, opened(browser, served) as page:
        command = page.get_by_text("python code/train.py experiment=quickstart")
        expect(command).to_be_visible()


def test_it_is_used_by_keys_alone(browser, results_dir):
    with running(results_dir) as served, opened(browser, served, "#experiments?sort=name") as page:
        page.get_by_label("select a", exact=True).focus()
        page.keyboard.press("Space")
        page.keyboard.press("Tab")  # the link to the experiment, then the next row
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.get_by_role("link", name="Compare 2").focus()
        page.keyboard.press("Enter")
        verdict = page.get_by_text("Images with every label right")
        expect(verdict).to_be_visible()
        differing = page.get_by_role("region", name="What differs")
        expect(differing).to_contain_text("bce_with_logits")
        expect(page.get_by_role("img", name="validation.macro_f1")).to_be_visible()
        f1 = read_results(results_dir / "a")["test"]["macro"]["f1"]
        expect(page.get_by_role("region", name="Figures of test set A")).to_contain_text(
            f"{f1:.3f} ["
        )


def test_what_is_gone_is_no_longer_ticked(browser, results_dir):
    with running(results_dir, watched=True) as served:
        keys = [served.key(name) for name in ("a", "b", "live")]
        shutil.rmtree(results_dir / "live")
        served.index.update()
        selected = "&".join(f"selected={key}" for key in keys)
        with opened(browser, served, f"#compare?{selected}") as page:
            gone = page.get_by_text("1 of the ticked experiments is no longer in the folder.")
            expect(gone).to_be_visible()
            expect(page.get_by_role("img", name="validation.macro_f1")).to_be_visible()
            page.get_by_role("link", name="Experiments").click()
            link = page.get_by_label("Pages").get_by_role("link", name="Compare (2)")
            expect(link).to_be_visible()
            link.click()
            expect(page.get_by_role("heading", name="Verdicts")).to_be_visible()
            expect(gone).to_have_count(0)


def test_a_curve_is_smoothed_beside_its_values(browser, results_dir):
    with running(results_dir) as served:
        address = f"#experiment?key={served.key('a')}"
        with opened(browser, served, address) as page:
            chart = page.get_by_role("img", name="validation.macro_f1")
            lines = chart.locator("path.line")
            expect(lines).to_have_count(1)
            values = lines.first.get_attribute("d")
            page.get_by_label("Smoothing").select_option("0.9")
            expect(lines).to_have_count(2)
            assert lines.first.get_attribute("d") == values
            assert lines.last.get_attribute("d") != values
            page.reload()
            expect(lines).to_have_count(2)
            means = page.evaluate(
                """async () => {
                  const app = document.querySelector("script[src$='app.js']").src;
                  const chart = app.replace("app", "chart");
                  const { smoothed } = await import(chart);
                  const line = [[1, 2], [2, null], [3, 2]];
                  return [smoothed(line, 0.9), smoothed([[1, 0], [2, 1]], 0.5)];
                }"""
            )
    assert means[0] == [[1, 2], [2, None], [3, 2]]
    assert means[1] == [[1, 0], [2, 1 / 1.5]]


def test_updates_leave_scroll_focus_and_selection(browser, results_dir):
    source = read_results(results_dir / "live")
    for number in range(150):
        (results_dir / f"run_{number:03d}").mkdir()
        write_results(results_dir / f"run_{number:03d}", source)
    with (
        running(results_dir, watched=True) as served,
        opened(browser, served, "#experiments?sort=name") as page,
    ):
        expect(page.get_by_role("status")).to_have_text("154 of 154 shown")
        region = page.get_by_role("region", name="Table of experiments")
        region.hover()
        page.mouse.wheel(0, 3000)
        chosen = page.get_by_label("select run_085", exact=True)
        chosen.check()
        place = region.evaluate("region => region.scrollTop")
        assert place > 2000
        for epoch in (4, 5):
            history = [*source["history"], source["history"][-1] | {"epoch": epoch}]
            write_results(results_dir / "run_086", source | {"history": history})
            cell = page.locator("tr", has_text="run_086").get_by_text(f"{epoch} of 3")
            expect(cell).to_be_visible()
        assert region.evaluate("region => region.scrollTop") == place
        expect(chosen).to_be_focused()
        expect(chosen).to_be_checked()
        assert page.locator("tbody tr").count() < 60
        page.mouse.wheel(0, -9000)
        expect(page.get_by_text("run_001")).to_be_visible()
        expect(chosen).to_be_focused()


def test_a_page_loads_its_own_modules_and_the_others_before_they_are_asked_for(browser, tmp_path):
    with running(tmp_path) as served, opened(browser, served, "#gain") as page:
        loaded = """names => names.every((name) => performance.getEntriesByType("resource")
            .some((one) => one.name.endsWith(`/${name}`) && one.responseEnd))"""
        expect(page.get_by_role("heading", name="Gain")).to_be_visible()
        page.wait_for_function(loaded, arg=[path.name for path in PAGES.glob("*.js")])
        page.route("**/*.js", lambda route: route.abort())  # would be a complaint in the console
        for name in ("Review", "Strips", "Compare", "Experiments"):
            page.get_by_label("Pages").get_by_role("link", name=name).click()
            expect(page.locator(f"main.{name.lower()}")).to_be_visible()
            expect(page.get_by_text("Reading …")).to_have_count(0)


def test_a_module_that_does_not_come_is_one_line(browser, tmp_path):
    with running(tmp_path) as served, new_page(browser) as page:
        page.route("**/gain.js", lambda route: route.abort())
        page.goto(login(served, "#gain"))
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("The server does not answer")
        page.unroute("**/gain.js")
        page.get_by_role("link", name="Compare").click()
        page.get_by_role("link", name="Gain").click()
        expect(page.get_by_role("heading", name="Gain")).to_be_visible()
        expect(alert).to_have_count(0)


def test_nothing_is_wider_than_a_telephone(browser, results_dir):
    small = {"viewport": {"width": 390, "height": 844}}
    with running(results_dir) as served:
        keys = [served.key(name) for name in ("a", "b", "live")]
        selected = "&".join(f"selected={key}" for key in keys)
        for address in ("", f"#experiment?key={keys[0]}", f"#compare?{selected}"):
            with opened(browser, served, address, **small) as page:
                expect(page.get_by_role("heading", level=1)).to_be_visible()
                if address:
                    expect(page.get_by_role("img").first).to_be_visible()
                width = page.locator("html").evaluate("page => page.scrollWidth")
                assert width <= 390


def test_it_works_behind_a_path(browser, results_dir):
    def with_prefix(app):
        async def stripped(scope, receive, send):
            path = scope["path"].removeprefix("/x/y")
            await app({**scope, "path": path, "raw_path": path.encode()}, receive, send)

        return stripped

    with (
        running(results_dir, wrapped=with_prefix) as served,
        opened(browser, served, prefix="/x/y") as page,
    ):
        page.get_by_role("link", name=HOSTILE).click()
        expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
        expect(page.get_by_role("link", name="results.json")).to_be_visible()
