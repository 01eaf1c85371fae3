"""The Score page in a real browser: a picture is dropped, scored, heard in step, kept as files."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path

import av
import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.harness import Server
from tests.browser.chromium import PHONE, page_of
from tests.clips import Picture, speech_track, write_clip

pytestmark = pytest.mark.slow

SECONDS, FPS = 12, 25
CUTS = (80, 190)

# Plays from a place in seconds and answers, after some more: [picture's place − music's place, loudest sample heard, place].
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
  return [apart[apart.length >> 1] ?? null, loudest, deck.position_s];
}"""

PREPARED = "() => document.querySelectorAll('.section').length > 0"
WHOLE = "() => [...window.undersong.tracks.values()].at(-1)?.isWhole"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of moving pictures with two cuts, and speech in the middle; VP9, which every Chromium shows."""
    sound, _ = speech_track(SECONDS, [5.0])
    picture = Picture(num_frames=SECONDS * FPS, fps=FPS, cuts=CUTS)
    return write_clip(tmp_path_factory.mktemp("clips") / "walk.webm", picture, sound, codec="libvpx-vp9")


def open_score(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/score")
    page.wait_for_function(PREPARED)


def files_of(page: Page) -> dict[str, bytes]:
    """What can be downloaded, by the end of its name."""
    links = page.locator("#deliver .files a")
    answers = [httpx.get(address) for address in links.evaluate_all("all => all.map((each) => each.href)")]
    names = links.all_inner_texts()
    return {name.rsplit(".", 1)[-1]: answer.raise_for_status().content for name, answer in zip(names, answers, strict=True)}


def test_a_dropped_picture_is_scored_heard_in_step_and_kept(page: Page, server: Server, clip: Path) -> None:
    open_score(page, server)
    page.set_input_files("#video-file", clip)
    page.wait_for_function("window.undersong.picture.known !== null")
    kept = json.loads(page.evaluate("localStorage.getItem('score')"))
    assert [round(cut["at"] * FPS) for cut in kept["piece"]["cuts"]] == list(CUTS)
    assert kept["piece"]["speech"] and len(kept["wave"]) > 100

    strip = page.locator("#strip .content").bounding_box()
    near_cut = strip["x"] + (CUTS[0] / FPS / SECONDS) * strip["width"] + 4
    page.mouse.dblclick(near_cut, strip["y"] + 170)  # snaps to the cut
    page.select_option("#section-mood", "epic")
    expect(page.locator(".section").nth(1)).to_have_attribute("aria-label", "Section 2, Epic, from 0:03.20")

    apart_s, loudest, _ = page.evaluate(PLAY_FROM, [0, 2.5])
    assert loudest > 0.01 and abs(apart_s) < 0.02, (loudest, apart_s)
    page.wait_for_function(WHOLE)
    apart_s, loudest, _ = page.evaluate(PLAY_FROM, [7, 2.5])
    assert loudest > 0.01 and abs(apart_s) < 0.02, (loudest, apart_s)
    page.click("#play")

    for each in ("#formats [value=mp4]", "#formats [value=midi]", "#markers [value=csv]"):
        page.check(each) if each != "#formats [value=mp4]" else page.uncheck(each)
    page.click("#deliver [type=submit]")
    expect(page.locator("#deliver .renders")).to_have_attribute("data-state", "done", timeout=60_000)
    files = files_of(page)
    with wave.open(io.BytesIO(files["wav"])) as music:
        assert music.getnframes() / music.getframerate() == SECONDS
    assert files["mid"][:4] == b"MThd" and files["csv"]
