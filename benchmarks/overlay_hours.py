"""Does an overlay play for hours without a gap, come back from everything, and stay as small as it was?

Two overlay pages in a real Chromium, one over WebRTC and one over WebSockets, reach the server through a proxy of this
benchmark. In the first fifth of the time, faults: the engines are killed, the network cut for some seconds, the server
ended and started again, killed and started again, the station deleted (the pages open it again). The rest is
undisturbed. What each page lets be heard, the live sound and the bed that bridges it, is tapped in its own audio graph:
a gap is 20 ms or more below -80 dBFS. Told are `unplanned` gaps, those of the undisturbed hours; of each kind of fault
how often it struck, how long until the live sound was there again (`back_s`) and the longest silence (`silence_ms`);
samples that WebRTC made up in the undisturbed hours; and by how much memory grows an hour, as a line through its
samples there, of the pages (their heaps, collected every five minutes; their processes) and of the server. A page
collects its own: the debugger's collection may never answer on a busy machine.

`python -m benchmarks.overlay_hours [HOURS [EVERY_S]]`; a twentieth of an hour is enough to see that it works.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from playwright.sync_api import Browser, Page

from benchmarks.harness import Server, record, running_server
from benchmarks.memory import own_mb
from tests.browser.chromium import open_browser

HOURS, FAULT_EVERY_S, LOOK_EVERY_S = 2.0, 45.0, 10.0
FAULTY_SHARE = 0.2
SETTLE_S = 8.0
"""After a fault that was survived; what sounds in that time still belongs to it."""
HEAP_EVERY_S = 300.0
WARM_SHARE = 0.1
"""Of the undisturbed time, for caches to fill, before memory counts."""
CUT_S = 5.0
PATIENCE_S = 90.0
QUIET, GAP_MS = 1e-4, 20
STATION = "soak"
TRANSPORTS = ("webrtc", "websocket")

# Taps what is heard: the live stream as loud as its element plays it, and the nodes of the page.
_LISTEN = """async ([quiet, gap_ms]) => {
  const { tapOf } = await import("/client/tap.js");
  const { music } = window.overlay;
  const { context, input, element } = music.output;
  const heard = new GainNode(context);
  const live = new GainNode(context, { gain: 0 });
  live.connect(heard);
  input.connect(heard);
  let source = null;
  const join = (node) => {
    source?.disconnect(live);
    source = node instanceof MediaStreamAudioSourceNode ? node : null;
    source?.connect(live);
  };
  music.on("node", join);
  if (element.srcObject) join(music.output.nodeOf(element.srcObject));
  setInterval(() => (live.gain.value = element.volume), 10);
  const seen = (window.seen = { gaps: [], frames: 0, breaks: 0 });
  let [silent, end] = [0, null];
  const write = (position, channels) => {
    if (end !== null && position !== end) seen.breaks++;
    end = position + channels[0].length;
    seen.frames += channels[0].length;
    for (let from = 0; from < channels[0].length; from += 128) {
      const isHeard = (wave) => wave.subarray(from, from + 128).some((sample) => Math.abs(sample) > quiet);
      const isLoud = channels.some(isHeard);
      if (!isLoud) silent += 128;
      else {
        if (silent >= 48 * gap_ms) seen.gaps.push({ end_ms: Date.now(), ms: silent / 48 });
        silent = 0;
      }
    }
  };
  await tapOf(heard, { write });
}"""

_LOOK = """async () => {
  const { music } = window.overlay;
  const { gaps, frames, breaks } = window.seen;
  let concealed = 0;
  for (const report of (await music.player.pc?.getStats())?.values() ?? []) {
    if (report.type === "inbound-rtp") concealed = report.concealedSamples;
  }
  return { phase: music.phase, bed: music.bed.isSounding, gaps: gaps.splice(0), frames, breaks, concealed };
}"""


class Proxy:
    """A TCP proxy on a port of its own, whose far end can be another server, or be cut off."""

    def __init__(self) -> None:
        self.target = 0
        self.is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def cut(self) -> None:
        """Reset every connection, and refuse others."""
        self.is_cut = True
        self._call(self._reset())

    def mend(self) -> None:
        self.is_cut = False

    async def _reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        self._writers -= {writer, far_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while some := await reader.read(1 << 16):
                writer.write(some)
                await writer.drain()
        writer.close()


class Servers:
    """One server after another, each with what the one before has kept."""

    def __init__(self, folder: str, proxy: Proxy) -> None:
        self._settings = f'stations = "{folder}"\nidle_close_s = 0\n'
        self._proxy, self._stack = proxy, ExitStack()
        self.now: Server
        self.start()

    def start(self) -> None:
        self._stack.close()
        self._stack = ExitStack()
        self.now = self._stack.enter_context(running_server(settings=self._settings))
        self._proxy.target = httpx.URL(self.now.url).port or 0

    def stop(self) -> None:
        self._stack.close()


@dataclass
class Soak:
    """One page, and what was heard of it."""

    page: Page
    gaps: list[tuple[float, float]] = field(default_factory=list)
    """When each ended, by the wall clock, and its milliseconds."""
    concealed: int = 0
    is_well: bool = False

    def look(self) -> None:
        seen = self.page.evaluate(_LOOK)
        self.gaps += [(gap["end_ms"] / 1000, gap["ms"]) for gap in seen["gaps"]]
        self.concealed = seen["concealed"]
        self.is_well = seen["phase"] == "playing" and not seen["bed"]

    def heap_mb(self) -> float:
        """Of what is still in use."""
        self.page.evaluate("gc()")
        session = self.page.context.new_cdp_session(self.page)
        used = session.send("Runtime.getHeapUsage")["usedSize"]
        session.detach()
        return used / 1e6


def renderers_mb(browser: Browser) -> float:
    """Memory of the processes that hold the pages."""
    session = browser.new_browser_cdp_session()
    told = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    pids = [each["id"] for each in told if each["type"] == "renderer"]
    return own_mb(map(psutil.Process, pids))


@contextmanager
def overlays(url: str) -> Iterator[tuple[Browser, dict[str, Soak]]]:
    with open_browser("--js-flags=--expose-gc") as browser:
        soaks = {}
        for transport in TRANSPORTS:
            page = browser.new_page(viewport={"width": 800, "height": 400})
            page.goto(f"{url}/overlay/{STATION}?audio={transport}&mood=focus")
            page.wait_for_selector("body[data-phase=playing]", timeout=1000 * PATIENCE_S)
            page.evaluate(_LISTEN, [QUIET, GAP_MS])
            soaks[transport] = Soak(page)
        yield browser, soaks


def kill_engines(servers: Servers, proxy: Proxy, soaks: dict[str, Soak]) -> None:
    for engine in servers.now.process.children():
        engine.kill()


def cut_network(servers: Servers, proxy: Proxy, soaks: dict[str, Soak]) -> None:
    """What goes by UDP past the proxy ends with its peer connection."""
    proxy.cut()
    for soak in soaks.values():
        soak.page.evaluate("window.overlay.music.player.pc?.close()")
    time.sleep(CUT_S)
    proxy.mend()


def kill_server(servers: Servers, proxy: Proxy, soaks: dict[str, Soak]) -> None:
    for process in servers.now.processes()[::-1]:
        process.kill()
    servers.start()


def restart_server(servers: Servers, proxy: Proxy, soaks: dict[str, Soak]) -> None:
    servers.start()


def delete_station(servers: Servers, proxy: Proxy, soaks: dict[str, Soak]) -> None:
    httpx.delete(f"{servers.now.url}/v1/stations/{STATION}", timeout=10).raise_for_status()


FAULTS: tuple[Callable[[Servers, Proxy, dict[str, Soak]], None], ...] = (
    kill_engines, cut_network, restart_server, kill_server, delete_station,
)  # fmt: skip


def survive(
    fault: Callable[[Servers, Proxy, dict[str, Soak]], None], servers: Servers, proxy: Proxy, soaks: dict[str, Soak]
) -> dict[str, Any]:
    """Seconds until both pages played live again, and the longest silence of each meanwhile."""
    for soak in soaks.values():
        soak.look()
    began_s, num_before = time.time(), {name: len(soak.gaps) for name, soak in soaks.items()}
    fault(servers, proxy, soaks)
    back_s: dict[str, float] = {}
    while len(back_s) < len(soaks) and time.time() < began_s + PATIENCE_S:
        time.sleep(0.1)
        for name, soak in soaks.items():
            soak.look()
            if soak.is_well and time.time() > began_s + 0.5:
                back_s.setdefault(name, round(time.time() - began_s, 1))
    time.sleep(SETTLE_S)
    told: dict[str, Any] = {}
    for name, soak in soaks.items():
        soak.look()
        silence_ms = max((ms for _, ms in soak.gaps[num_before[name] :]), default=0.0)
        told[name] = {"back_s": back_s.get(name), "silence_ms": round(silence_ms)}
    return told


def drift(samples: list[tuple[float, float]]) -> dict[str, float]:
    """Where a line through the samples begins, and by how many per cent of that it grows an hour."""
    hours, values = np.array(samples).T
    slope, begin = np.polyfit(hours - hours[0], values, 1)
    return {"mb": round(float(begin), 1), "percent_an_hour": round(100 * float(slope / begin), 2)}


def main(hours: float = HOURS, every_s: float = FAULT_EVERY_S) -> None:
    proxy = Proxy()
    with tempfile.TemporaryDirectory() as folder:
        servers = Servers(str(Path(folder) / "stations"), proxy)
        try:
            with overlays(proxy.url) as (browser, soaks):
                soak(hours, every_s, servers, proxy, browser, soaks)
        finally:
            servers.stop()


def soak(
    hours: float, every_s: float, servers: Servers, proxy: Proxy, browser: Browser, soaks: dict[str, Soak]
) -> None:
    num_faults = max(len(FAULTS), int(FAULTY_SHARE * hours * 3600 / every_s))
    faults: dict[str, list[dict[str, Any]]] = {fault.__name__: [] for fault in FAULTS}
    began_s = time.time()
    for index in range(num_faults):
        fault = FAULTS[index % len(FAULTS)]
        faults[fault.__name__].append(survive(fault, servers, proxy, soaks))
        time.sleep(max(0.0, began_s + (index + 1) * every_s - time.time()))

    for each in soaks.values():
        each.look()
    calm_s, concealed = time.time(), {name: each.concealed for name, each in soaks.items()}
    end_s = max(began_s + hours * 3600, calm_s + 6 * LOOK_EVERY_S)
    heap: list[tuple[float, float]] = []
    pages: list[tuple[float, float]] = []
    server: list[tuple[float, float]] = []
    while time.time() < end_s:
        time.sleep(LOOK_EVERY_S)
        for each in soaks.values():
            each.look()
        at_hours = (time.time() - calm_s) / 3600
        if at_hours * 3600 > WARM_SHARE * (end_s - calm_s):
            if not heap or at_hours - heap[-1][0] >= HEAP_EVERY_S / 3600:
                heap.append((at_hours, sum(each.heap_mb() for each in soaks.values())))
            pages.append((at_hours, renderers_mb(browser)))
            server.append((at_hours, own_mb(servers.now.processes())))
    heap.append(((time.time() - calm_s) / 3600, sum(each.heap_mb() for each in soaks.values())))
    frames = {name: each.page.evaluate("window.seen.breaks") for name, each in soaks.items()}
    unplanned = {name: [ms for at_s, ms in each.gaps if at_s - ms / 1000 > calm_s] for name, each in soaks.items()}
    record("overlay_hours", {
        "hours": round((time.time() - began_s) / 3600, 2), "calm_hours": round((time.time() - calm_s) / 3600, 2),
        "unplanned": {name: len(gaps) for name, gaps in unplanned.items()},
        "unplanned_ms": {name: round(max(gaps, default=0)) for name, gaps in unplanned.items()},
        "tap_breaks": frames,
        "concealed_samples": {name: each.concealed - concealed[name] for name, each in soaks.items()}["webrtc"],
        "heap": drift(heap), "pages": drift(pages), "server": drift(server),
        "faults": {name: {"times": len(told), **worst(told)} for name, told in faults.items()},
    })  # fmt: skip


def worst(told: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each page the longest way back, None where it did not come back, and the longest silence."""
    return {
        name: {
            "back_s": None if any(each[name]["back_s"] is None for each in told)
            else max(each[name]["back_s"] for each in told),
            "silence_ms": max(each[name]["silence_ms"] for each in told),
        }
        for name in TRANSPORTS
    }  # fmt: skip


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
