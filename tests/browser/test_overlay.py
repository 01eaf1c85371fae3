"""The overlay and the dock in a real Chromium: sound without a click, what is shown, what the streamer's hands do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.harness import free_port
from streaming.chat.irc import IrcRoom
from streaming.chat.settings import Irc
from streaming.config import Config
from streaming.roles import Role
from streaming.tokens import Tokens
from tests.browser.chromium import launch, page_of
from tests.streaming.conftest import SINES, Running

pytestmark = pytest.mark.slow

NOT_YET = "404"
"""The browser's complaint of a station that the page is about to open."""
SECRET = "s" * 43
HOSTILE = '<img src=x onerror="document.title=1">\u202e'

# Waits until what comes of the station is louder than asked.
HEAR = """async (bar) => {
  const { sides } = window.overlay.meters;
  const samples = new Float32Array(2048);
  for (;;) {
    for (const side of sides) {
      side.getFloatTimeDomainData(samples);
      if (Math.max(...samples) > bar) return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}"""

READ = """async (address) => {
  const { readOverlay } = await import("/web/address.js");
  return readOverlay(new URL(address, location.href));
}"""


@pytest.fixture(scope="module")
def sines() -> Iterator[Running]:
    running = Running(SINES)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with page_of(browser, expected=NOT_YET) as opened:
        yield opened


def open_overlay(page: Page, server: Running, station: str, query: str = "audio=websocket&mood=epic") -> None:
    page.goto(f"{server.address}/overlay/{station}?{query}")


def expect_phase(page: Page, phase: str) -> None:
    expect(page.locator("body")).to_have_attribute("data-phase", phase)


def take_of(server: Running, station: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.http.get(f"/v1/stations/{station}/take").text.splitlines()[1:]]


def test_an_overlay_opens_its_station_and_sounds_without_a_click(page: Page, sines: Running) -> None:
    open_overlay(page, sines, "alone")
    expect_phase(page, "playing")
    assert page.evaluate(HEAR, 1e-3)
    expect(page.locator("#mood")).to_have_text("Epic")
    expect(page.locator("#details")).to_contain_text("bpm")
    expect(page.locator("#badge")).to_be_visible()
    expect(page.locator("#start")).to_be_hidden()
    for element in ("html", "body"):
        background = page.evaluate("(tag) => getComputedStyle(document.querySelector(tag)).backgroundColor", element)
        assert background == "rgba(0, 0, 0, 0)"
    page.add_style_tag(content="body { --overlay-radius: 7px }")  # as OBS does with its "Custom CSS"
    assert page.evaluate("getComputedStyle(card).borderRadius") == "7px"
    asked = {"type": "steer", "set": {"mood": "sad"}, "at": "4 bars", "by": "<b>Åsa</b>"}
    sines.http.post("/v1/stations/alone/controls", json=asked).raise_for_status()
    expect(page.locator("#by")).to_contain_text("asked by \u2068<b>Åsa</b>\u2069")
    expect(page.locator("#next")).to_contain_text("→ Sad in ")


def test_where_sound_is_denied_one_card_asks_for_a_click_and_the_rest_is_there(
    browser: Browser, sines: Running
) -> None:
    with (
        launch(browser.browser_type, plays_unasked=False) as shy,
        page_of(shy, expected=NOT_YET) as page,
    ):
        open_overlay(page, sines, "shy", "audio=websocket&mood=epic&lang=zh")
        expect(page.locator("#start")).to_have_text("点击开始播放音乐")
        expect(page.locator("#mood")).to_have_text("热血")
        expect_phase(page, "connected")
        page.click("#start")
        expect_phase(page, "playing")
        assert page.evaluate(HEAR, 1e-3)
        expect(page.locator("#start")).to_be_hidden()


@pytest.mark.long
def test_an_overlay_outlives_its_station(page: Page, sines: Running) -> None:
    open_overlay(page, sines, "mortal")
    expect_phase(page, "playing")
    before = sines.http.get("/v1/stations/mortal").json()["id"]
    sines.http.delete("/v1/stations/mortal").raise_for_status()
    page.wait_for_function(
        "(before) => overlay.music.phase === 'playing' && overlay.music.station.id !== before", arg=before
    )
    after = sines.http.get("/v1/stations/mortal").raise_for_status().json()
    assert after["listeners"] == 1, after


