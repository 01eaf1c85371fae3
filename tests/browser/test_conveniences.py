"""What makes a studio of a page: pause, undo, a seed, moods of one's own, an address that says what plays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from benchmarks.harness import Server
from tests.browser.chromium import PATIENCE_MS
from tests.browser.test_studio import HEAR_NOTHING, SILENT, expect_sound, open_studio, play, take

pytestmark = pytest.mark.slow


def expect_address(page: Page, ending: str) -> None:
    page.wait_for_function("(ending) => location.href.endsWith(ending)", arg=ending)


def seed_of(page: Page) -> int:
    return page.evaluate("window.undersong.station.seed")


def test_what_was_asked_is_paused_undone_and_done_again(page: Page, server: Server) -> None:
    open_studio(page, server)
    play(page)
    page.click("[data-mood=epic]")
    page.locator("#tension").fill("0.9")
    page.click("#undo")
    expect(page.locator("#tension")).not_to_have_value("0.9")
    expect(page.locator("#heading")).to_have_text("Epic")
    page.click("#undo")
    expect(page.locator("#heading")).to_have_text("Focus")
    assert [line["set"] for line in take(page, 5)[1:]][-1] == {"mood": "focus"}
    page.keyboard.press("Control+Shift+Z")
    expect(page.locator("#heading")).to_have_text("Epic")

    page.click("#pause")
    expect(page.locator("#notice p")).to_have_text("Paused. Press play to go on.")
    assert page.evaluate(HEAR_NOTHING, [SILENT, PATIENCE_MS])
    page.click("#play")
    expect_sound(page)


def test_a_seed_that_is_set_is_what_plays(page: Page, server: Server) -> None:
    open_studio(page, server)
    play(page)
    page.click("summary")
    expect(page.locator("#seed")).to_have_value(str(seed_of(page)))
    page.locator("#seed").fill("12")
    page.locator("#seed").press("Enter")
    page.wait_for_function("() => window.undersong.station?.seed === 12")
    expect(page.locator("body")).to_have_attribute("data-state", "playing")
    expect_address(page, "#mood=focus&seed=12")
    page.click("#seed-auto")
    expect_address(page, "#mood=focus")


def test_moods_of_ones_own_are_kept_and_go_from_browser_to_browser(page: Page, server: Server, tmp_path: Path) -> None:
    open_studio(page, server)
    page.click("[data-mood=epic]")
    page.locator("#tension").fill("0.77")
    page.fill("#own-name", "Night shift")
    page.click("#own button[type=submit]")
    page.click("[data-mood=sleep]")
    with page.expect_download() as download:
        page.click("#own-export")
    download.value.save_as(tmp_path / "moods.json")
    kept: list[dict[str, Any]] = json.loads((tmp_path / "moods.json").read_text())
    assert kept == [{"name": "Night shift", "fields": {"mood": "epic", "tension": 0.77}}]

    page.click("[aria-label='Remove Night shift']")
    page.set_input_files("#own-file", tmp_path / "moods.json")
    expect(page.locator("text=Night shift")).to_be_visible()
    page.reload()
    page.click("text=Night shift")
    expect(page.locator("#tension")).to_have_value("0.77")
    (tmp_path / "other.json").write_text('{"no": "moods"}')
    page.set_input_files("#own-file", tmp_path / "other.json")
    expect(page.locator("#notice p")).to_contain_text("holds no moods")


def test_the_address_says_what_plays_and_plays_what_it_says(page: Page, server: Server) -> None:
    open_studio(page, server, "/#mood=epic&tension=0.9")
    expect(page.locator("body")).to_have_attribute("data-state", "playing")
    assert take(page)[0]["opening"] == {"mood": "epic", "tension": 0.9}
    page.click("[data-mood=sleep]")
    expect_address(page, "/#mood=sleep")
    page.evaluate("location.hash = 'prompt=sad+rainy+night'")
    expect(page.locator("#understood")).to_contain_text("Heard as")
    assert take(page, 3)[-1]["set"] == {"prompt": "sad rainy night"}
    title = page.locator("#heading").inner_text()
    page.fill("#prompt", "120 bpm, no drums")
    page.press("#prompt", "Enter")
    expect(page.locator("#understood")).to_contain_text("Heard as without Drums · 120")
    expect(page.locator("#heading")).to_have_text(title)


def test_what_was_heard_is_kept_while_it_plays_and_when_it_has_been_stopped(page: Page, server: Server) -> None:
    open_studio(page, server)
    play(page)
    page.wait_for_timeout(1500)
    for is_playing in (True, False):
        if not is_playing:
            page.click("#play")
            expect(page.locator("body")).to_have_attribute("data-state", "idle")
        page.click("#keep-open")
        with page.expect_download() as download:
            page.click("#keep-take")
        kept = download.value.path().read_text()
        assert json.loads(kept.splitlines()[0])["type"] == "opening"
        page.click("#keep-form [type=submit]")
        expect(page.locator("#keep .renders")).to_have_attribute("data-state", "done", timeout=120_000)
        (address,) = page.locator("#keep .files a").evaluate_all("all => all.map((each) => each.href)")
        assert httpx.get(address, timeout=60).content[:4] == b"RIFF"
        page.click("#keep form[method=dialog] button")
