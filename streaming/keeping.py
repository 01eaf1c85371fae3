"""Stations on the disk, so that they outlast the server however it ends: by a signal, killed, or with its machine.

In: what a station was opened with, and what is done to it; out: after the next start, the same again. For each station
the folder holds a record that is added to (`ID.jsonl`: a header, then what was done to it), where it was last
(`ID.at`, replaced several times a second), and what an engine has kept of it (`ID.asleep`). Remembers what could not be
written yet. The event loop hands over; a thread of its own writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import re
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from engine.audio import BLOCK_FRAMES
from engine.take import Entry
from moods.controller import Controller
from moods.errors import shown
from moods.opening import Opening, parse_opening
from streaming.engines.told import mood_message
from streaming.errors import BadConfig
from streaming.journal import about
from streaming.messages import Place, Playing
from streaming.scratch import make_private_folder, open_private

log = logging.getLogger(__name__)

VERSION = 1
MAX_LOG = 100_000
"""So many of the things last done to a station are remembered."""
_SURPLUS = 1.1
"""A record with so many times more lines is written anew, without those that nobody remembers."""
_RECORD, _PLACE = ".jsonl", ".at"
_PARTIAL = "-partial"
_ID = re.compile(r"[0-9a-f]{12}")
"""Of a station; the folder may hold what is not ours."""
_PLAYING = TypeAdapter(Playing)


class NewerRecord(ValueError):
    """A later Undersong wrote it."""

    def __init__(self, version: object) -> None:
        super().__init__(f"its version is {shown(version)}, this Undersong reads {VERSION}")


@dataclass(frozen=True, slots=True)
class Record:
    """A station as it was when the server ended."""

    id: str
    name: str | None
    opening: Opening
    seed: int
    entries: tuple[Entry, ...]
    """What was done to it."""
    block: int
    """With which it goes on."""
    playing: Playing
    """How it played last."""
    is_heard: bool
    """Somebody was listening."""

    @classmethod
    def begun(cls, station_id: str, opening: Opening, seed: int) -> Self:
        """Of a station that nobody has heard yet."""
        return cls(station_id, opening.name, opening, seed, (), 0, _begun(opening, seed), is_heard=False)


class Records:
    """The folder of one server; without a folder nothing is kept.

    Raises OSError where it cannot be had, `BadConfig` where another server has it.
    """

    def __init__(self, folder: Path | None) -> None:
        self._lock: int | None = None
        if folder is not None:
            make_private_folder(folder)
            self._lock = _lock(folder)
        self._folder = folder or Path()
        self._thread = ThreadPoolExecutor(1, "records")
        self._unwritten: dict[str, list[str]] = {}
        """By station: lines for which there was no room."""
        self._num_lines: defaultdict[str, int] = defaultdict(int)
        """Of each record."""
        self._places: dict[str, dict[str, Any]] = {}
        """By station: where it is, as nobody has begun to write down."""
        self._places_lock = threading.Lock()
        self._syncing: Future[None] | None = None
        self._unsynced: set[str] = set()
        """Stations whose record is not yet safe from a power cut."""
        self._can_write = True
        """No attempt has failed since the last place was written; said once when that changes."""

    @property
    def are_kept(self) -> bool:
        return self._lock is not None

    async def close(self) -> None:
        """Write what is still to be written; idempotent, and nothing is kept any more."""
        self._do(self._sync)
        await asyncio.to_thread(self._thread.shutdown)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _do(self, function: Callable[..., None], *arguments: Any) -> None:
        if self.are_kept:
            self._thread.submit(function, *arguments)

    # --- writing -----------------------------------------------------------------------------------------------------

    def begin(self, station_id: str, opening: Opening, seed: int, entries: Sequence[Entry] = ()) -> None:
        """Begin a record; that of a copy with what was done to the station it is of."""
        asked = {field: value for field, value in opening.asked().items() if field not in ("seed", "name")}
        header = {"type": "station", "version": VERSION, "id": station_id, "name": opening.name, "seed": seed}
        self._append(station_id, header | {"opening": asked})
        self._do(self._write_entries, station_id, entries)
        self.sync()

    def rename(self, station_id: str, name: str | None) -> None:
        self._append(station_id, {"type": "name", "name": name})

    def add(self, station_id: str, entry: Entry) -> None:
        """Add what was done; it takes the place of all that was done from its index on."""
        self._append(station_id, _row(entry))

    def place(self, station_id: str, block: int, playing: Playing, *, is_heard: bool) -> None:
        """Say where it is now."""
        if self.are_kept:
            at = {"version": VERSION, "block": block, "is_heard": is_heard, "playing": playing}
            with self._places_lock:
                is_waiting = station_id in self._places
                self._places[station_id] = at
            if not is_waiting:  # else a slow disk gets the newest when its turn comes
                self._do(self._replace, station_id)

    def remove(self, station_id: str) -> None:
        """Forget a station, but for what an engine has kept of it."""
        self._do(self._remove, station_id)

    def sync(self) -> None:
        """Have what was written stay through a power cut."""
        if self.are_kept and (self._syncing is None or self._syncing.done()):
            self._syncing = self._thread.submit(self._sync)

    def _append(self, station_id: str, line: dict[str, Any]) -> None:
        self._do(self._write, station_id, line)

    # --- on the thread -----------------------------------------------------------------------------------------------

    def _write_entries(self, station_id: str, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._write(station_id, _row(entry))

    def _write(self, station_id: str, line: dict[str, Any]) -> None:
        lines = self._unwritten.setdefault(station_id, [])
        lines.append(json.dumps(line) + "\n")
        if len(lines) > 1:  # there was no room, and it is tried again with the next sync
            del lines[1:-MAX_LOG]
            return
        with self._complaining():
            self._write_out(station_id)

    def _write_out(self, station_id: str) -> None:
        """Raises OSError, and leaves the record without half a line."""
        with self._opened(station_id) as file:
            end = os.lseek(file, 0, os.SEEK_END)
            content = "".join(self._unwritten[station_id]).encode()
            try:
                while content:
                    content = content[os.write(file, content) :]
            except OSError:
                os.ftruncate(file, end)
                raise
        self._num_lines[station_id] += len(self._unwritten.pop(station_id))
        self._unsynced.add(station_id)
        if self._num_lines[station_id] > _SURPLUS * MAX_LOG:
            self._shorten(station_id)

    def _shorten(self, station_id: str) -> None:
        """Leave out what was done too long ago. Raises OSError, and leaves the record as it is."""
        self._num_lines[station_id] = MAX_LOG  # where there is no room it is tried again, but not with each line
        path = self._folder / f"{station_id}{_RECORD}"
        header, *lines = path.read_bytes().splitlines(keepends=True)
        name = [line for line in lines[:-MAX_LOG] if line.startswith(b'{"type": "name"')][-1:]
        kept = [header, *name, *lines[-MAX_LOG:]]
        partial = path.with_suffix(_RECORD + _PARTIAL)
        try:
            with open_private(partial) as file:
                file.writelines(kept)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        self._num_lines[station_id] = len(kept)

    def _sync(self) -> None:
        with self._complaining():
            for station_id in list(self._unwritten):
                self._write_out(station_id)
            for station_id in list(self._unsynced):
                with self._opened(station_id) as file:
                    os.fsync(file)
                self._unsynced.discard(station_id)

    @contextlib.contextmanager
    def _opened(self, station_id: str) -> Iterator[int]:
        file = os.open(self._folder / f"{station_id}{_RECORD}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            yield file
        finally:
            os.close(file)

    def _replace(self, station_id: str) -> None:
        with self._places_lock:
            at = self._places.pop(station_id)
        path = self._folder / f"{station_id}{_PLACE}"
        partial = path.with_suffix(_PLACE + _PARTIAL)
        with self._complaining():
            with open_private(partial) as file:
                file.write(json.dumps(at).encode())
            os.replace(partial, path)
            self._can_write = True

    def _remove(self, station_id: str) -> None:
        self._unwritten.pop(station_id, None)
        self._unsynced.discard(station_id)
        self._num_lines.pop(station_id, None)
        for suffix in (_RECORD, _PLACE):
            with contextlib.suppress(OSError):
                (self._folder / f"{station_id}{suffix}").unlink(missing_ok=True)

    @contextlib.contextmanager
    def _complaining(self) -> Iterator[None]:
        """The music goes on without; what has not been written is tried again."""
        try:
            yield
        except OSError as error:
            if self._can_write:
                log.warning("stations cannot be kept on the disk: %s", error)
            self._can_write = False

    # --- reading -----------------------------------------------------------------------------------------------------

    async def load(self) -> list[Record]:
        """All stations that can be read; of another is said why it cannot, and it is left as it is."""
        if not self.are_kept:
            return []
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._load)

    def _load(self) -> list[Record]:
        records = []
        for path in sorted(self._folder.glob(f"*{_RECORD}"), key=lambda path: path.stat().st_mtime):
            try:
                if (record := self._read(path)) is not None:
                    records.append(record)
            except Exception as error:  # bytes that are not as written may fail in any way
                facts = about(file=str(path), detail=str(error))
                log.warning("a station cannot be had again and is left as it is on the disk", extra=facts)
        self._sweep()
        return records

    def _read(self, path: Path) -> Record | None:
        """None for one that was just being begun. Raises whatever such a file can cause."""
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole:
            path.unlink()
            return None
        header, *rows = map(json.loads, whole.splitlines())
        if header["version"] != VERSION:
            raise NewerRecord(header["version"])
        station_id, name = header["id"], header["name"]
        if station_id != path.stem:
            raise ValueError(f"it is of the station {shown(station_id)}")
        entries: deque[Entry] = deque(maxlen=MAX_LOG)
        for row in rows:
            if row["type"] == "name":
                name = row["name"]
                continue
            while entries and entries[-1].index >= row["index"]:
                entries.pop()
            if entries and entries[-1].index != row["index"] - 1:  # there was no room for what came between
                entries.clear()
            entries.append(Entry(row["index"], row["frame"] // BLOCK_FRAMES, json.dumps(row["done"])))
        self._num_lines[station_id] = 1 + len(rows)
        if len(whole) < len(content):  # the server was killed over its last line
            os.truncate(path, len(whole))
        opening, seed = parse_opening(header["opening"]), int(header["seed"])
        at = self._read_place(path.with_suffix(_PLACE)) or {"block": 0, "playing": None, "is_heard": False}
        # What was done later than it was last seen has been acknowledged.
        block = max(int(at["block"]), entries[-1].block if entries else 0)
        playing = _read_playing(at["playing"], opening, seed)
        return Record(station_id, name, opening, seed, tuple(entries), block, playing, bool(at["is_heard"]))

    def _read_place(self, path: Path) -> dict[str, Any] | None:
        """None where a power cut has left nothing of it: what an engine has kept says where it was."""
        try:
            at: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        if at["version"] != VERSION:
            raise NewerRecord(at["version"])
        return at

    def _sweep(self) -> None:
        """Remove what belongs to no record: a server was killed while it closed a station."""
        known = {path.stem for path in self._folder.glob(f"*{_RECORD}")}
        suffixes = (_PLACE, ".asleep", ".partial", _PLACE + _PARTIAL, _RECORD + _PARTIAL)
        for path in self._folder.iterdir():
            is_ours = path.suffix in suffixes and _ID.fullmatch(path.stem) is not None
            if is_ours and path.stem not in known:
                path.unlink(missing_ok=True)


def _row(entry: Entry) -> dict[str, Any]:
    """A line of the record."""
    return {"type": "entry", "index": entry.index, "frame": entry.block * BLOCK_FRAMES, "done": entry.asked()}


def _read_playing(playing: object, opening: Opening, seed: int) -> Playing:
    """How it played; as it began where that is not told as we tell it, until an engine says better."""
    try:
        return _PLAYING.validate_python(playing)
    except ValidationError:
        return _begun(opening, seed)


def _begun(opening: Opening, seed: int) -> Playing:
    """How a station plays at its beginning."""
    begun = Controller(opening, seed).intent(0)
    mood, at_first = mood_message(begun), Place(frame=0, seconds=0.0, bar=1, beat=1, bpm=begun.bpm)
    return Playing(
        state="playing", mood=mood, heading=mood, position=at_first, pending=[], volume_db=0.0,
        target_lufs=round(begun.loudness_lufs, 1),
    )  # fmt: skip


def _lock(folder: Path) -> int:
    """Have a folder alone, until the file that is answered is closed. Raises OSError, `BadConfig`."""
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        text = f"stations is {shown(str(folder), 200)}, which another server uses; name another folder"
        raise BadConfig(text, field="stations") from None
    return file
