"""What does a listener in a browser lose where the network loses packets, and what does the robust profile make of it?

A server and a Chromium are in network namespaces of their own, on the ends of a wire (`wire.py`) that drops 5 % of
all packets either way. The page plays a station by the JavaScript client in either profile; after a while to settle,
`concealed_percent` is the share of its samples that the browser had to make up for lack of a packet, by its own
statistics (`concealedSamples` of `totalSamplesReceived`), and `buffer_ms` how long a packet waited to be played.
`kbit_s` is what came over the wire. The wire without loss says what concealment this machine's own load makes.
`in_band` is what Opus' own error correction would do: the share of packets that would have it, which is none where it
codes music.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import av
import numpy as np
from playwright.sync_api import Browser

from benchmarks.harness import Server, record, running_server
from benchmarks.wire import Wire
from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE
from tests.browser.chromium import open_browser, page_of

LOSS, SECONDS, SETTLE_S = 0.05, 40.0, 6.0
PROFILES = ("plain", "robust")
_PLAY = """async ([name, profile]) => {
  const { Undersong } = await import("/client/undersong.js");
  window.music = new Undersong({ transport: "webrtc", profile });
  await window.music.play({ name });
}"""
_STATS = """async () => {
  const reports = [...(await window.music.player.pc.getStats()).values()];
  return reports.find(({ type, kind }) => type === "inbound-rtp" && kind === "audio");
}"""


def heard(server: Server, browser: Browser, wire: Wire, profile: str, loss: float, seconds: float) -> dict[str, Any]:
    wire.loss = 0.0  # while the page connects; losses then cost time, not sound
    with page_of(browser, expected="Failed to load", bypass_csp=True) as page:  # an icon; a name that is taken
        page.goto(f"{server.url}/healthz")
        page.evaluate(_PLAY, ["loss", profile])
        wire.loss = loss
        time.sleep(SETTLE_S)
        before = page.evaluate(_STATS)
        time.sleep(seconds)
        after = page.evaluate(_STATS)
        page.evaluate("() => window.music.leave()")

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    found = {
        "profile": profile,
        "loss_percent": round(100 * loss, 1),
        "concealed_percent": round(100 * grown("concealedSamples") / grown("totalSamplesReceived"), 3),
        "packets": grown("packetsReceived"),
        "lost": grown("packetsLost"),
        "asked_again": after.get("nackCount", 0),
        "copies": grown("fecPacketsReceived") + grown("packetsDiscarded"),
        "buffer_ms": round(1000 * grown("jitterBufferDelay") / max(1, grown("jitterBufferEmittedCount")), 1),
        "kbit_s": round(8 * (grown("bytesReceived") + grown("headerBytesReceived")) / 1000 / seconds, 1),
    }
    print(found, file=sys.stderr)
    return found


def in_band_share(bit_rate: int) -> float:
    """The share of packets with Opus' own error correction, which only its modes for speech have (RFC 6716, 4.2.1)."""
    codec = av.CodecContext.create("libopus", "w")
    codec.bit_rate, codec.format, codec.layout, codec.sample_rate = bit_rate, "flt", "stereo", SAMPLE_RATE
    codec.options = {"application": "audio", "fec": "1", "packet_loss": "5"}
    times = np.arange(BLOCK_FRAMES * CHANNELS) // CHANNELS / SAMPLE_RATE
    speaking = 0
    for block in range(50):
        sound = 0.3 * np.sin(2 * np.pi * 220 * (times + block / 50)) + np.random.default_rng(block).normal(
            0, 0.02, 1920
        )
        frame = av.AudioFrame.from_ndarray(sound.astype(np.float32).reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate = SAMPLE_RATE
        speaking += sum(bytes(packet)[0] >> 3 < 16 for packet in codec.encode(frame))
    return speaking / 50


def main(seconds: float = SECONDS) -> None:
    wire = Wire()
    try:
        with wire.far.inside(), running_server() as server:
            server.open_station(mood="focus", seed=1, name="loss")
            wire.forward(int(server.url.rpartition(":")[2]))
            with wire.near.inside(), open_browser() as browser:
                runs = [heard(server, browser, wire, profile, LOSS, seconds) for profile in PROFILES]
                runs += [heard(server, browser, wire, profile, 0.0, seconds / 2) for profile in PROFILES]
    finally:
        wire.close()
    in_band = {f"{bit_rate // 1000}": in_band_share(bit_rate) for bit_rate in (32_000, 96_000, 160_000)}
    record("loss", {"seconds": seconds, "runs": runs, "in_band": in_band})


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