@pytest.mark.long
@pytest.mark.parametrize("audio", ["webrtc", "websocket"])
def test_an_overlay_outlives_its_server(browser: Browser, tmp_path: Path, audio: str) -> None:
    config = Config(**SINES.model_dump() | {"port": free_port(), "stations": str(tmp_path / "stations")})

    def started() -> Running:
        server = Running(config)
        server.start()
        return server

    with page_of(browser, expected="ailed") as page:
        server = started()
        open_overlay(page, server, "stage", f"audio={audio}&mood=epic")
        expect_phase(page, "playing")
        station = page.evaluate("overlay.music.station.id")
        server.stop()
        expect_phase(page, "reconnecting")
        server = started()
        expect_phase(page, "playing")
        assert page.evaluate("overlay.music.station.id") == station
        server.stop()


def test_a_card_alone_looks_as_asked_and_shows_what_viewers_have_written_as_text(page: Page, sines: Running) -> None:
    open_overlay(page, sines, "mute", "audio=none&mood=epic&show=card,vote&theme=light&accent=0af")
    expect_phase(page, "connected")
    expect(page.locator("#mood")).to_have_text("Epic")
    expect(page.locator("#badge")).to_be_hidden()
    assert page.evaluate("overlay.music.context") is None
    assert page.evaluate("getComputedStyle(document.body).getPropertyValue('--overlay-accent')") == "#0af"
    assert sines.http.get("/v1/stations/mute").json()["listeners"] == 0
    closes_at = {"frame": 96_000, "seconds": 2.0, "bar": 2, "beat": 1, "bpm": 90.0}
    options = [{"name": "epic", "share": 0.75, "votes": 3}, {"name": HOSTILE, "share": 0.25, "votes": 1}]
    vote = {"type": "vote", "topic": "mood", "options": options, "closes_at": closes_at, "quorum": 5}
    sines.call(broadcast(sines, vote))
    expect(page.locator("#vote li .name")).to_have_text(["Epic", HOSTILE])
    expect(page.locator("#vote .note")).to_have_text("4 of 5 votes")
    sines.call(broadcast(sines, vote | {"outcome": "epic"}))
    expect(page.locator("#vote .note")).to_have_text("It will be Epic")
    assert page.locator("#vote img").count() == 0 and page.title() == "Undersong overlay"


def test_a_vote_is_shown_that_began_before_the_page(page: Page, sines: Running) -> None:
    sines.open(name="late")
    sines.http.post("/v1/stations/late/chat", json={"user": "Anna", "text": "!vote night"}).raise_for_status()
    open_overlay(page, sines, "late", "audio=none")
    expect(page.locator("#vote li .name")).to_have_text(["Night"])


def test_what_an_address_may_not_say_is_left_out(page: Page, sines: Running) -> None:
    open_overlay(page, sines, "usual", "audio=none")
    usual = page.evaluate(READ, "/overlay/main")
    for query in (
        "accent=red;background:url(//evil)&font=x%22;}body{&size=NaN&volume=loud&theme=../../x&position=<b>&show=<script>",
        "accent=%23fffff&font=url(x)&audio=flac&lang=xx&delay=-&show=card%2Cx",
    ):
        read = page.evaluate(READ, f"/overlay/main?{query}")
        assert {name: read[name] for name in usual if name != "parts"} == {
            name: value for name, value in usual.items() if name != "parts"
        }
    read = page.evaluate(READ, "/overlay/a%20b?size=99&volume=150&accent=A1B2C3&font=Noto Sans SC&show=vote,badge")
    wanted = {"station": "a b", "size": 4, "volume": 1, "accent": "#A1B2C3", "font": "Noto Sans SC"}
    assert {name: read[name] for name in wanted} == wanted and read["parts"] == ["vote", "badge"]


async def broadcast(server: Running, event: Any) -> None:
    for station in server.conductor.stations.values():
        station.broadcast(event)


