"""Stations outlast their server: whatever moment it ends at, the next one has them with the same music from there."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.take import Entry, Skip
from moods.control import parse_control
from moods.controller import Controller
from moods.opening import parse_opening
from streaming import keeping
from streaming.config import Config
from streaming.engines.snapshots import num_controls_in, read_snapshot, write_snapshot
from streaming.engines.told import mood_message
from streaming.errors import BadConfig, EngineUnavailable
from streaming.keeping import VERSION, Record, Records
from streaming.messages import Place, Playing
from streaming.scratch import sleeper_path
from tests.streaming.conftest import SINES, Running, dial
from tests.streaming.test_engines import wait_until
from tests.streaming.test_live import read_pcm
from tests.streaming.test_sleep import hear_on, inside, steer

Start = Callable[..., Running]


@pytest.fixture
def start() -> Any:
    """Servers that are over when the test is; the name says whose folder each has."""
    running: list[Running] = []

    def begin(folder: Path, **settings: Any) -> Running:
        server = Running(SINES.model_copy(update={"stations": str(folder), "snapshot_s": 0.1} | settings))
        server.start()
        running.append(server)
        return server

    def end(server: Running) -> None:
        running.remove(server)
        server.stop()

    begin.end = end  # type: ignore[attr-defined]
    yield begin
    for server in running:
        server.stop()


def copied(folder: Path, name: str) -> Path:
    """What a server leaves that is killed at this moment."""
    return shutil.copytree(folder, folder.parent / name)


def make_strange(path: Path) -> None:
    """Have a snapshot be another Undersong's, which cannot be gone on with: the music is made anew."""
    content = bytearray(path.read_bytes())
    content[30] ^= 1
    path.write_bytes(content)


def test_stations_are_back_at_their_frame_however_the_server_ended(start: Any, tmp_path: Path) -> None:
    folder = tmp_path / "ended"
    server: Running = start(folder)
    station, other = server.open(energy=0.5, name="desk"), server.open(seed=2)
    with dial(server.ws(station["links"]["audio"])) as audio:
        audio.recv(10)
        steer(server, station, 0.9)
        read_pcm(audio, 20)
        wait_until(lambda: sleeper_path(folder, station["id"]).exists())
        steer(server, station, 0.2)
        server.http.patch(station["links"]["self"], json={"name": "stage"})
        wait_until(lambda: b"stage" in (folder / f"{station['id']}.jsonl").read_bytes())
        read_pcm(audio, 20)
        begun_frame = server.http.get(station["links"]["self"]).json()["position"]["frame"]
        wait_until(lambda: json.loads((folder / f"{station['id']}.at").read_text())["block"] * 960 > begun_frame)
        killed = copied(folder, "killed")
        killed_frame = server.http.get(station["links"]["self"]).json()["position"]["frame"]
        start.end(server)
    make_strange(sleeper_path(killed, other["id"]))
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    ended_frame = json.loads((folder / f"{station['id']}.at").read_text())["block"] * 960
    assert ended_frame >= killed_frame

    for each, frame in ((folder, ended_frame), (killed, begun_frame)):
        again: Running = start(each)
        states = {state["id"]: state for state in again.http.get("/v1/stations").json()["stations"]}
        assert set(states) == {station["id"], other["id"]}
        assert states[other["id"]]["state"] == "asleep"
        wait_until(lambda again=again: not inside(again, station).is_asleep)  # somebody was listening
        state = again.http.get("/v1/stations/stage").json()
        assert (state["id"], state["seed"], state["heading"]["energy"]) == (station["id"], 1, 0.2)
        assert state["position"]["frame"] >= frame
        assert inside(again, station).first_block * 960 >= frame
        assert [entry.index for entry in inside(again, station).log] == [0, 1]
        num_kept = [
            again.conductor.sleeping.num_kept_controls(inside(again, each_one)) for each_one in (station, other)
        ]
        assert num_kept[0] in ([2] if each == folder else [0, 1, 2])  # the engine is told only what came later
        assert num_kept[1] == 0
        hear_on(again, station, 25)
        steer(again, other, 0.3)
        assert not inside(again, other).num_underruns and inside(again, other).first_block > 0
        hear_on(again, other, 25)
        start.end(again)


