"""A real server and a real browser, for the tests that ask for them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page

from benchmarks.harness import Server, running_server
from tests.browser.chromium import open_page


@pytest.fixture(scope="session")
def one_server() -> Iterator[Server]:
    """Started once, as a user starts it."""
    with running_server() as running:
        yield running


@pytest.fixture
def server(one_server: Server) -> Iterator[Server]:
    """The one server; stations that the test leaves behind are closed."""
    yield one_server
    for station in httpx.get(f"{one_server.url}/v1/stations", timeout=30).raise_for_status().json()["stations"]:
        httpx.delete(f"{one_server.url}/v1/stations/{station['id']}", timeout=30)


@pytest.fixture
def page() -> Iterator[Page]:
    with open_page() as opened:
        yield opened
