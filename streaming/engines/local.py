"""An engine on this machine: a process of ours, a pipe to it, and a ring of blocks for each of its stations.

In: requests; out: reports, blocks. Remembers the process and the rings. Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from engine.config import SPARE_CODE_FOLDER
from streaming.children import Child, ChildProcess, remove_folders
from streaming.config import Config
from streaming.engines.link import Link, Owner
from streaming.engines.ring import RING_BYTES, Chunk, Ring
from streaming.engines.snapshots import maker_of, num_controls_in
from streaming.engines.wire import Ready, Report, Request
from streaming.errors import EngineUnavailable
from streaming.scratch import (
    SHARED_MEMORY,
    make_private_folder,
    partial_path,
    remove_kept,
    ring_path,
    roomy_folder,
    sleeper_path,
    snapshot_path,
    temporary_folder,
)

_GOODBYE_S = 2.0
_SNAPSHOT_BYTES = 2_800_000
"""About what is kept of a station, for its engine's death or while it sleeps."""


class _Child(Child):
    """An engine process that has been started and told its settings. Raises OSError where none can be had."""

    def __init__(self, config: Config, runtime_folder: Path, sleepers_folder: Path) -> None:
        self.config, self.runtime_folder, self.sleepers_folder = config, runtime_folder, sleepers_folder
        self.passing = _passing(config, runtime_folder, sleepers_folder)
        super().__init__(
            "streaming.engines.process:main",
            {SPARE_CODE_FOLDER: str(runtime_folder / "code")},
            (config, runtime_folder, sleepers_folder, self.passing, os.getpid()),
        )


_ahead: _Child | None = None


def start_ahead(config: Config) -> None:
    """Start the first engine before there is a loop: it loads while the server process imports its web server."""
    global _ahead
    _ahead = _Child(config, _make_runtime_folder(config), _make_sleepers_folder(config))


def abandon_ahead() -> None:
    """End the engine that was started ahead if no link has taken it, and leave nothing of it."""
    global _ahead
    if _ahead is None:
        return
    child, _ahead = _ahead, None
    child.abandon()
    remove_folders(*child.passing)


def _take_ahead(config: Config) -> _Child | None:
    global _ahead
    if _ahead is None or _ahead.config is not config:
        return None
    child, _ahead = _ahead, None
    return child


def _make_runtime_folder(config: Config) -> Path:
    """A new folder for rings and snapshots. Raises `OSError` where there is none."""
    # Each station has a ring and what is kept of it; what is kept anew stands beside the old one for a moment.
    num_bytes = config.max_playing * (RING_BYTES + _SNAPSHOT_BYTES) + _SNAPSHOT_BYTES
    return _make_folder(roomy_folder(num_bytes, SHARED_MEMORY, temporary_folder()))


def _make_sleepers_folder(config: Config) -> Path:
    """A folder for stations that sleep: that of the settings where it can be had, or else a new one, on a disk if there
    is room. Raises `OSError` where there is none."""
    if (lasting := config.stations_folder) is not None:
        with contextlib.suppress(OSError):  # whoever keeps the stations says why it cannot be had
            make_private_folder(lasting)
            return lasting
    return _make_folder(roomy_folder(config.max_stations * _SNAPSHOT_BYTES, temporary_folder(), SHARED_MEMORY))


def _passing(config: Config, *folders: Path) -> list[Path]:
    """Those of `folders` that go with the server."""
    return [folder for folder in folders if folder != config.stations_folder]


def _make_folder(place: Path) -> Path:
    """A new folder that tells whose it is."""
    return Path(tempfile.mkdtemp(prefix=f"undersong-{os.getpid()}-", dir=place))


class LocalEngines:
    """Leads to engines of this machine: a station that one of them has put to sleep any of them can wake.

    Raises `OSError` where no folder can be made for those that sleep.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._ahead = config, _take_ahead(config)
        ahead = self._ahead
        self._sleepers_folder = _make_sleepers_folder(config) if ahead is None else ahead.sleepers_folder
        # Whoever cleans up temporary files that nobody has touched for long leaves alone what is locked.
        self._lock = contextlib.ExitStack()
        folder = os.open(self._sleepers_folder, os.O_RDONLY | os.O_DIRECTORY)
        self._lock.callback(os.close, folder)
        fcntl.flock(folder, fcntl.LOCK_SH)

    def link(self, name: str, owner: Owner) -> LocalEngine:
        """Raises `OSError` where no folder can be made for its rings."""
        ahead, self._ahead = self._ahead, None
        return LocalEngine(name, owner, self._sleepers_folder, ahead)

    def close(self) -> None:
        remove_folders(*_passing(self._config, self._sleepers_folder))
        self._lock.close()


class LocalEngine(Link):
    """An engine process, its pipe and its stations' rings."""

    def __init__(self, name: str, owner: Owner, sleepers_folder: Path, ahead: _Child | None) -> None:
        """`ahead` is the process if it has been started. Raises `OSError` where no folder can be made for the rings."""
        super().__init__(name, owner)
        self._folder = _make_runtime_folder(self._config) if ahead is None else ahead.runtime_folder
        self._sleepers_folder, self._ahead = sleepers_folder, ahead
        self._process: ChildProcess | None = None
        self._is_working = False
        self._rings: dict[str, Ring] = {}

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._process is None else self._process.pid

    async def stop(self) -> None:
        await super().stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def read(self, station_id: str, block: int) -> Chunk | None:
        return self._rings[station_id].read(block)

    def _begin(self) -> None:
        child, self._ahead = self._ahead or self._start_child(), None
        self._is_working = False
        self._process = ChildProcess(child, self._on_report, self._on_exit)

    def _start_child(self) -> _Child:
        return _Child(self._config, self._folder, self._sleepers_folder)

    def _on_report(self, process: ChildProcess, report: Report, sent_s: float) -> None:
        if process is self._process:
            self._is_working = self._is_working or isinstance(report, Ready)
            self._hear(report, sent_s)

    def _on_exit(self, process: ChildProcess) -> None:
        if process is self._process:
            self._on_end()

    def _transmit(self, request: Request, sent_s: float) -> None:
        if self._process is not None:
            self._process.send(request, sent_s)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(process.stop, _GOODBYE_S if self._is_working else 0.0)

    def _make_room(self, station_id: str) -> None:
        try:
            self._rings[station_id] = Ring(ring_path(self._folder, station_id), create=True)
        except OSError as error:
            raise EngineUnavailable(f"no room for another station in {self._folder}: {error.strerror}") from error

    def _free_room(self, station_id: str) -> None:
        self._rings.pop(station_id).close()
        ring_path(self._folder, station_id).unlink(missing_ok=True)
        kept_path = snapshot_path(self._folder, station_id)
        kept_path.unlink(missing_ok=True)
        if not self.is_ready:  # an engine that is there does it itself when it has done writing
            remove_kept(kept_path)

    def has_kept(self, station_id: str) -> bool:
        return sleeper_path(self._sleepers_folder, station_id).exists()

    def copy_sleeper(self, station_id: str, copy_id: str) -> None:
        path = sleeper_path(self._sleepers_folder, copy_id)
        shutil.copyfile(sleeper_path(self._sleepers_folder, station_id), partial_path(path))
        os.replace(partial_path(path), path)

    def num_controls_kept(self, station_id: str) -> int:
        assert self.traits is not None, "an engine has been ready"
        return num_controls_in(sleeper_path(self._sleepers_folder, station_id), maker_of(self.traits))

    def forget(self, station_id: str) -> None:
        remove_kept(sleeper_path(self._sleepers_folder, station_id))
