"""Open Sound Control: what arrives is a control like any other, what sounds is told when it sounds."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import build_msg
from pythonosc.osc_packet import OscPacket

from moods.errors import BadControl
from streaming.config import Config
from streaming.errors import PortUnavailable
from streaming.transports import osc
from streaming.transports.osc import OscDoor, parse_message, read_message, split_datagram
from streaming.transports.settings import Osc
from tests.streaming.conftest import SINES, Running
from tests.streaming.test_engines import wait_until


@pytest.mark.parametrize(
    ("address", "arguments", "control"),
    [
        ("/undersong/s/steer/energy", [0.8], {"type": "steer", "set": {"energy": 0.8}}),
        ("/undersong/s/steer/mood/", ["epic", "2 bars"], {"type": "steer", "set": {"mood": "epic"}, "over": "2 bars"}),
        ("/undersong/s/layer/drums", ["mute"], {"type": "steer", "set": {"layers": {"drums": "mute"}}}),
        ("/undersong/s/parameter/danger", [0.7], {"type": "parameter", "set": {"danger": 0.7}}),
        ("/undersong/s/state", ["combat", "bar"], {"type": "state", "name": "combat", "at": "bar"}),
        ("/undersong/s/state/combat", [1.0], {"type": "state", "name": "combat"}),
        ("/undersong/s/state/combat", [0.0], None),
        ("/undersong/s/hit", [], {"type": "hit"}),
        ("/undersong/s/hit", [0.5, "now"], {"type": "hit", "strength": 0.5, "at": "now"}),
        ("/undersong/s/hit", [0.0], None),
        ("/undersong/s/stinger/reveal", [], {"type": "stinger", "name": "reveal"}),
        ("/undersong/s/section/go/B", [True], {"type": "section", "do": "go", "to": "B"}),
        ("/undersong/s/transport/pause", [1], {"type": "transport", "do": "pause"}),
        ("/undersong/s/transport/slow", [1.0, 2.0], {"type": "transport", "do": "slow", "rate": 1.0, "over": 2.0}),
        ("/undersong/s/duck", [-9, 0.2], {"type": "duck", "gain_db": -9, "over": 0.2}),
        ("/undersong/s/duck", [0], {"type": "duck", "gain_db": 0}),
        ("/undersong/s/volume", [0, 0.5], {"type": "volume", "gain_db": 0, "over": 0.5}),
        ("/undersong/s/panic", [1], {"type": "panic"}),
        ("/undersong/s/control", ['{"type":"cancel","id":"c"}'], {"type": "cancel", "id": "c"}),
    ],
)
def test_a_message_is_a_control(address: str, arguments: list[Any], control: dict[str, Any] | None) -> None:
    assert read_message(address, arguments) == ("s", control)


@pytest.mark.parametrize(
    ("address", "arguments"),
    [
        ("/undersong/s", []),
        ("/music/s/hit", []),
        ("/undersong/s/dance", []),
        ("/undersong/s/steer", [0.5]),
        ("/undersong/s/steer/energy", []),
        ("/undersong/s/steer/energy", [b"blob"]),
        ("/undersong/s/parameter/danger", [1, 2]),
        ("/undersong/s/panic", [1, 2]),
        ("/undersong/s/control", [1]),
    ],
)
def test_what_is_no_control_is_refused_with_the_way_out(address: str, arguments: list[Any]) -> None:
    with pytest.raises(BadControl, match="expected"):
        read_message(address, arguments)


def bundle(due_s: float, *messages: bytes) -> bytes:
    head = OscBundleBuilder(due_s).build().dgram  # type: ignore[arg-type]  # seconds
    return head + b"".join(len(message).to_bytes(4, "big") + message for message in messages)


HIT, PANIC = (build_msg(f"/undersong/s/{kind}", []).dgram for kind in ("hit", "panic"))


def test_a_bundle_is_its_messages_in_their_order_each_at_its_own_time() -> None:
    later = bundle(2e9, PANIC, HIT)
    assert split_datagram(HIT) == {0: [HIT]}
    assert split_datagram(bundle(1e9, HIT, later, PANIC)) == {1e9: [HIT, PANIC], 2e9: [PANIC, HIT]}
    assert parse_message(build_msg("/a", [1, 0.5, "x", True, None]).dgram) == ("/a", [1, 0.5, "x", True, None])


@pytest.mark.parametrize(
    "datagram",
    [
        b"#bundle\0" + bytes(8) + (-4).to_bytes(4, "big", signed=True),
        b"#bundle\0" + bytes(8) + bytes(4),
        b"#bundle\0" + bytes(8) + (99).to_bytes(4, "big") + HIT,
        bundle(0, *[HIT] * 1000),
        b"/undersong/s/hit\0\0\0\0," + b"z" * 2000 + bytes(3),
        b"/undersong/s/hit\0\0\0\0," + b"[" * 2000 + b"]" * 2000 + bytes(3),
        b"/undersong/s/hit",
        b"",
    ],
)
def test_a_datagram_that_would_take_long_is_refused_before_it_does(
    datagram: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BadControl):
        for part in split_datagram(datagram)[0]:
            parse_message(part)
    assert not caplog.records


@dataclass
class Console:
    """Somebody else's program: sends and receives datagrams."""

    server: Running
    address: tuple[str, int]
    ear: socket.socket

    def send(self, address: str, *arguments: Any) -> None:
        self.send_bytes(build_msg(address, list(arguments)).dgram)

    def send_bytes(self, datagram: bytes) -> None:
        self.ear.sendto(datagram, self.address)

    def hear(self, *kinds: str) -> tuple[str, list[Any], float]:
        """The next message of one of these kinds: its kind, its arguments, and the time that it names."""
        for _ in range(200):
            ((due_s, message),) = OscPacket(self.ear.recv(4096)).messages
            kind = message.address.rpartition("/")[2]
            if kind in kinds:
                return kind, list(message.params), due_s
        raise AssertionError(f"no {kinds}")