def test_a_server_that_ends_opens_nothing_more_and_ends_whatever_happens_meanwhile(start: Any, tmp_path: Path) -> None:
    folder = tmp_path / "ended"
    server: Running = start(folder)
    conductor, closed, kept = server.conductor, server.open(), server.open(seed=2)

    async def end() -> None:
        ending = asyncio.create_task(conductor.stop())
        await asyncio.sleep(0)
        with pytest.raises(EngineUnavailable, match="is ending"):
            await conductor.open_station(parse_opening({}))
        with pytest.raises(EngineUnavailable, match="is ending"):
            await conductor.control(conductor.stations[kept["id"]], parse_control(STEER))
        conductor.close_station(conductor.stations[closed["id"]])
        await ending

    server.call(end())
    assert not conductor.stations and not any(engine.is_ready for engine in server.engines)
    assert [record.id for record in written(folder)] == [kept["id"]]


def test_a_station_whose_oldest_controls_are_forgotten_begins_anew_where_nothing_kept_of_it_is_of_use(
    start: Any, tmp_path: Path
) -> None:
    server: Running = start(tmp_path)
    station = server.open(energy=0.5)
    steer(server, station, 0.9)
    start.end(server)
    record = tmp_path / f"{station['id']}.jsonl"
    record.write_text(record.read_text().replace('"index": 0', '"index": 7'))
    make_strange(sleeper_path(tmp_path, station["id"]))
    again: Running = start(tmp_path)
    steer(again, station, 0.3)
    assert [entry.index for entry in inside(again, station).log] == [7, 8]
    assert again.http.get(station["links"]["self"]).json()["heading"]["energy"] == 0.3


def test_a_folder_has_one_server_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "stations"
    first = Records(folder)
    with pytest.raises(BadConfig, match="another server uses"):
        Records(folder)
    asyncio.run(first.close())
    asyncio.run(Records(folder).close())


_MOOD = mood_message(Controller(parse_opening({"mood": "epic"}), 1).intent(0))
PLAYING = Playing(
    state="paused", mood=_MOOD, heading=_MOOD, pending=[], volume_db=0.0, target_lufs=-16.0,
    position=Place(frame=96_000, seconds=2.0, bar=2, beat=1, bpm=80.0),
)  # fmt: skip
STEER = {"type": "steer", "set": {"mood": "epic"}, "at": "bar", "id": "é"}


def written(folder: Path) -> list[Record]:
    """What a next server has, with this process's own lock given back."""

    async def load() -> list[Record]:
        records = Records(folder)
        loaded = await records.load()
        await records.close()
        return loaded

    return asyncio.run(load())


def write(folder: Path, station_id: str = "a", num_controls: int = 3) -> None:
    records = Records(folder)
    records.begin(station_id, parse_opening({"mood": "夜晚", "name": "desk"}), 7)
    for index in range(num_controls):
        records.add(station_id, Entry(index, 10 * index, parse_control(STEER)))
    records.place(station_id, 100, PLAYING, is_heard=True)
    asyncio.run(records.close())


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path)
    (record,) = written(tmp_path)
    assert (record.id, record.name, record.seed, record.block, record.is_heard) == ("a", "desk", 7, 100, True)
    assert (record.opening, record.playing) == (parse_opening({"mood": "夜晚"}), PLAYING)
    entries = [(entry.index, entry.block, entry.control) for entry in record.entries]
    assert entries == [(index, 10 * index, parse_control(STEER)) for index in range(3)]


