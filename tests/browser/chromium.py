"""A real Chromium for a test. In: nothing; out: a page that collects what goes wrong on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
    "--autoplay-policy=no-user-gesture-required",
)


@contextmanager
def open_page() -> Iterator[Page]:
    """A page of its own browser; leaving fails if the page wrote an error to its console or threw one.

    A browser a test: Playwright's event loop must be gone before the next asynchronous test begins.
    """
    path = find_browser()
    assert path, "there is no Chromium; `make test` installs one, and so does python -m tests.browser.install"
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        try:
            yield page
        finally:
            browser.close()
    assert not complaints, complaints
