"""One Chromium for all tests of this folder, none of which is asynchronous; a fresh page of it for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from benchmarks.harness import Server
from tests.browser.chromium import open_browser, page_of


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """Closed before the server closes the stations that it has opened."""
    with page_of(browser) as opened:
        yield opened
