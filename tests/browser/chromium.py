"""A real Chromium for a test. In: nothing; out: a page that collects what goes wrong on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserType, Page, expect, sync_playwright

from tests.browser.install import find_browser_of_system

PATIENCE_MS = 60_000
"""These tests ask what happens, not how soon: a busy machine may take its time."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP studio.lan 127.0.0.1",
)
AUTOPLAY = {True: "no-user-gesture-required", False: "document-user-activation-required"}
PHONE = {"has_touch": True, "is_mobile": True}


@contextmanager
def open_browser(*flags: str) -> Iterator[Browser]:
    """As http://studio.lan it finds this machine under an address that it does not take for secure.

    Playwright's event loop must be gone before the next asynchronous test begins, and there can be but one.
    """
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, *flags)
        try:
            yield browser
        finally:
            browser.close()


def launch(chromium: BrowserType, *flags: str, plays_unasked: bool = True) -> Browser:
    """Start a browser that plays sound before anybody has pressed anything, or one that does not."""
    path = find_browser_of_system() or chromium.executable_path
    assert Path(path).exists(), "there is no Chromium; `make test` installs one, and so does tests.browser.install"
    autoplay = f"--autoplay-policy={AUTOPLAY[plays_unasked]}"
    return chromium.launch(executable_path=path, args=[*FLAGS, autoplay, *flags])


@contextmanager
def page_of(browser: Browser, *, expected: str = "", **context: Any) -> Iterator[Page]:
    """A fresh page; leaving fails if it wrote an error to its console or threw one, unless that holds `expected`.

    `context` are options of Playwright's browser context.
    """
    complaints: list[str] = []
    page = browser.new_page(**{"viewport": {"width": 1440, "height": 900}, **context})
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page
    finally:
        page.close()
    unexpected = [complaint for complaint in complaints if not expected or expected not in complaint]
    assert not unexpected, unexpected


@contextmanager
def open_page() -> Iterator[Page]:
    """A page of its own browser."""
    with open_browser() as browser, page_of(browser) as page:
        yield page
