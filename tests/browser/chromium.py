"""A real Chromium for a test. In: nothing; out: a page that collects what goes wrong on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.install import find_browser

PATIENCE_MS = 20_000
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
def open_page(*, plays_unasked: bool = True, expected: str = "", **context: Any) -> Iterator[Page]:
    """A page of its own browser; leaving fails if the page wrote an error to its console or threw one.

    Complaints that hold `expected` are let pass. `context` are options of Playwright's browser context. As
    http://studio.lan the browser finds this machine under an address that it does not take for secure.
    A browser a test: Playwright's event loop must be gone before the next asynchronous test begins.
    """
    path = find_browser()
    assert path, "there is no Chromium; `make test` installs one, and so does python -m tests.browser.install"
    complaints: list[str] = []
    with sync_playwright() as playwright:
        flags = (*FLAGS, f"--autoplay-policy={AUTOPLAY[plays_unasked]}")
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        page = browser.new_page(**{"viewport": {"width": 1440, "height": 900}, **context})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        try:
            yield page
        finally:
            browser.close()
    unexpected = [complaint for complaint in complaints if not expected or expected not in complaint]
    assert not unexpected, unexpected
