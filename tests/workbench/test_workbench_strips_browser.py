"""The page of strips in a browser: many of them, masks to the pixel, keys alone, hostile names."""

import os

import cv2
import numpy as np
import pytest
from browsed_strips import HEIGHT, WIDTH, checkerboard, draw_image, write_data_set, write_trained
from browsing import IN_A_BROWSER, SPEED, expect, opened
from running_workbench import running

from core.workbench.strip_sources import strip_key

pytestmark = IN_A_BROWSER
MANY = 12_568
NAMES = ["a?b#c%d.png", "<img src=x onerror=alert(1)>.png", "q'uo\"te.png", "__proto__.png"]
MASK_OPACITY = 0.45


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browsed")
    data = write_data_set(folder / "data", {name: {1: checkerboard()} for name in NAMES})
    (data / "train_images" / "broken.jpg").write_text("no image")
    (folder / "secret.png").write_bytes((data / "train_images" / NAMES[0]).read_bytes())
    (data / "train_images" / "link.png").symlink_to(folder / "secret.png")
    write_trained(folder / "results", folder / "trained_on")
    return folder


@pytest.fixture(scope="module")
def served(folders):
    with running(folders / "results", data_root=folders / "data") as workbench:
        yield workbench


def shown(page):
    return page.get_by_role("status").first


def rows(page, text=""):
    return page.locator(".strip-row", has_text=text)


def open_row(page):
    return page.locator(".strip-row[aria-selected=true]")


def test_of_many_strips_few_are_elements(browser, tmp_path, record_property):
    root = write_data_set(tmp_path / "data", {"00000.png": {}})
    first = root / "train_images" / "00000.png"
    for number in range(1, MANY):
        os.link(first, first.with_name(f"{number:05d}.png"))
    with (
        running(tmp_path / "none", data_root=root) as served,
        opened(browser, served, f"#strips?strip={strip_key('09000.png')}") as page,
    ):
        expect(shown(page)).to_have_text("12,568 of 12,568 shown")
        expect(page.get_by_role("heading", name="09000.png")).to_be_visible()
        expect(open_row(page)).to_be_in_viewport()
        expect(open_row(page)).to_have_attribute("aria-posinset", "9001")
        devtools, seconds = page.context.new_cdp_session(page), []
        devtools.send("Performance.enable")

        def script_seconds():
            metrics = devtools.send("Performance.getMetrics")["metrics"]
            return next(one["value"] for one in metrics if one["name"] == "ScriptDuration")

        region = page.get_by_role("listbox")
        region.hover()
        for _ in range(40):
            before = script_seconds()
            page.mouse.wheel(0, 400)
            page.wait_for_timeout(50)
            seconds.append(script_seconds() - before)
            assert rows(page).count() <= 40
        record_property("script_ms_a_scroll_p95", float(np.percentile(seconds, 95)) * 1e3)
        for place in (0, MANY * 60, MANY * 1000):
            region.evaluate("(region, top) => region.scrollTo(0, top)", place)
            page.wait_for_timeout(100)
            assert 5 < rows(page).count() <= 40
        expect(rows(page, "12567.png")).to_be_in_viewport()


def test_a_link_asks_at_once_for_what_it_names_and_not_twice(browser, served):
    key = strip_key(NAMES[0])
    with opened(browser, served, f"#strips?place=data&strip={key}") as page:
        expect(page.locator(".stage img.strip")).to_be_visible()
        asked = page.evaluate(
            "() => performance.getEntriesByType('resource')"
            ".map(one => [new URL(one.name).pathname.split('/').at(-1), one.startTime])"
        )
    starts = {name: [start for other, start in asked if other == name] for name, _ in asked}
    # Before it is known which modules the page needs.
    assert max(starts["data"][0], starts["image"][0]) < starts["strip_detail.js"][0]
    assert not [start for start in starts["data"][1:] if start < starts["data"][0] + 1900 / SPEED]


