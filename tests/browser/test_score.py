"""The Score page in a real browser: a picture is dropped, scored, heard in step, kept as files."""

from __future__ import annotations

import io
import json
from pathlib import Path

import av
import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.harness import Server
from tests.browser.chromium import PHONE, page_of
from tests.browser.test_studio_truth import CONTRAST, TWO_FRAMES
from tests.clips import Picture, speech_track, write_clip

pytestmark = pytest.mark.slow

SECONDS, FPS = 12, 25
CUTS = (80, 190)

# Plays so many seconds from a place on: [picture's place − music's place, loudest sample].
PLAY_FROM = """async ([from_s, seconds]) => {
  const { deck, picture, output } = window.undersong;
  const analyser = new AnalyserNode(output.context ?? (output.open(), output.context), { fftSize: 2048 });
  output.input.connect(analyser);
  const samples = new Float32Array(2048);
  deck.seek(from_s);
  if (!deck.isPlaying) document.querySelector("#play").click();
  let loudest = 0;
  const apart = [];
  while (deck.position_s < from_s + seconds) {
    await new Promise((resolve) => setTimeout(resolve, 30));
    analyser.getFloatTimeDomainData(samples);
    loudest = Math.max(loudest, ...samples.map(Math.abs));
    if (deck.position_s > from_s + seconds - 1) apart.push(picture.video.currentTime - deck.position_s);
  }
  apart.sort((a, b) => a - b);
  return [apart[apart.length >> 1], loudest];
}"""

# What a finger would miss, or what does not fit in the width.
TOO_SMALL = """() => {
  const faults = document.documentElement.scrollWidth > innerWidth ? ["scrolls sideways"] : [];
  for (const element of document.querySelectorAll("button, select, summary, input, a")) {
    const { width, height } = element.getBoundingClientRect();
    const isSmall = width && (width < 32 || height < 44) && !element.closest(".tick, #strip");
    if (isSmall) faults.push(`${element.id || element.textContent}: ${width} × ${height}`);
  }
  return faults;
}"""