@pytest.fixture
def console(server: Running, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Console]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free, socket.socket(type=socket.SOCK_DGRAM) as ear:
        free.bind(("127.0.0.1", 0))
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(10)
        port = free.getsockname()[1]
        free.close()
        osc = Osc(port=port, targets=[f"127.0.0.1:{ear.getsockname()[1]}"], ahead_ms=getattr(request, "param", 0.0))
        monkeypatch.setattr(server.conductor, "config", SINES.model_copy(update={"osc": osc}))
        door = server.call(OscDoor(server.conductor).__aenter__())
        yield Console(server, ("127.0.0.1", port), ear)
        server.call(door.__aexit__())


def test_messages_steer_a_station_by_its_name(server: Running, console: Console) -> None:
    station = server.open(name="stage", bpm=240)
    console.send("/undersong/stage/steer/energy", 0.25)
    console.send("/undersong/*/stinger/reveal", 1.0)
    inside = server.conductor.stations[station["id"]]
    wait_until(lambda: len(inside.log) == 2)
    assert [entry.control.type for entry in inside.log] == ["steer", "stinger"]
    assert inside.log[0].control.set.energy == 0.25


def test_nonsense_is_told_in_one_line_and_harms_nobody(
    server: Running, console: Console, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    station = server.open(name="stage")
    for number in range(100):
        console.send_bytes(b"#bundle\0" + bytes([number]) * number)
    console.send("/undersong/nowhere/hit")
    console.send("/undersong/stage/steer/energy", 7.0)
    console.send("/undersong/stage/control", '{"type":"duck","gain_db":' + "[" * 700 + "]" * 700 + "}")
    console.send_bytes(bytes(20_000))
    console.send("/undersong/stage/hit")
    wait_until(lambda: len(server.conductor.stations[station["id"]].log) == 1)
    refused = [record for record in caplog.records if record.message == "OSC message refused"]
    assert 1 <= len(refused) <= 3


@pytest.mark.parametrize("wait_s", [0, 30])
async def test_a_bundle_counts_as_what_it_holds_and_only_so_many_wait(
    wait_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(osc.time, "monotonic", lambda: 0.0)
    bundle = OscBundleBuilder(osc.time.time() + wait_s if wait_s else IMMEDIATELY)
    for _ in range(200):
        bundle.add_content(build_msg("/undersong/s/hit", []))
    conductor: Any = SimpleNamespace(config=Config(), station=lambda name: SimpleNamespace(id=name))
    ear, datagram, later = osc._Ear(conductor), bundle.build().dgram, []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda *arguments: later.append(arguments))
    for _ in range(20):
        ear.datagram_received(datagram, ("127.0.0.1", 9))
    waiting = [len(line._waiting) for line in ear._lines.values()]
    assert (len(later), waiting) == ((2, []) if wait_s else (0, [512]))
    assert not ear._bucket.take(0.0, 200)


async def test_a_station_that_does_not_answer_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    class Slow:
        def __init__(self, conductor: Any, station: Any, answer: Any, may_steer: bool) -> None:
            self.station = station

        async def take(self, control: Any) -> None:
            await heard.put((self.station.id, control["type"]))
            if self.station.id == "a":
                await asyncio.Event().wait()

    monkeypatch.setattr(osc, "Hearing", Slow)
    conductor: Any = SimpleNamespace(station=lambda name: SimpleNamespace(id=name))
    ear = osc._Ear(conductor)
    for address in ("a/hit", "a/panic", "b/hit", "b/panic"):
        ear.datagram_received(build_msg(f"/undersong/{address}", []).dgram, ("127.0.0.1", 9))
    assert [await heard.get() for _ in range(3)] == [("a", "hit"), ("b", "hit"), ("b", "panic")]
    for task in osc._Line._running:
        task.cancel()


def test_beats_bars_sections_and_markers_are_told_as_they_sound(server: Running, console: Console) -> None:
    station = server.open(name="stage", bpm=240)
    inside = server.conductor.stations[station["id"]]
    beats: list[tuple[int, int]] = []
    while len(beats) < 3:
        _, (bar, beat, bpm), _ = console.hear("beat")
        (told,) = [each for each in inside._beats if (each["bar"], each["beat"]) == (bar, beat)]
        assert inside.frame >= told["frame"] - 48  # not before it sounds
        assert bpm == pytest.approx(240)
        beats.append((bar, beat))
    numbers = [4 * bar + beat for bar, beat in beats]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    console.send("/undersong/stage/hit", 0.5, "bar")
    heard = {kind: words for kind, words, _ in (console.hear("bar", "marker") for _ in range(4))}
    assert heard["marker"][0] == "hit" and heard["marker"][1] == pytest.approx(0.5)
    assert len(heard["bar"]) == 2


def test_a_pause_takes_back_what_was_to_be_told(server: Running, console: Console) -> None:
    station = server.open(name="stage", bpm=240)
    console.hear("beat")
    console.send("/undersong/stage/transport/pause", 1)
    wait_until(lambda: server.http.get(station["links"]["self"]).json()["state"] == "paused")
    console.ear.settimeout(0.6)
    with pytest.raises(TimeoutError):  # two beats and more
        for _ in range(4):
            console.ear.recv(4096)


@pytest.mark.parametrize("console", [100.0], indirect=True)
def test_what_is_told_ahead_names_the_time_of_its_sound(server: Running, console: Console) -> None:
    server.open(name="stage", bpm=240)
    console.hear("beat")
    due_s = [console.hear("beat")[2] for _ in range(3)]
    assert [later - earlier for earlier, later in zip(due_s, due_s[1:], strict=False)] == pytest.approx(
        [0.25] * 2, abs=0.01
    )
    assert abs(due_s[-1] - time.time()) < 5


def test_who_is_told_keeps_no_station_awake(server: Running, console: Console) -> None:
    station = server.open(name="stage", bpm=240)
    console.hear("beat")
    assert server.conductor.stations[station["id"]].is_idle


def test_a_port_that_is_taken_is_named(server: Running, console: Console) -> None:
    with pytest.raises(PortUnavailable, match=r"cannot listen for OSC on 127.0.0.1:\d+: .*; choose another port"):
        server.call(OscDoor(server.conductor).__aenter__())
