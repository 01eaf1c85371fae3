"""Real browsers make every kind of offer, and hear the station whichever they make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import page_of
from tests.browser.firefox import find_firefox
from tests.browser.firefox import open_page as open_firefox
from tests.streaming.conftest import SINES, Running

pytestmark = pytest.mark.slow

OFFERS = (
    ("balanced", ["audio"]),
    ("balanced", ["audio", "audio"]),
    ("balanced", ["video", "data", "audio"]),
    ("max-bundle", ["audio", "data"]),
    ("max-bundle", ["audio", "audio"]),
    ("max-bundle", ["data", "audio"]),
    ("max-bundle", ["video", "audio"]),
    ("max-bundle", ["video", "data", "audio"]),
    ("max-compat", ["video", "data", "audio"]),
)

# For every kind of offer: "heard" as soon as packets of audio come, else what was offered and answered.
LISTEN = """([whep, kinds]) => Promise.all(kinds.map(async ([bundlePolicy, sections]) => {
  const pc = new RTCPeerConnection({ bundlePolicy });
  const audio = new Audio();
  pc.ontrack = ({ track }) => {
    audio.srcObject ??= new MediaStream([track]);
    audio.play().catch(() => {});
  };
  for (const kind of sections) {
    if (kind === "data") pc.createDataChannel("live");
    else pc.addTransceiver(kind, { direction: "recvonly" });
  }
  await pc.setLocalDescription(await pc.createOffer());
  while (pc.iceGatheringState !== "complete") await new Promise((resolve) => setTimeout(resolve, 20));
  const headers = { "Content-Type": "application/sdp" };
  const response = await fetch(whep, { method: "POST", headers, body: pc.localDescription.sdp });
  const sdp = await response.text();
  if (!response.ok) return sdp;
  await pc.setRemoteDescription({ type: "answer", sdp });
  for (const end = performance.now() + 15000; performance.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const reports = [...(await pc.getStats()).values()].filter(({ type }) => type === "inbound-rtp");
    if (reports.some(({ kind, packetsReceived }) => kind === "audio" && packetsReceived > 9)) {
      pc.close();
      return "heard";
    }
  }
  return `${pc.connectionState}: ${pc.localDescription.sdp} ${sdp}`;
}))"""


@pytest.fixture(scope="module")
def sines() -> Iterator[Running]:
    server = Running(SINES)
    server.start()
    yield server
    server.stop()


def expect_all_heard(page: Any, sines: Running) -> None:
    page.goto(sines.address)
    heard = page.evaluate(LISTEN, [sines.open()["links"]["whep"], OFFERS])
    assert {str(offer): outcome for offer, outcome in zip(OFFERS, heard, strict=True) if outcome != "heard"} == {}


def test_every_kind_of_offer_of_chromium_is_heard(sines: Running, browser: Browser) -> None:
    with page_of(browser) as page:
        expect_all_heard(page, sines)


@pytest.mark.skipif(not find_firefox(), reason="there is no Firefox; tests.browser.install installs one where it may")
def test_every_kind_of_offer_of_firefox_is_heard(sines: Running) -> None:
    with open_firefox() as page:
        expect_all_heard(page, sines)


ROBUST = """async (name) => {
  const { Undersong } = await import("/client/undersong.js");
  const music = new Undersong({ transport: "webrtc", profile: "robust" });
  await music.play({ name });
  const { pc } = music.player;
  let found = null;
  while (!(found?.packetsReceived > 20)) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    found = [...(await pc.getStats()).values()].find(({ type }) => type === "inbound-rtp");
  }
  const { sdp } = pc.remoteDescription;
  music.leave();
  const copies = found.fecPacketsReceived + found.packetsDiscarded;
  return [/red\\/48000\\/2/.test(sdp), /a=rtcp-fb:\\d+ nack/.test(sdp), copies > 10];
}"""


def test_a_page_that_asks_for_it_gets_every_packet_twice_and_may_ask_again(sines: Running, browser: Browser) -> None:
    with page_of(browser, expected="Failed to load", bypass_csp=True) as page:  # an icon; a name that is taken
        page.goto(f"{sines.address}/healthz")
        sines.open(name="robust")
        assert page.evaluate(ROBUST, "robust") == [True, True, True]