PREPARED = "() => document.querySelectorAll('.section').length > 0"
WHOLE = "() => [...window.undersong.tracks.values()].at(-1)?.isWhole"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Moving pictures with two cuts, and speech in the middle, in codecs that every Chromium knows."""
    sound, _ = speech_track(SECONDS, [5.0])
    picture = Picture(num_frames=SECONDS * FPS, fps=FPS, cuts=CUTS)
    return write_clip(
        tmp_path_factory.mktemp("clips") / "walk.mp4", picture, sound, codec="libvpx-vp9", sound_codec="libopus"
    )


def open_score(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/score")
    page.wait_for_function(PREPARED)


def files_of(page: Page) -> dict[str, bytes]:
    """What can be downloaded, by the end of its name."""
    links = page.locator("#deliver .files a")
    answers = [httpx.get(address, timeout=60) for address in links.evaluate_all("all => all.map((each) => each.href)")]
    names = links.all_inner_texts()
    return {
        name.rsplit(".", 1)[-1]: answer.raise_for_status().content for name, answer in zip(names, answers, strict=True)
    }


def test_a_dropped_picture_is_scored_heard_in_step_and_kept(page: Page, server: Server, clip: Path) -> None:
    open_score(page, server)
    page.set_input_files("#video-file", clip)
    page.wait_for_function("() => window.undersong.picture.known !== null")
    kept = json.loads(page.evaluate("localStorage.getItem('score')"))
    assert [round(cut["at"] * FPS) for cut in kept["piece"]["cuts"]] == list(CUTS)
    assert kept["piece"]["speech"]

    strip = page.locator("#strip .content").bounding_box()
    near_cut = strip["x"] + (CUTS[0] / FPS / SECONDS) * strip["width"] + 4
    page.mouse.dblclick(near_cut, strip["y"] + 170)  # snaps to the cut
    page.select_option("#section-mood", "epic")
    expect(page.locator(".section").nth(1)).to_have_attribute("aria-label", "Section 2, Epic, from 0:03.20")

    for from_s in (0, 8.6):  # while it is composed, and when all is there; nobody speaks at either place
        apart_s, loudest = page.evaluate(PLAY_FROM, [from_s, 1.6])
        assert loudest > 0.01 and abs(apart_s) < 0.3, (from_s, loudest, apart_s)
        page.wait_for_function(WHOLE)
    page.click("#play")

    gains = page.evaluate("[1, 6].map((at) => window.undersong.deck.curve(48000 * at, 1)?.[0] ?? 1)")
    assert gains[0] == 1 and gains[1] < 0.26, gains  # 12 dB under speech

    for each in ("#formats [value=midi]", "#markers [value=csv]"):
        page.check(each)
    expect(page.locator("#formats [value=mp4]")).to_be_checked()
    page.click("#deliver [type=submit]")
    expect(page.locator("#deliver .renders")).to_have_attribute("data-state", "done", timeout=120_000)
    files = files_of(page)
    with av.open(io.BytesIO(files["mp4"])) as film:
        assert film.streams.video[0].frames == SECONDS * FPS and film.streams.audio
    with av.open(io.BytesIO(files["wav"])) as music:
        assert music.duration == SECONDS * 1_000_000
    assert files["mid"][:4] == b"MThd" and files["csv"]

    page.reload()
    page.wait_for_function(PREPARED)
    expect(page.locator("#picture-said")).to_contain_text("“walk.mp4” is still on the server")
    expect(page.locator(".section")).to_have_count(2)


def test_an_edit_is_heard_at_the_same_place_and_taken_back(browser: Browser, server: Server, tmp_path: Path) -> None:
    with page_of(browser, expected="415") as page:
        open_score(page, server)
        page.fill("#duration", "6")
        page.locator("#duration").press("Enter")
        page.wait_for_function(WHOLE)
        page.click("#add-version")
        page.wait_for_function("() => window.undersong.tracks.size === 2 && " + WHOLE.removeprefix("() => "))
        _, loudest = page.evaluate(PLAY_FROM, [1, 1.2])
        assert loudest > 0.01
        both = page.evaluate("""async () => {
          const { deck } = window.undersong;
          const [b, before_s] = [deck.track, deck.position_s];
          document.querySelector("#versions button").click();
          while (deck.track === b) await new Promise((resolve) => setTimeout(resolve, 10));
          return [before_s, deck.position_s, deck.isPlaying];
        }""")
        assert both[2] and 0 <= both[1] - both[0] < 1, both
        page.keyboard.press("Escape")
        page.locator(".level").focus()
        page.keyboard.press("ArrowUp")
        expect(page.locator("#section-energy")).not_to_have_class("loose")
        page.keyboard.press("h")
        page.locator(".hit").press("Shift+ArrowRight")
        page.locator(".hit").press("Delete")
        expect(page.locator(".hit")).to_have_count(0)
        page.keyboard.press("Control+z")
        expect(page.locator(".hit")).to_have_count(1)

        (tmp_path / "cut.csv").write_text("at\n2.0\n4.0\n")
        page.set_input_files("#import-file", tmp_path / "cut.csv")
        page.wait_for_function("() => JSON.parse(localStorage.getItem('score')).piece.cuts.length > 0")
        page.set_input_files("#video-file", tmp_path / "cut.csv")
        expect(page.locator("#picture-said")).to_contain_text("cannot be read")


def test_the_form_of_a_clip_comes_and_goes_with_its_length(page: Page, server: Server) -> None:
    open_score(page, server)
    page.click("[data-seconds='30']")
    expect(page.locator(".section")).to_have_count(2)
    expect(page.locator(".hit")).to_have_count(1)
    page.click("[data-seconds='15']")
    expect(page.locator(".section")).to_have_count(1)
    expect(page.locator(".hit")).to_have_count(0)
    expect(page.locator("#ending")).to_have_value("loop")


def test_the_score_page_fits_a_phone_and_can_be_read(browser: Browser, server: Server) -> None:
    with page_of(browser, viewport={"width": 360, "height": 640}, **PHONE) as page:
        open_score(page, server)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            for _ in range(2):
                page.evaluate(TWO_FRAMES)
                assert (page.evaluate(TOO_SMALL), page.evaluate(CONTRAST)) == ([], []), theme
                page.locator("#language").tap()