@pytest.mark.parametrize("zoom", [1, 4])
def test_a_true_mask_lies_on_its_pixels(browser, served, zoom):
    address = f"#strips?place=data&zoom={zoom}&at=0,0&strip={strip_key(NAMES[0])}"
    with opened(browser, served, address) as page:
        layer = page.locator(".stage .layer.mask")
        expect(layer).to_have_js_property("naturalWidth", WIDTH)
        expect(layer).to_be_visible()
        stage = page.get_by_role("region", name=f"Strip {NAMES[0]}")
        box = stage.evaluate(
            "stage => { const box = stage.getBoundingClientRect(); return "
            "[box.left + stage.clientLeft, box.top + stage.clientTop, stage.clientWidth, "
            "stage.clientHeight]; }"
        )
        left, top, wide, high = box
        left, top = round(left), round(top)  # as the browser paints it
        content = page.screenshot(clip={"x": left, "y": top, "width": wide, "height": high})
        colour = served.ask("/api/strips/data").json()["colours"][0]
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB).astype(float)
    rows, columns = min(HEIGHT, picture.shape[0] // zoom), min(WIDTH, picture.shape[1] // zoom)
    picture = picture[2 : rows * zoom, 2 : columns * zoom]  # without the rounded corner
    grey = np.repeat(draw_image(0)[..., None], 3, axis=2).astype(float)
    mask = checkerboard()[..., None] * MASK_OPACITY
    wanted = grey * (1 - mask) + np.array(list(bytes.fromhex(colour[1:]))) * mask
    wanted = wanted[:rows, :columns].repeat(zoom, axis=0).repeat(zoom, axis=1)[2:, 2:]
    different = (np.abs(picture - wanted) > 3).any(axis=2)
    different[:8, :8] = different[-8:, :8] = False  # corners of the frame are round
    different[:8, -8:] = different[-8:, -8:] = False
    assert not different.any()


def test_it_is_used_by_keys_alone_and_kept_in_the_address(browser, served):
    key = served.key("trained")
    with opened(browser, served, f"#strips?place={key}") as page:
        found = served.ask(f"/api/strips/{key}").json()
        many = len(found["ids"])
        expect(shown(page)).to_have_text(f"{many} of {many} shown")
        page.get_by_label("Decision").select_option("wrong")
        expect(shown(page)).not_to_have_text(f"{many} of {many} shown")
        page.get_by_label("Order").select_option("disagreement")
        page.get_by_role("listbox").focus()
        for pressed in ("ArrowDown", "ArrowDown", "ArrowUp"):
            page.keyboard.press(pressed)
        second = open_row(page)
        expect(second).to_have_attribute("aria-posinset", "2")
        name = second.locator(".strip-name span").first.inner_text()
        expect(page.get_by_role("heading", name=name)).to_be_visible()
        page.keyboard.press("z")
        expect(page.get_by_label("Zoom")).to_have_value("1")
        page.keyboard.press("t")
        expect(page.get_by_role("button", name="True masks")).to_have_attribute(
            "aria-pressed", "false"
        )
        page.wait_for_url("**strip=**")
        count = shown(page).inner_text()
        page.reload()
        expect(page.get_by_role("heading", name=name)).to_be_visible()
        expect(shown(page)).to_have_text(count)
        expect(page.get_by_label("Zoom")).to_have_value("1")
        wrong = [
            row
            for row, predicted in enumerate(found["predicted"])
            if predicted is not None and predicted != found["labels"][row]
        ]
        assert count == f"{len(wrong)} of {many} shown"
        worst = sorted(wrong, key=lambda row: -found["disagreement"][row])
        assert name == found["ids"][worst[1]]


def test_hostile_names_are_text_and_what_is_no_image_is_one_line(browser, served):
    with opened(browser, served, "#strips?place=data") as page:
        expect(shown(page)).to_have_text("6 of 6 shown")
        for name in NAMES:
            rows(page, name).click()
            expect(page.get_by_role("heading", name=name)).to_be_visible()
            expect(page.locator(".stage .layer.mask")).to_be_visible()
        for name, reason in (("broken.jpg", "not an image"), ("link.png", "out of the data set")):
            rows(page, name).click()
            expect(page.get_by_role("alert")).to_contain_text(reason)
        page.get_by_label("Name").fill("onerror")
        expect(shown(page)).to_contain_text("1 of 6 shown")
        expect(rows(page)).to_have_count(1)


def test_without_strips_the_page_says_the_one_command(browser, tmp_path):
    with running(tmp_path) as served, opened(browser, served, "#strips") as page:
        command = page.get_by_text("python code/workbench.py --data-root")
        expect(command).to_be_visible()


def test_strips_fit_a_telephone(browser, served):
    small = {"viewport": {"width": 390, "height": 844}}
    for address in ("#strips?place=data&zoom=4", f"#strips?place={served.key('trained')}"):
        with opened(browser, served, address, **small) as page:
            expect(rows(page).first).to_be_visible()
            expect(page.locator(".stage img.strip")).to_be_visible()
            assert page.locator("html").evaluate("page => page.scrollWidth") <= 390


def test_strips_on_which_two_experiments_differ(browser, folders, tmp_path):
    for name, seed in (("one", 1), ("another", 2)):
        folder = write_trained(tmp_path, folders / "trained_on", name, seed=seed)
        assert (folder / "predictions.csv").is_file()
    with running(tmp_path) as served:
        keys = [served.key("one"), served.key("another")]
        one, another = (served.ask(f"/api/strips/{key}").json() for key in keys)
        assert one["ids"] == another["ids"]
        predicted = zip(one["predicted"], another["predicted"], one["parts"], strict=True)
        count = sum(own != other and part == "test" for own, other, part in predicted)
        assert count
        selected = "&".join(f"selected={key}" for key in keys)
        with opened(browser, served, f"#compare?{selected}") as page:
            page.get_by_role("link", name="one and another").click()
            expect(shown(page)).to_have_text(f"{count} of {len(one['ids'])} shown")
            expect(rows(page, "other:").first).to_be_visible()