def test_a_snapshot_says_how_many_controls_it_holds_to_whom_can_go_on_with_it(tmp_path: Path) -> None:
    path, maker = tmp_path / "a.asleep", 32 * b"m"
    assert num_controls_in(path, maker) == 0
    write_snapshot(path, {"any": 1}, maker, 3)
    assert (num_controls_in(path, maker), num_controls_in(path, 32 * b"o")) == (3, 0)
    assert read_snapshot(path, maker) == {"any": 1}
    path.write_bytes(path.read_bytes()[:54])
    assert num_controls_in(path, maker) == 0


def test_how_it_played_in_other_words_does_not_lose_a_station(tmp_path: Path) -> None:
    write(tmp_path)
    place = tmp_path / "a.at"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"playing": {"state": "dancing"}}))
    (record,) = written(tmp_path)
    assert (record.block, record.playing["state"], record.playing["position"]["bar"]) == (100, "playing", 1)


def test_a_record_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MAX_LOG", 20)
    for first in (0, 100):
        records = Records(tmp_path)
        assert len(asyncio.run(records.load())) == first // 100
        if not first:
            records.begin("a", parse_opening({}), 7)
            records.rename("a", "desk")
        for index in range(first, first + 100):
            records.add("a", Entry(index, index, parse_control(STEER)))
        asyncio.run(records.close())
        assert (tmp_path / "a.jsonl").read_bytes().count(b"\n") <= 23
        (record,) = written(tmp_path)
        assert [entry.index for entry in record.entries] == list(range(first + 80, first + 100))
        assert (record.name, record.seed) == ("desk", 7)
    assert oct((tmp_path / "a.jsonl").stat().st_mode & 0o777) == "0o600"


