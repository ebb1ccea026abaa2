"""A browser for the pages of the workbench: Debian's chromium, driven by playwright.

A page that waits for seconds waits for a tenth of them, and what is expected of it is looked for
twenty times a second: playwright itself comes to look every half second alone.
"""

import contextlib
import shutil
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from running_workbench import TOKEN

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
# Without a window, it makes a page in a quarter of the time of the whole browser.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
IN_A_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
]
SPEED = 10
HURRY = f"""const wait = window.setTimeout;
window.setTimeout = (act, delay = 0, ...more) =>
  wait(act, delay < 1000 ? delay : delay / {SPEED}, ...more);"""
HOSTILE = "<img src=x onerror=alert(1)>"
PATIENCE = 60_000  # milliseconds: a busy machine is no fault of the page
GLANCE = 400  # within at most so many milliseconds, playwright looks each 50


@dataclass(frozen=True)
class Expected:
    """What playwright can expect of a locator or a page, as soon as it is so."""

    assertions: Any

    def __getattr__(self, name: str) -> Callable[..., None]:
        check = getattr(self.assertions, name)

        def until(*arguments: Any, **options: Any) -> None:
            for _ in range(PATIENCE // GLANCE):
                with contextlib.suppress(AssertionError):
                    return check(*arguments, timeout=GLANCE, **options)
            return check(*arguments, timeout=GLANCE, **options)

        return until


def expect(found: Any) -> Expected:
    return Expected(playwright.expect(found))


@contextlib.contextmanager
def new_page(browser, **how):
    """A page in a context of its own."""
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | how))
    context.set_default_timeout(PATIENCE)
    context.add_init_script(HURRY)
    yield context.new_page()
    context.close()


def login(served, address="", prefix=""):
    """The address that lets a page in, and leads to `address`."""
    return f"http://{served.host}{prefix}/login?token={urllib.parse.quote(TOKEN)}{address}"


@contextlib.contextmanager
def opened(browser, served, address="", prefix="", **how):
    """A page of the workbench at `address`; at the end, that it complained of nothing."""
    with new_page(browser, **how) as page:
        complaints, elsewhere = [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda asked: elsewhere.append(asked.url))
        page.goto(login(served, address, prefix))
        yield page
        assert not complaints
        base = f"http://{served.host}{prefix}/"
        assert all(url.startswith(base) for url in elsewhere)
