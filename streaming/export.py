"""Music into files: generate, bring to its level, encode, and hear what a listener will hear.

In: a `RenderJob`; out: one audio file and a report. Remembers nothing between calls; the calling thread does the work.
Sound waits in a temporary file, so memory stays flat however long the piece is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from engine.audio import SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.performance import Beat, Performance, Section
from engine.render import begin, perform
from engine.take import Take
from streaming.files.errors import CannotKeep, NoRoom, UnknownFormat, naming
from streaming.files.loudness import TRUE_PEAK_DB, Level, Levelled, Loudness, level_for, measure
from streaming.files.media import FORMATS, Format, read_audio, write_audio
from streaming.files.peaks import Curved, dips, flat_curve, true_peaks_db
from streaming.files.sound import FRAME_BYTES, Sound, StoredSound
from streaming.files.target import Target
from streaming.scratch import free_bytes, roomy_folder, temporary_folder

_HIGHEST_PEAK_DB = TRUE_PEAK_DB - 0.1
"""Of a lossy file; two true-peak meters may differ by the difference."""
_SIGNALS_S = 0.25
"""How often the main thread looks whether a signal has reached another one."""
_NUM_TRIES, _STEP_DB = 6, 0.25
"""How often a lossy file is encoded again, and by how much deeper each time, until its peaks fit."""


@dataclass(frozen=True, slots=True)
class RenderJob:
    take: Take
    num_frames: int
    out: Path
    lufs: float | None  # None leaves the stream's own level
    config: EngineConfig


def format_of(path: Path) -> Format:
    """How a file of this name is written. Raises `UnknownFormat`."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise UnknownFormat(path, sorted(FORMATS)) from None


def export(job: RenderJob, on_progress: Callable[[int], None] = lambda frames: None) -> dict[str, Any]:
    """Render `job` to its file and report on it; `on_progress` is told how many frames are composed so far.

    What is wrong with the target is found before composing; a file of its own appears only when it is complete.
    Raises `ExportError`, `moods.errors.MoodsError`, `engine.errors.EngineError`.
    """
    began = time.monotonic()
    file_format = format_of(job.out)
    target = Target(job.out)
    folder = _scratch_folder(target, job.num_frames, file_format)
    with StoredSound(folder) as sound, target.open(folder) as file:
        performance = begin(open_generator(job.config), job.take)
        chart = _Chart(performance)
        frame = 0
        for block in perform(performance, job.num_frames, chart.note_next):
            sound.append(block[0].T)
            frame += block.shape[2]
            on_progress(frame)
        with naming(job.out) if target.is_replaced else naming(folder, CannotKeep):
            loudness = _undisturbed(_master, file, sound, job, file_format)
        report = {
            "out": str(job.out),
            "frames": job.num_frames,
            "padding_frames": -job.num_frames % file_format.packet_frames,
            "seconds": job.num_frames / SAMPLE_RATE,
            "seed": job.take.seed,
            **chart.facts(job.num_frames),
            "backend": job.config.backend,
            "loudness": asdict(loudness),
            "files": [str(job.out)],
        }
    return {**report, "wall_seconds": round(time.monotonic() - began, 3)}


def _scratch_folder(target: Target, num_frames: int, file_format: Format) -> Path:
    """Where the sound waits: in the folder for temporary files, or beside the target. Raises `NoRoom`."""
    sound_bytes = num_frames * FRAME_BYTES
    file_bytes = round(num_frames / SAMPLE_RATE * file_format.least_bit_rate / 8)
    if not target.is_replaced:  # the file is made in the scratch folder too
        sound_bytes, file_bytes = sound_bytes + file_bytes, 0
    folder = roomy_folder(sound_bytes, temporary_folder(), target.folder)
    is_shared = folder.stat().st_dev == target.folder.stat().st_dev
    needs: dict[Path, int] = {folder: sound_bytes + (file_bytes if is_shared else 0)}
    if not is_shared:
        needs[target.folder] = file_bytes
    for place, needed_bytes in needs.items():
        if needed_bytes > (free := free_bytes(place)):
            raise NoRoom(place, needed_bytes, free)
    return folder


def _undisturbed(work: Callable[..., Loudness], *arguments: Any) -> Loudness:
    """Work in another thread: Ctrl-C, which is raised in the main one, would be lost in a codec's callback.

    Whoever is interrupted closes the files, and so ends the work.
    """
    pool = ThreadPoolExecutor(1, "export")
    try:
        done = pool.submit(work, *arguments)
        while wait([done], _SIGNALS_S).not_done:
            pass
        return done.result()
    finally:
        pool.shutdown(wait=False)


def _master(file: BinaryIO, sound: Sound, job: RenderJob, file_format: Format) -> Loudness:
    level = Level() if job.lufs is None else level_for(sound, job.lufs)
    return _write_within_peak(file, Levelled(sound, level), job.num_frames, file_format, _comment(job.take.seed))


def _write_within_peak(file: BinaryIO, sound: Sound, num_frames: int, file_format: Format, comment: str) -> Loudness:
    """Encode so that what a player decodes peaks at TRUE_PEAK_DB at most, and answer how loud that is.

    Nothing is changed on the way into a lossless file.
    """
    write_audio(file, sound, file_format, comment)
    curve = flat_curve(num_frames)
    for attempt in range(1, _NUM_TRIES + 1 if file_format.is_lossy else 1):
        peaks_db = true_peaks_db(read_audio(file))[: len(curve) - 1]
        if peaks_db.max() <= _HIGHEST_PEAK_DB:
            break
        # What is near the highest may be above it next time: a codec's noise falls otherwise whenever anything changes.
        curve *= dips(peaks_db, _HIGHEST_PEAK_DB - attempt * _STEP_DB)
        write_audio(file, Curved(sound, curve), file_format, comment)
    loudness = measure(read_audio(file))
    peak_db = loudness.true_peak_db
    if file_format.is_lossy and peak_db is not None and peak_db > TRUE_PEAK_DB:  # then the whole becomes quieter
        curve *= 10 ** ((_HIGHEST_PEAK_DB - _STEP_DB - peak_db) / 20)
        write_audio(file, Curved(sound, curve), file_format, comment)
        loudness = measure(read_audio(file))
    return loudness


def _comment(seed: int) -> str:
    """Say in the file that a machine made it, and how to make it again."""
    return f"Generated by Undersong {version('undersong')} (music composed by a machine), seed {seed}"


class _Chart:
    """What an editor wants to know: tempo and key at the beginning, where beats and sections lie in the file."""

    def __init__(self, performance: Performance) -> None:
        self._performance = performance
        self._opening_mood = performance.controller.beat_intent(0)
        self._beats: list[float] = []
        self._sections: list[dict[str, Any]] = []

    def note_next(self) -> None:
        """Take down what begins within the next block."""
        for event in self._performance.beginning():
            at = round(event.at.seconds, 6)
            if isinstance(event, Beat):
                self._beats.append(at)
            elif isinstance(event, Section):
                self._sections.append({"name": event.name, "at": at, "bar": event.at.bar})
        self._performance.forget()

    def facts(self, num_frames: int) -> dict[str, Any]:
        end = num_frames / SAMPLE_RATE
        return {
            "bpm": round(self._opening_mood.bpm, 3),
            "key": str(self._opening_mood.key),
            "beats": [at for at in self._beats if at < end],
            "sections": [section for section in self._sections if section["at"] < end],
        }
