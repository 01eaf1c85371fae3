"""A stranger's first minutes: a real Chromium plays the studio of a real server over WHEP."""

from __future__ import annotations

import json
import time

import pytest
from playwright.sync_api import Page, expect

from benchmarks.harness import Server

AUDIBLE, SILENT = 1e-3, 1e-5

# Loudest RMS of left, right and their difference within some seconds, measured where the page's own meter measures.
LISTEN = """async (seconds) => {
  const { sides } = window.undersong;
  const windows = sides.map((side) => new Float32Array(side.fftSize));
  const rms = (read) => Math.sqrt(windows[0].reduce((sum, _, i) => sum + read(i) ** 2, 0) / windows[0].length);
  const most = { left: 0, right: 0, difference: 0 };
  for (const end = performance.now() + 1000 * seconds; performance.now() < end; ) {
    sides.forEach((side, channel) => side.getFloatTimeDomainData(windows[channel]));
    most.left = Math.max(most.left, rms((i) => windows[0][i]));
    most.right = Math.max(most.right, rms((i) => windows[1][i]));
    most.difference = Math.max(most.difference, rms((i) => windows[0][i] - windows[1][i]));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return most;
}"""

# Mean power spectrum over some seconds: [bin width in Hz, power per bin].
SPECTRUM = """async (seconds) => {
  const { analyser, context } = window.undersong;
  const [bins, sum] = [new Float32Array(analyser.frequencyBinCount), new Float64Array(analyser.frequencyBinCount)];
  for (const end = performance.now() + 1000 * seconds; performance.now() < end; ) {
    analyser.getFloatFrequencyData(bins);
    bins.forEach((level, i) => (sum[i] += Number.isFinite(level) ? 10 ** (level / 10) : 0));
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  return [context.sampleRate / analyser.fftSize, Array.from(sum)];
}"""


def open_studio(page: Page, server: Server, query: str = "") -> None:
    page.goto(server.url + query)
    expect(page.locator("[data-mood]").first).to_be_visible()


def play(page: Page) -> None:
    page.click("#play")
    expect(page.locator("body")).to_have_attribute("data-state", "playing")


def drag_to(page: Page, x: float, y: float) -> None:
    """Drag the mood point to a place of the pad, 0 … 1 from its lower left corner."""
    box = page.locator("#pad").bounding_box()
    place = (box["x"] + x * box["width"], box["y"] + (1 - y) * box["height"])
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(*place, steps=10)
    page.mouse.up()


def treble_share(page: Page, seconds: float) -> float:
    """Share of the power heard that lies above 2 kHz."""
    bin_hz, power = page.evaluate(SPECTRUM, seconds)
    return sum(power[round(2000 / bin_hz) :]) / sum(power)


def test_play_is_heard_in_stereo(page: Page, server: Server) -> None:
    open_studio(page, server)
    play(page)
    heard = page.evaluate(LISTEN, 6)
    assert heard["left"] > AUDIBLE and heard["right"] > AUDIBLE
    assert heard["difference"] > 0.02 * heard["left"]


def test_the_sound_follows_the_pad(page: Page, server: Server) -> None:
    open_studio(page, server)
    play(page)
    drag_to(page, 0.1, 0.08)
    time.sleep(4)
    dark = treble_share(page, 5)
    drag_to(page, 0.9, 0.95)
    time.sleep(4)
    assert treble_share(page, 5) > 1.5 * dark


def test_everything_works_by_keyboard(page: Page, server: Server) -> None:
    open_studio(page, server)
    page.keyboard.press("Space")
    expect(page.locator("body")).to_have_attribute("data-state", "playing")
    assert page.evaluate(LISTEN, 4)["left"] > AUDIBLE

    pad = page.locator("#pad")
    pad.focus()
    before = pad.get_attribute("aria-valuetext")
    for _ in range(5):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    assert pad.get_attribute("aria-valuetext") != before

    page.keyboard.press("Escape")
    time.sleep(1)
    assert page.evaluate(LISTEN, 1)["left"] < SILENT
    page.keyboard.press("Space")
    time.sleep(0.5)
    assert page.evaluate(LISTEN, 4)["left"] > AUDIBLE


def test_words_are_answered_with_what_was_understood(page: Page, server: Server) -> None:
    open_studio(page, server)
    page.fill("#prompt", "sad rainy night")
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_have_attribute("data-state", "playing")
    expect(page.locator("#understood")).not_to_be_empty()
    assert page.evaluate(LISTEN, 4)["left"] > AUDIBLE


def test_what_sounds_and_what_it_costs_is_shown(page: Page, server: Server) -> None:
    open_studio(page, server)
    play(page)
    page.click("[data-mood=epic]")
    expect(page.locator("#now")).to_contain_text("bpm")
    expect(page.locator("#latency")).to_contain_text("ms")


def test_a_hit_and_a_stinger_are_one_click_each(page: Page, server: Server) -> None:
    open_studio(page, server)
    expect(page.locator("#hit")).to_be_disabled()
    play(page)
    page.click("#hit")
    page.select_option("#stinger", "reveal")
    expect(page.locator("#stinger")).to_have_value("")
    expect(page.locator("#next")).to_contain_text("Reveal")
    take = page.evaluate("async () => (await fetch(window.undersong.station.links.take)).text()")
    sent = [json.loads(line)["type"] for line in take.splitlines()]
    assert sent == ["opening", "hit", "stinger"]


def test_room_for_a_voice_is_given_and_taken_back(page: Page, server: Server) -> None:
    open_studio(page, server)
    play(page)
    for pressed in ("true", "false"):
        page.click("#voice")
        expect(page.locator("#voice")).to_have_attribute("aria-pressed", pressed)
    take = page.evaluate("async () => (await fetch(window.undersong.station.links.take)).text()")
    sent = [json.loads(line) for line in take.splitlines()]
    assert [(line["type"], line.get("voice")) for line in sent[1:]] == [("duck", True), ("duck", False)]


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_fits_in_both_languages(page: Page, server: Server, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    open_studio(page, server)
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.click("#language")
        page.click("#theme")
    assert page.locator("[data-mood=healing]").inner_text()
