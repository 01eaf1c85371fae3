"""A person before a server that asks for tokens: the link, the page that asks for one, and what a page then may."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from streaming.roles import Role
from streaming.tokens import open_tokens
from tests.browser.chromium import page_of
from tests.streaming.conftest import SINES, Running
from tests.streaming.conftest import make_server as make_server

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def guarded(make_server: Callable[..., Running], tmp_path_factory: pytest.TempPathFactory) -> Running:
    secret = tmp_path_factory.mktemp("tokens") / "secret"
    return make_server(SINES.model_copy(update={"tokens": "always", "secret_file": str(secret)}))


def plays(page: Page) -> None:
    page.click("#play")
    expect(page.locator("body")).to_have_attribute("data-state", "playing")


def test_a_page_asks_for_a_token_and_plays_with_it(browser: Browser, guarded: Running) -> None:
    token = open_tokens(guarded._config).sign(Role.ADMIN)[0]
    with page_of(browser, expected="401") as page:
        page.goto(guarded.address)
        page.fill("input", token)
        page.click("button")
        page.wait_for_url(f"{guarded.address}/")
        plays(page)
        page.goto(f"{guarded.address}/docs")
        page.locator(".opblock").first.wait_for()


def test_a_link_on_the_page_of_another_site_lets_in(browser: Browser, guarded: Running) -> None:
    token = open_tokens(guarded._config).sign(Role.ADMIN)[0]
    with page_of(browser, expected="401") as page:
        page.set_content(f"<a href='{guarded.address}/?token={token}'>music</a>")
        page.click("a")
        page.wait_for_url(f"{guarded.address}/")
        plays(page)
