"""The loudspeaker: what is played, and a device that goes away, against a stand-in for PortAudio."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES
from streaming.errors import DeviceUnavailable
from streaming.transports import device


class PortAudioError(Exception):
    pass


class StandIn:
    """A device that takes a block whenever one millisecond is over, until it goes after `num_blocks`."""

    num_blocks: float = float("inf")
    refuses = False
    hangs = False
    """Neither says that it has gone nor returns from any call, as PortAudio does over a sound server that hangs."""

    def __init__(self, *arguments: object, callback: object, latency: str) -> None:
        if self.refuses:
            raise PortAudioError("Error opening OutputStream: Device unavailable")
        self._callback, self._end = callback, threading.Event()
        self.active = True
        StandIn.heard = []

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while len(self.heard) < self.num_blocks and not self._end.wait(0.001):
            out = np.ones((BLOCK_FRAMES, 2), np.float32)
            self._callback(out, BLOCK_FRAMES, None, None)
            self.heard.append(out)
        self.active = self.hangs

    def abort(self) -> None:
        if self.hangs:
            time.sleep(60)
        self._end.set()

    stop = close = abort


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StandIn]]:
    module = SimpleNamespace(OutputStream=StandIn, PortAudioError=PortAudioError, query_devices=lambda: "")
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    for name, value in {"_LOOK_S": 0.02, "_OPEN_S": 1.0, "_CLOSE_S": 0.1}.items():
        monkeypatch.setattr(device, name, value)
    for name in ("num_blocks", "refuses", "hangs"):
        monkeypatch.setattr(StandIn, name, getattr(StandIn, name))
    yield StandIn


def blocks(num_blocks: int | None = None) -> Iterator[np.ndarray]:
    for number in itertools.count(1) if num_blocks is None else range(1, num_blocks + 1):
        yield np.full((1, 2, BLOCK_FRAMES), number / 1000, np.float32)


def test_all_that_is_played_is_heard_in_order(stand_in: type[StandIn]) -> None:
    device.play(blocks(30))
    sound = np.concatenate(stand_in.heard)
    assert np.unique(sound[np.flatnonzero(sound[:, 0]), 1]) == pytest.approx(np.arange(1, 31) / 1000)


@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize("num_blocks", [0, 20], ids=["at the start", "later"])
def test_a_device_that_goes_away_is_an_error(stand_in: type[StandIn], num_blocks: int, hangs: bool) -> None:
    stand_in.num_blocks, stand_in.hangs = num_blocks, hangs
    with pytest.raises(DeviceUnavailable, match="has gone"):
        device.play(blocks())


def test_a_device_that_goes_away_before_the_last_sound_is_an_error(stand_in: type[StandIn]) -> None:
    stand_in.num_blocks = 15
    with pytest.raises(DeviceUnavailable, match="has gone"):
        device.play(blocks(20), lead_blocks=10)


def test_a_device_that_cannot_be_opened_is_an_error(stand_in: type[StandIn]) -> None:
    stand_in.refuses = True
    with pytest.raises(DeviceUnavailable, match="Device unavailable.*--list-devices"):
        device.play(blocks())


def test_a_sound_server_that_hangs_is_not_waited_for(stand_in: type[StandIn], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandIn, "start", lambda self: time.sleep(60))
    with pytest.raises(DeviceUnavailable, match="does not answer"):
        device.play(blocks())


def test_a_machine_without_devices_says_so(stand_in: type[StandIn]) -> None:
    assert device.list_devices() == "no audio devices"


def test_of_what_libraries_write_to_standard_error_nothing_is_seen() -> None:
    code = (
        "import os, sys; from streaming.transports.device import _only_our_words\n"
        "with _only_our_words():\n  os.write(2, b'ALSA lib'); print('ours', file=sys.stderr)\n"
        "os.write(2, b'after')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stderr == b"ours\nafter"
