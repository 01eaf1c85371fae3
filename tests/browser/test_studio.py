"""A stranger's first minutes: a real Chromium plays the studio of a real server over WHEP."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from benchmarks.harness import Server
from tests.browser.chromium import PATIENCE_MS

pytestmark = pytest.mark.slow

AUDIBLE, SILENT = 1e-3, 1e-5

# Waits until [left, right, their difference] have each been louder than asked, in RMS; answers the loudest of each.
# Measured where the page's own meter measures.
HEAR = """async ([bars, patience_ms]) => {
  const { sides } = window.undersong;
  const [left, right] = sides.map((side) => new Float32Array(side.fftSize));
  const rms = (read) => Math.sqrt(left.reduce((sum, _, i) => sum + read(i) ** 2, 0) / left.length);
  const most = [0, 0, 0];
  for (const end = performance.now() + patience_ms; performance.now() < end; ) {
    [left, right].forEach((samples, channel) => sides[channel].getFloatTimeDomainData(samples));
    const now = [(i) => left[i], (i) => right[i], (i) => left[i] - right[i]].map(rms);
    now.forEach((level, i) => (most[i] = Math.max(most[i], level)));
    if (most.every((level, i) => level > bars[i])) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return most;
}"""

# Waits until nothing has been heard for half a second; false where that does not come.
HEAR_NOTHING = """async ([bar, patience_ms]) => {
  const { sides } = window.undersong;
  const samples = new Float32Array(sides[0].fftSize);
  let silent_since_ms = performance.now();
  for (const end = performance.now() + patience_ms; performance.now() < end; ) {
    sides[0].getFloatTimeDomainData(samples);
    if (samples.some((sample) => Math.abs(sample) > bar)) silent_since_ms = performance.now();
    if (performance.now() - silent_since_ms > 500) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
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


TAKE = """async (count) => {
  const lines = (await (await fetch(window.undersong.station.links.take)).text()).trim().split("\\n");
  return lines.length >= count ? lines : null;
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


def expect_sound(page: Page) -> None:
    """Sound comes, in stereo."""
    bars = [AUDIBLE, AUDIBLE, 0.02 * AUDIBLE]
    heard = page.evaluate(HEAR, [bars, PATIENCE_MS])
    assert all(level > bar for level, bar in zip(heard, bars, strict=True)), heard
    assert heard[2] > 0.02 * heard[0]


def take(page: Page, count: int = 1) -> list[dict]:
    """What the station has been asked so far, as soon as that is `count` lines."""
    lines = page.wait_for_function(TAKE, arg=count).json_value()
    return [json.loads(line) for line in lines]


def treble_power(page: Page, seconds: float) -> float:
    """Mean power heard above 2 kHz."""
    bin_hz, power = page.evaluate(SPECTRUM, seconds)
    return sum(power[round(2000 / bin_hz) :])


def test_play_is_heard_in_stereo(page: Page, server: Server) -> None:
    open_studio(page, server)
    play(page)
    expect_sound(page)


def test_the_sound_follows_the_pad(page: Page, server: Server) -> None:
    station = server.open_station(mood="focus", seed=1)
    open_studio(page, server, f"/?station={station['id']}")
    expect(page.locator("body")).to_have_attribute("data-state", "playing")
    drag_to(page, 0.1, 0.08)
    expect(page.locator("#heading")).to_contain_text("Dark, still")
    expect_sound(page)
    dark = treble_power(page, 2)
    drag_to(page, 0.9, 0.95)
    expect(page.locator("#heading")).to_contain_text("Bright, driving")
    assert any(treble_power(page, 1) > 5 * dark for _ in range(10))


def test_everything_works_by_keyboard(page: Page, server: Server) -> None:
    open_studio(page, server)
    page.keyboard.press("Space")
    expect(page.locator("body")).to_have_attribute("data-state", "playing")
    expect_sound(page)

    pad = page.locator("#pad")
    pad.focus()
    before = pad.get_attribute("aria-valuetext")
    for _ in range(5):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    assert pad.get_attribute("aria-valuetext") != before

    page.keyboard.press("Escape")
    assert page.evaluate(HEAR_NOTHING, [SILENT, PATIENCE_MS])
    page.keyboard.press("Space")
    expect_sound(page)


def test_words_are_answered_with_what_was_understood(page: Page, server: Server) -> None:
    open_studio(page, server)
    page.fill("#prompt", "sad rainy night")
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_have_attribute("data-state", "playing")
    expect(page.locator("#understood")).not_to_be_empty()
    expect_sound(page)


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
    assert [(line["type"], line.get("name")) for line in take(page, 3)[1:]] == [("hit", None), ("stinger", "reveal")]


def test_room_for_a_voice_is_given_and_taken_back(page: Page, server: Server) -> None:
    open_studio(page, server)
    play(page)
    for pressed in ("true", "false"):
        page.click("#voice")
        expect(page.locator("#voice")).to_have_attribute("aria-pressed", pressed)
    sent = take(page, 3)[1:]
    assert [(line["type"], line.get("voice")) for line in sent] == [("duck", True), ("duck", False)]


def test_the_page_fits_in_both_languages(page: Page, server: Server) -> None:
    open_studio(page, server)
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 844})
        for _ in range(2):
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.click("#language")
            page.click("#theme")
    assert page.locator("[data-mood=healing]").inner_text()
