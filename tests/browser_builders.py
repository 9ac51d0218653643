"""A real Chromium that tests drive: what it is started with, and what its pages may not do."""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


@contextmanager
def browser(microphone: Path | None = None) -> Iterator[Any]:
    """A headless Chromium, whose microphone hears a recording; without one, the tests are skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install 'playwright'")
    if CHROMIUM is None:
        pytest.skip("needs apt-get install chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
    if microphone is not None:
        arguments += [
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}",
        ]
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield running
        finally:
            running.close()


class Watched:
    """A page, and what it did that no page of ours does: errors on its console, and requests to other hosts.

    Args:
        browser: that opens it.
        url: where it is.
        refusals: whether the server may refuse something, which a console tells as an error.
        options: of its context, as Playwright has them.
    """

    def __init__(self, browser: Any, url: str, refusals: bool = False, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        self.context.set_default_timeout(40_000)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        allowed = "Failed to load resource: the server responded with a status of 4" if refusals else "\0"
        self.foreign: list[str] = []
        self.page.on(
            "console", lambda said: said.type == "error" and allowed not in said.text and self.errors.append(said.text)
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self._check(url, request.url))
        self.page.goto(url)

    def _check(self, home: str, url: str) -> None:
        asked = urlsplit(url)
        if asked.scheme not in ("blob", "data") and (asked.scheme, asked.netloc) != urlsplit(home)[:2]:
            self.foreign.append(url)

    def close(self) -> None:
        """Close it, and see that it did nothing of these."""
        self.context.close()
        assert self.errors == []
        assert self.foreign == []


@contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """A page while the block runs; it may neither fail nor ask another host for anything."""
    watched = Watched(browser, url, **options)
    try:
        yield watched.page
    except BaseException:
        watched.context.close()
        raise
    watched.close()


def silent_and_sharp(page: Any) -> None:
    """Check what a page owes to those who do not see it, and to those who hold it in a hand."""
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, a, canvas, audio, img, [role]")]
          .filter((element) => element.checkVisibility() && !(
            element.ariaLabel || element.labels?.length || element.textContent.trim() || element.alt
            || document.getElementById(element.getAttribute("aria-labelledby"))?.textContent.trim()))
          .map((element) => element.outerHTML)"""
    )
    assert unnamed == [], unnamed
    levels = page.evaluate("""[...document.querySelectorAll("h1, h2, h3")].map((each) => Number(each.tagName[1]))""")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.evaluate("document.documentElement.lang") == "en"
    sticking_out = page.evaluate(
        """() => [...document.querySelectorAll("body *")]
          .filter((each) => !each.parentElement.closest(".scroll"))
          .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
          .map((each) => each.outerHTML.slice(0, 200))"""
    )
    assert sticking_out == []
