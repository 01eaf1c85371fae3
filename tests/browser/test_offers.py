"""Real browsers make every kind of offer, and hear the station whichever they make."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.browser import chromium, firefox
from tests.streaming.conftest import SINES, Running

SECTIONS = (
    ["audio"],
    ["audio", "data"],
    ["audio", "audio"],
    ["data", "audio"],
    ["video", "audio"],
    ["video", "data", "audio"],
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


@pytest.mark.parametrize("open_page", [chromium.open_page, firefox.open_page], ids=["chromium", "firefox"])
def test_every_kind_of_offer_is_heard(sines: Running, open_page: Callable[[], AbstractContextManager[Any]]) -> None:
    if open_page is firefox.open_page and not firefox.find_firefox():
        pytest.skip("there is no Firefox; tests.browser.install installs one where it may")
    kinds = [*itertools.product(("balanced", "max-bundle"), SECTIONS), ("max-compat", SECTIONS[-1])]
    with open_page() as page:
        page.goto(sines.address)
        heard = page.evaluate(LISTEN, [sines.open()["links"]["whep"], kinds])
    assert {str(kind): outcome for kind, outcome in zip(kinds, heard, strict=True) if outcome != "heard"} == {}