def test_a_link_that_lets_listen_lets_nothing_more(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    server = Running(SINES.model_copy(update={"tokens": "always", "secret_file": str(tmp_path / "secret")}))
    server.start()
    tokens = Tokens(SECRET)
    admin = {"Authorization": f"Bearer {tokens.sign(Role.ADMIN)[0]}"}
    try:
        server.http.post("/v1/stations", json={"name": "stage", "mood": "epic"}, headers=admin).raise_for_status()
        with page_of(browser, expected="40") as page:
            token, _ = tokens.sign(Role.LISTEN, "stage")
            open_overlay(page, server, "stage", f"audio=websocket&token={token}")
            expect_phase(page, "playing")
            assert token not in page.url
            answer = page.evaluate("fetch('/v1/stations/stage/do/panic').then(({ status }) => status)")
            assert answer == 403
            assert page.goto(f"{server.address}/dock/stage").status == 403
            page.goto("about:blank")
        assert server.http.get("/v1/stations/stage", headers=admin).json()["state"] == "playing"
    finally:
        server.stop()


# --- the dock --------------------------------------------------------------------------------------------------------


def open_dock(page: Page, server: Running, station: str) -> None:
    server.open(name=station)
    page.goto(f"{server.address}/dock/{station}")
    expect(page.locator("#state")).to_have_text("playing")


def awaited(page: Page, server: Running, station: str, act: Callable[[], None], *types: str) -> list[dict[str, Any]]:
    """What stands in the take once so many controls have come of what was done."""
    count = len(take_of(server, station))
    act()
    page.wait_for_function(
        """async ([station, count]) => {
          const answer = await fetch(`/v1/stations/${station}/take`);
          return (await answer.text()).trim().split("\\n").length > count;
        }""",
        arg=[station, count + len(types)],
    )
    lines = take_of(server, station)[count:]
    assert [line["type"] for line in lines] == list(types), lines
    return lines


def test_the_streamers_hands_and_keys_do_what_they_say(page: Page, sines: Running) -> None:
    open_dock(page, sines, "desk")

    def done(act: Callable[[], None], *types: str) -> list[dict[str, Any]]:
        return awaited(page, sines, "desk", act, *types)

    (mood,) = done(lambda: page.click("[data-mood=sad]"), "steer")
    assert mood["set"] == {"mood": "sad"}
    (energy,) = done(lambda: page.locator("#energy").fill("0.8"), "steer")
    assert energy["set"] == {"energy": 0.8}
    (volume,) = done(lambda: page.locator("#volume").fill("-12"), "volume")
    assert volume["gain_db"] == -12
    page.hover("#duck")
    assert done(page.mouse.down, "duck")[0]["gain_db"] == -12
    assert done(page.mouse.up, "duck")[0]["gain_db"] == 0
    page.locator("body").click(position={"x": 2, "y": 2})
    assert done(lambda: page.keyboard.down("d"), "duck")[0]["gain_db"] == -12
    assert done(lambda: page.evaluate("dispatchEvent(new Event('blur'))"), "duck")[0]["gain_db"] == 0
    page.keyboard.up("d")
    done(lambda: page.keyboard.press("p"), "panic")
    expect(page.locator("#state")).to_have_text("silent")
    assert done(lambda: page.keyboard.press(" "), "transport")[0]["do"] == "play"
    page.keyboard.press("/")
    page.keyboard.type("epic")
    expect(page.locator("#moods button")).to_have_count(1)
    (mood,) = done(lambda: page.keyboard.press("Enter"), "steer")
    assert mood["set"] == {"mood": "epic"}
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()


def test_the_dock_fits_a_phone_and_speaks_chinese(browser: Browser, sines: Running) -> None:
    room = IrcRoom(Irc(host="irc.test"), sines.conductor.metrics)
    room.state.refused("a wrong password")
    sines.conductor.doors.append(room)
    with page_of(browser, expected=NOT_YET, viewport={"width": 320, "height": 640}, has_touch=True) as page:
        open_dock(page, sines, "phone")
        page.click("#language")
        expect(page.locator("#panic span")).to_have_text("静音")
        expect(page.locator("#doors li")).to_have_text(["IRC被拒绝a wrong password"])
        page.click("summary")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        heights = page.evaluate(
            "[...document.querySelectorAll('button, input, select')].map((each) => each.offsetHeight).filter(Boolean)"
        )
        assert min(heights) >= 40, heights
