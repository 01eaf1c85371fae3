"""The JavaScript client in a real Chromium: what is heard, when, and what happens where the server goes away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.harness import free_port
from streaming.config import Config
from tests.browser.chromium import page_of
from tests.browser.ticks import TICK_EVERY_FRAMES
from tests.streaming.conftest import Running

pytestmark = pytest.mark.slow

GAME = Path(__file__).parents[2] / "examples" / "browser_game" / "index.html"
TRANSPORTS = ("websocket", "webrtc")
OPENING = {"mood": "epic", "seed": 0, "bpm": 200}

# A client for each transport, playing; `log` of each tells what it met.
PLAY = """async ([transports, opening]) => {
  const { Undersong } = await import("/client/undersong.js");
  window.clients = transports.map((transport) => {
    const client = new Undersong({ transport });
    client.log = [];
    for (const name of ["gone", "back"]) client.on(name, () => client.log.push(name));
    client.on("phase", () => { throw new Error("a listener has failed"); });
    client.on("bar", (bar) => client.log.push("moment_ms" in bar ? "bar of the bed" : "bar"));
    return client;
  });
  const named = (transport) => ({ ...opening, name: transport });
  await Promise.all(clients.map((client, index) => client.play(named(transports[index]))));
}"""

# Milliseconds between some ticks, as they come on the tape, and the frames that made them, by the client's clock.
TICK_ERRORS_MS = """async ([every, count]) => {
  const [client] = clients;
  const { tape } = client.bed;
  const errors_ms = [];
  let [read, last] = [tape.end, 0];
  while (errors_ms.length < count) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const begin = tape.holds(read - 2, tape.end) ? read - 2 : tape.end;
    const [samples] = tape.read(begin, tape.end);
    read = tape.end;
    for (let index = 2; index < samples.length; index++) {
      const bend = Math.abs(samples[index] - 2 * samples[index - 1] + samples[index - 2]);
      if (bend < 0.04) continue;
      const position = begin + index;
      const frame = position - 48000 * client.timeOf(0);
      if (position - last > every / 2) errors_ms.push((frame - every * Math.round(frame / every)) / 48);
      last = position;
    }
  }
  return errors_ms;
}"""

# The loudest that the page's own nodes play within half a second, in RMS.
LOUDEST = """async (index) => {
  const { context, input } = clients[index].output;
  const analyser = new AnalyserNode(context, { fftSize: 2048 });
  input.connect(analyser);
  const samples = new Float32Array(2048);
  let most = 0;
  for (const end = performance.now() + 500; performance.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    analyser.getFloatTimeDomainData(samples);
    most = Math.max(most, Math.sqrt(samples.reduce((sum, sample) => sum + sample ** 2, 0) / samples.length));
  }
  return most;
}"""

# Everything that is asked in a second of play at sixty pictures a second, and a wish that makes no sense.
ASK = """async () => {
  const [client] = clients;
  const sent = [];
  client.on("sent", (control) => sent.push(control));
  const acks = [];
  for (let count = 1; count <= 60; count++) {
    acks.push(client.steer({ energy: count / 60 }));
    await new Promise((resolve) => setTimeout(resolve, 16));
  }
  const answers = await Promise.all(acks);
  const refusal = await client.steer({ energy: 2 }).catch((error) => [error.name, error.code]);
  return [sent.map(({ set }) => set.energy), answers.map(({ type }) => type), refusal];
}"""


# Swings the lantern on the beat, just within reach, until no shade is left.
WIN = """async () => {
  while (game.shades.length) {
    const [{ x, y }] = game.shades;
    game.hero = { x: x - 1.9, y };
    if (isOnBeat()) swing();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}"""


@pytest.fixture
def ticking(tmp_path: Path) -> Iterator[Callable[[], Running]]:
    """Starts a server with ticks, always under the same address and with the same stations."""
    running: list[Running] = []
    kept = tmp_path / "stations"
    config = Config(
        port=free_port(),
        engines=1,
        generator="tests.browser.ticks:open_ticks",
        snapshot_s=0.5,
        stations=str(kept),
        origins=("null",),  # a game may be a file
    )

    def start() -> Running:
        server = Running(config)
        server.start()
        running.append(server)
        return server

    yield start
    if running:
        running[-1].stop()


def play(page: Page, server: Running, *transports: str) -> None:
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    page.goto(f"{server.address}/healthz")
    page.evaluate(PLAY, [transports, OPENING])


def test_a_frame_sounds_when_the_client_says(browser: Browser, ticking: Callable[[], Running]) -> None:
    with page_of(browser, expected="ailed", bypass_csp=True) as page:
        play(page, ticking(), "websocket")
        errors_ms = page.evaluate(TICK_ERRORS_MS, [TICK_EVERY_FRAMES, 5])
    assert abs(median(errors_ms)) < 0.1, errors_ms


@pytest.mark.long
def test_where_the_server_goes_the_last_bars_go_on_until_the_music_is_back(
    browser: Browser, ticking: Callable[[], Running]
) -> None:
    server = ticking()
    with page_of(browser, expected="ailed", bypass_csp=True) as page:
        play(page, server, *TRANSPORTS)
        stations = page.evaluate("clients.map((client) => client.station.id)")
        page.wait_for_function("clients.every(({ log }) => log.filter((word) => word === 'bar').length > 3)")
        server.stop()
        page.wait_for_function("clients.every(({ log }) => log.includes('bar of the bed'))")
        for index, transport in enumerate(TRANSPORTS):
            assert page.evaluate(LOUDEST, index) > 0.01, transport
        ticking()
        page.wait_for_function("clients.every(({ log }) => log.includes('back') && log.at(-1) === 'bar')")
        assert page.evaluate("clients.map((client) => client.station.id)") == stations


@pytest.mark.long
def test_what_is_asked_often_is_sent_seldom_and_every_wish_is_answered(
    browser: Browser, ticking: Callable[[], Running]
) -> None:
    with page_of(browser, expected="ailed", bypass_csp=True) as page:
        play(page, ticking(), "websocket")
        sent, answers, refusal = page.evaluate(ASK)
    assert len(sent) < 45 and sent[-2] == 1, sent
    assert answers == ["ack"] * 60
    assert refusal == ["Refusal", "out_of_range"]


def test_the_music_of_the_browser_game_follows_the_play(browser: Browser, ticking: Callable[[], Running]) -> None:
    server = ticking()
    with page_of(browser) as page:
        page.goto(f"{GAME.as_uri()}?server={server.address}/")  # a page of no origin at all
        page.click("#start")
        page.wait_for_function("game.shades.length > 0")
        page.evaluate("game.hero = { x: game.shades[0].x - 4, y: game.shades[0].y }")
        expect(page.locator("#said")).to_have_text("♪ combat")
        page.evaluate(WIN)
        expect(page.locator("#said")).to_have_text("♪ victory")
