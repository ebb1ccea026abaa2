"""The page on which trainings are started, in a browser; the training is a stand-in."""

import json
import urllib.parse

import pytest
from browsing import HOSTILE, IN_A_BROWSER, expect, login, new_page, opened
from experiment_factory import read_results, write_experiment, write_results
from launching_workbench import launching

from core.machine.processes import IS_SUPPORTED
from core.workbench.launching.jobs import ENDED, RUNNING

pytestmark = [
    *IN_A_BROWSER,
    pytest.mark.skipif(not IS_SUPPORTED, reason="processes are told apart by /proc"),
]


@pytest.fixture
def page_of(tmp_path):
    config = {"training.num_epochs": 7, "experiment.name": "x"}
    begun = write_experiment(tmp_path / "results", name=HOSTILE, config=config)
    write_results(begun, read_results(begun) | {"status": "interrupted"})
    with launching(tmp_path / "results", tmp_path / "queue") as found:
        found.launcher.form()  # the first time takes seconds
        yield found


def test_a_form_is_filled_in_and_its_job_started_stopped_and_resumed(browser, page_of):
    with opened(browser, page_of.served, "#new") as page:
        command = page.locator(".outcome pre.command").first
        expect(command).to_have_text(
            f"python code/train.py experiment.results_dir={page_of.launcher.index.results_dir}"
        )
        page.get_by_label("name", exact=True).fill("loops")
        page.get_by_text("Training", exact=True).click()
        page.get_by_label("num_epochs", exact=True).fill("0")
        wrong = page.locator('[data-key="training.num_epochs"] .wrong')
        expect(wrong).to_have_text(
            "training.num_epochs=0: input should be greater than or equal to 1"
        )
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
        page.get_by_label("num_epochs", exact=True).fill("5")
        page.get_by_text("Loss · focal_loss").click()
        page.get_by_label("kind of alpha").select_option("list")
        page.get_by_label("alpha", exact=True).fill("0.1, 0.2, 1e-1, .5")
        page.get_by_text("Augmentation", exact=True).click()
        page.get_by_label("rotation", exact=True).uncheck()
        page.get_by_label("cutmix", exact=True).check()
        # Only what was touched, in one word each.
        expect(command).to_contain_text(
            "python code/train.py 'loss.alpha=[0.1,0.2,0.1,0.5]' augmentation.rotation=null "
            "augmentation.cutmix.probability=0.5 training.num_epochs=5 experiment.name=loops "
        )
        page.get_by_label("training.num_epochs: back to the default").click()
        expect(command).not_to_contain_text("num_epochs")
        page.reload()
        expect(command).to_contain_text("loss.alpha=[0.1,0.2,0.1,0.5]")

        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.get_by_text("Job 1 is in the queue.")).to_be_visible()
        page_of.until(1, RUNNING)
        row = page.locator(".jobs tbody tr").first
        expect(row.get_by_text("running", exact=True)).to_be_visible()
        expect(page.get_by_label("Log of job 1")).to_contain_text("Experiment /")
        row.get_by_role("button", name="Stop job 1").focus()
        page.keyboard.press("Enter")
        expect(row.get_by_text("stopping")).to_be_visible()
        page_of.until(1, ENDED)
        expect(row.get_by_text("interrupted", exact=True)).to_be_visible()
        expect(page.get_by_label("Log of job 1")).to_contain_text("Interrupted")
        row.get_by_role("button", name="Resume").click()
        page_of.until(2, ENDED)
        expect(row.get_by_text("completed", exact=True)).to_be_visible()


def test_a_form_or_a_clone_that_does_not_come_says_why(browser, page_of):
    with new_page(browser) as page:
        page.route(
            "**/api/form", lambda route: route.fulfill(status=500, body="Internal Server Error")
        )
        page.goto(login(page_of.served, "#new"))
        expect(page.get_by_role("alert")).to_have_text("500: Internal Server Error")
        page.unroute("**/api/form")
        page.goto(
            f"http://{page_of.served.host}/?#new?clone=0&values=%7B%22training.num_epochs%22:5%7D"
        )
        expect(page.get_by_role("alert")).to_have_text("Not cloned. 404: No such experiment")
        expect(page.locator("pre.command").first).to_contain_text("training.num_epochs=5")


def test_another_component_than_the_presets_is_shown_as_it_is_trained(browser, page_of):
    with opened(browser, page_of.served, "#new") as page:
        command = page.locator(".outcome pre.command").first
        page.get_by_label("Start from").select_option("overfit")
        page.get_by_text("Model ·").click()
        model = page.locator('[id="field-model.name"]')
        expect(model).to_have_value("resnet10_slim")
        model.select_option("convnext_atto")
        pretrained = page.locator('[data-key="model.pretrained"] option:checked')
        expect(pretrained).to_have_text("yes")
        page.get_by_label("pretrained", exact=True).select_option(label="no")
        expect(command).to_contain_text("model.name=convnext_atto model.pretrained=false")
        page.get_by_label("pretrained", exact=True).select_option(label="yes")
        expect(command).not_to_contain_text("pretrained")
        model.select_option("resnet10_slim")
        expect(command).to_contain_text("python code/train.py experiment=overfit experiment.")


def test_an_experiment_is_cloned_and_a_hostile_name_is_text(browser, page_of):
    served = page_of.served
    with opened(browser, served, f"#new?clone={served.key(HOSTILE)}") as page:
        command = page.locator(".outcome pre.command").first
        expect(command).to_contain_text("training.num_epochs=7")
        assert "clone" not in page.url
        page.get_by_text("1 more that can be resumed").click()
        expect(page.get_by_role("link", name=HOSTILE)).to_be_visible()


def test_it_is_not_wider_than_a_telephone(browser, page_of):
    values = {"experiment": "quickstart", "training.num_epochs": 0}
    address = f"#new?values={urllib.parse.quote(json.dumps(values))}"
    small = {"viewport": {"width": 390, "height": 844}}
    with opened(browser, page_of.served, address, **small) as page:
        expect(page.get_by_role("alert")).to_contain_text("num_epochs=0")
        assert page.locator("html").evaluate("page => page.scrollWidth") <= 390
