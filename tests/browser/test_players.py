"""WHEP players that others have written play a station, in Chromium and in Firefox."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import page_of
from tests.browser.firefox import find_firefox
from tests.browser.firefox import open_page as open_firefox
from tests.streaming.conftest import SINES, Running

pytestmark = [pytest.mark.slow, pytest.mark.long]  # npm fetches them anew

PACKAGES = {"whip-whep": "1", "@eyevinn/webrtc-player": "0.13"}

# "heard" as soon as sound that is no silence has been decoded, else what there is instead.
_HEARD = """
  const peers = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...options) {
      super(...options);
      peers.push(this);
    }
  };
  const heard = async () => {
    let report;
    for (const end = performance.now() + 20000; performance.now() < end; ) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const reports = await Promise.all(peers.map(async (peer) => [...(await peer.getStats()).values()]));
      report = reports.flat().find(({ type, kind }) => type === "inbound-rtp" && kind === "audio") ?? report;
      if (report?.packetsReceived > 50 && report.totalAudioEnergy > 0) return "heard";
    }
    return JSON.stringify(report ?? null);
  };
"""
PLAYERS = {
    "whip-whep": """async (whep) => {
  const { WHEPClient } = await import("/node_modules/whip-whep/whep.js");"""
    + _HEARD
    + """
  const pc = new RTCPeerConnection();
  const audio = new Audio();
  pc.ontrack = ({ track }) => (audio.srcObject ??= new MediaStream([track]));
  pc.addTransceiver("audio", { direction: "recvonly" });
  const client = new WHEPClient();
  await client.view(pc, whep);
  await audio.play().catch(() => {});
  const said = await heard();
  await client.stop();
  return said;
}""",
    "@eyevinn/webrtc-player": """async (whep) => {
  const { WebRTCPlayer } = await import("/player.js");"""
    + _HEARD
    + """
  const video = document.createElement("video");
  document.body.append(video);
  const player = new WebRTCPlayer({ video, type: "whep" });
  await player.load(new URL(whep));
  await video.play().catch(() => {});
  const said = await heard();
  await player.unload();
  return said;
}""",
}


@pytest.fixture(scope="module")
def sines() -> Iterator[Running]:
    server = Running(SINES)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a site that is not the server's, with both players."""
    folder = tmp_path_factory.mktemp("players")
    if shutil.which("npm") is None:
        pytest.skip("there is no npm to fetch the players with")
    names = [f"{name}@{version}" for name, version in PACKAGES.items()]
    fetched = subprocess.run(["npm", "install", "--no-audit", "--no-fund", *names, "esbuild"], cwd=folder,
                             capture_output=True, text=True)  # fmt: skip
    if fetched.returncode:
        pytest.skip(f"npm cannot fetch the players: {fetched.stderr[-200:]}")
    entry = folder / "entry.js"
    entry.write_text('export { WebRTCPlayer } from "@eyevinn/webrtc-player";\n')
    bundle = ["npx", "esbuild", entry.name, "--bundle", "--format=esm", "--outfile=player.js", "--log-level=error"]
    subprocess.run(bundle, cwd=folder, check=True)
    (folder / "index.html").write_text("<!doctype html><title>players</title><body></body>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_port}/index.html"
        site.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.mark.parametrize("player", PLAYERS)
def test_a_player_in_chromium(sines: Running, browser: Browser, foreign: str, player: str) -> None:
    with page_of(browser, expected="status") as page:  # an icon that is not there; whip-whep trickles without If-Match
        page.goto(foreign)
        assert page.evaluate(PLAYERS[player], sines.address + sines.open()["links"]["whep"]) == "heard"


@pytest.mark.skipif(not find_firefox(), reason="there is no Firefox; tests.browser.install installs one where it may")
@pytest.mark.parametrize("player", PLAYERS)
def test_a_player_in_firefox(sines: Running, foreign: str, player: str) -> None:
    with open_firefox() as page:
        page.goto(foreign)
        assert page.evaluate(PLAYERS[player], sines.address + sines.open()["links"]["whep"]) == "heard"