def test_a_record_that_cannot_be_written_anew_is_left_whole_and_not_tried_with_each_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MAX_LOG", 20)
    attempts = []

    def refuse(path: Path) -> Any:
        attempts.append(path)
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    records = Records(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(keeping, "open_private", refuse)
        records.begin("a", parse_opening({}), 7, [Entry(index, index, parse_control(STEER)) for index in range(40)])
        asyncio.run(records.close())
    assert len(attempts) < 10 and not attempts[0].exists()
    assert [entry.index for entry in written(tmp_path)[0].entries] == list(range(20, 40))


def test_what_there_was_no_room_for_leaves_no_gap(tmp_path: Path) -> None:
    write(tmp_path)
    records = Records(tmp_path)
    for index in (8, 9):
        records.add("a", Entry(index, 100, parse_control(STEER)))
    asyncio.run(records.close())
    assert [entry.index for entry in written(tmp_path)[0].entries] == [8, 9]


def test_a_slow_disk_gets_the_newest_place_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    write(tmp_path)
    records, is_quick = Records(tmp_path), threading.Event()
    records._thread.submit(is_quick.wait)
    for block in range(1000):
        records.place("a", block, PLAYING, is_heard=False)
        records.sync()
    num_waiting = records._thread._work_queue.qsize()
    is_quick.set()
    asyncio.run(records.close())
    assert num_waiting <= 3 and written(tmp_path)[0].block == 999


def test_what_was_left_out_takes_the_place_of_what_was_to_be_done(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.begin("a", parse_opening({}), 7)
    for entry in (Entry(0, 1, parse_control(STEER)), Entry(1, 2, parse_control(STEER)), Entry(1, 9, Skip(5))):
        records.add("a", entry)
    records.rename("a", "stage")
    asyncio.run(records.close())
    (record,) = written(tmp_path)
    assert ([entry.index for entry in record.entries], record.entries[1].control) == ([0, 1], Skip(5))
    assert (record.name, record.block) == ("stage", 9)


def test_a_server_killed_over_any_byte_leaves_what_it_had_written(tmp_path: Path) -> None:
    write(tmp_path)
    path, place = tmp_path / "a.jsonl", tmp_path / "a.at"
    whole, at = path.read_bytes(), place.read_bytes()
    ends = [number + 1 for number, byte in enumerate(whole) if byte == ord("\n")]
    for length in {0, 1, *(end + offset for end in ends for offset in (-1, 0, 7) if end + offset <= len(whole))}:
        path.write_bytes(whole[:length])
        place.write_bytes(at[: length % len(at)])
        loaded = written(tmp_path)
        num_lines = sum(end <= length for end in ends)
        assert [len(record.entries) for record in loaded] == ([] if num_lines == 0 else [num_lines - 1]), length
        assert path.exists() == bool(num_lines)
    records = Records(tmp_path)
    path.write_bytes(whole[:-9])
    assert len(asyncio.run(records.load())[0].entries) == 2
    records.add("a", Entry(2, 20, parse_control(STEER)))  # and goes on behind it
    asyncio.run(records.close())
    assert len(written(tmp_path)[0].entries) == 3


B = 12 * "b"


@pytest.mark.parametrize(
    ("name", "content", "detail"),
    [
        (f"{B}.jsonl", b'{"type": "station", "version": 2, "id": "b", "more": [}\n', ""),
        (f"{B}.jsonl", json.dumps({"type": "station", "version": VERSION + 1}).encode() + b"\nany\n", ""),
        (f"{B}.jsonl", b"\0" * 4096 + b"\n", ""),
        (f"{B}.jsonl", b"[]\n", ""),
        ("a.at", json.dumps({"version": VERSION + 1}).encode(), "its version is 2"),
    ],
)
def test_what_cannot_be_read_is_left_as_it_is_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, content: bytes, detail: str
) -> None:
    write(tmp_path)
    (tmp_path / name).write_bytes(content)
    (tmp_path / f"{B}.asleep").write_bytes(b"kept")
    caplog.set_level(logging.WARNING)
    assert [record.id for record in written(tmp_path)] == (["a"] if name != "a.at" else [])
    (line,) = caplog.records
    assert name.split(".")[0] in line.about["file"] and detail in line.about["detail"]  # type: ignore[attr-defined]
    assert (tmp_path / name).read_bytes() == content
    assert (tmp_path / f"{B}.asleep").exists() == name.startswith("b")


def test_a_full_disk_is_one_line_and_what_was_not_written_is_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, os_write = Records(tmp_path), os.write
    records.begin("a", parse_opening({}), 7)
    records._thread.submit(int).result()

    def write_half(file: int, content: bytes) -> int:
        if len(content) > 8:
            return os_write(file, content[:8])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "write", write_half)
        for index in range(3):
            records.add("a", Entry(index, index, parse_control(STEER)))
            records.sync()
        records._thread.submit(int).result()
        assert (tmp_path / "a.jsonl").read_bytes().count(b"\n") == 1
    records.add("a", Entry(3, 3, parse_control(STEER)))
    asyncio.run(records.close())
    assert [entry.index for entry in written(tmp_path)[0].entries] == [0, 1, 2, 3]
    assert [line.getMessage() for line in caplog.records].count(
        "stations cannot be kept on the disk: [Errno 28] No space left on device"
    ) == 1


def test_nothing_is_left_of_a_station_that_was_removed_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "film.partial").write_bytes(b"somebody else's")
    tmp_path.chmod(0o755)
    station_id = "0123456789ab"
    write(tmp_path, station_id)
    ours = [path for path in tmp_path.iterdir() if path.name != "film.partial"]
    assert {oct(path.stat().st_mode & 0o777) for path in ours} == {"0o600"}
    records = Records(tmp_path)
    records.remove(station_id)
    asyncio.run(records.close())
    (tmp_path / f"{station_id}.asleep").write_bytes(b"of a server that was killed while it closed the station")
    assert not written(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "film.partial"}
    assert oct(tmp_path.stat().st_mode & 0o777) == "0o755"


def test_each_port_has_a_folder_and_a_chosen_one_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Config().stations_folder == tmp_path / "undersong" / "stations" / "8400"
    assert Config(port=1).stations_folder != Config(port=2).stations_folder
    assert Config(port=0).stations_folder is None and Config(stations="").stations_folder is None
    assert Config(port=0, stations=str(tmp_path)).stations_folder == tmp_path
