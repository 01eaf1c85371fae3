"""A real server and a real browser, for the tests that ask for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from benchmarks.harness import Server, running_server
from tests.synth.card import CardWork

if TYPE_CHECKING:
    from playwright.sync_api import Page

_card_work = pytest.StashKey[CardWork]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin now what the tests of a card wait for minutes later."""
    is_asked = any("card_work" in getattr(item, "fixturenames", ()) for item in session.items)
    if is_asked and not session.config.option.collectonly:
        worker = os.environ.get("PYTEST_XDIST_WORKER")
        own = session.config._tmp_path_factory.getbasetemp()
        folder = (own if worker is None else own.parent) / "card"
        session.config.stash[_card_work] = CardWork(folder, is_first=worker in (None, "gw0"), is_alone=worker is None)


@pytest.fixture(scope="session")
def card_work(pytestconfig: pytest.Config) -> CardWork:
    return pytestconfig.stash[_card_work]


def pytest_unconfigure(config: pytest.Config) -> None:
    if _card_work in config.stash:
        config.stash[_card_work].stop()


@pytest.fixture(scope="session", autouse=True)
def no_state_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers that are started with a port of their own keep their stations elsewhere."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def one_server() -> Iterator[Server]:
    """Started once, as a user starts it."""
    with running_server(settings='hosts = ["studio.lan"]') as running:
        yield running


@pytest.fixture
def server(one_server: Server) -> Iterator[Server]:
    """The one server; stations that the test leaves behind are closed."""
    yield one_server
    for station in httpx.get(f"{one_server.url}/v1/stations", timeout=60).raise_for_status().json()["stations"]:
        httpx.delete(f"{one_server.url}/v1/stations/{station['id']}", timeout=60)


@pytest.fixture
def page() -> Iterator[Page]:
    from tests.browser.chromium import open_page  # a machine with a card need not have a browser

    with open_page() as opened:
        yield opened
