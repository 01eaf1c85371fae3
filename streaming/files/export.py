"""Music into files: compose, bring to its level, encode, and hear what a listener will hear.

In: a `RenderJob`; out: its files, all of them or none, and a report. Remembers nothing between calls; the calling
thread composes, another one brings the sound to its level and encodes it. Sound waits in temporary files, so memory
stays flat however long the piece is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from engine.audio import SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.performance import Beat, Performance, Section
from engine.render import begin, perform
from engine.take import Take
from moods.timeline import LoudnessGoal
from streaming.files.errors import Cancelled, CannotWrite, NoRoom, TooLong
from streaming.files.loudness import Loudness, level_for, measure
from streaming.files.media import Format, format_of, read_audio, write_audio
from streaming.files.peaks import Curved, flat_curve, limiting, peak_db, true_peaks
from streaming.files.provenance import Provenance, provenance_of
from streaming.files.riff import append_loop
from streaming.files.sound import FRAME_BYTES, Samples, Sound, StoredSound
from streaming.files.target import Part, Target, open_together
from streaming.scratch import free_bytes, roomy_folder, temporary_folder

_METERS_DIFFER_DB = 0.1
"""Two true-peak meters may differ by so much: how far a lossy file stays under its limit."""
_SIGNALS_S = 0.25
"""How often the calling thread looks whether it is to give up while another one works."""
_NUM_TRIES, _STEP_DB = 6, 0.25
"""How often a lossy file is encoded again, and by how much deeper each time, until its peaks fit."""
_LEVEL_AS_IT_IS = LoudnessGoal()
"""Of which only the true peak counts, where no loudness was asked for."""

Stage = Literal["composing", "levelling", "encoding"]
_STAGE_BEGINS: dict[Stage, float] = {"composing": 0.0, "levelling": 0.75, "encoding": 0.8}
_STAGE_LASTS: dict[Stage, float] = {"composing": 0.75, "levelling": 0.05, "encoding": 0.2}


@dataclass(frozen=True, slots=True)
class RenderJob:
    """What is to be made. Picklable."""

    take: Take
    """The music."""
    num_frames: int
    """Of the files."""
    out: Path
    config: EngineConfig
    goal: LoudnessGoal | None = None
    """None leaves the stream's own level."""
    also: tuple[Path, ...] = ()
    """Further files of the same sound."""
    bits: int = 24
    """Of a sample in wav and flac."""
    from_frame: int = 0
    """The files begin here; what the music was before is composed and left out."""


@dataclass(frozen=True, slots=True)
class Progress:
    stage: Stage
    share: float
    """Of the whole job, 0 … 1."""


def _stage(stage: Stage, share: float) -> Progress:
    return Progress(stage, _STAGE_BEGINS[stage] + _STAGE_LASTS[stage] * share)


class _Reins:
    """What whoever wanted a job is told of it and may still say."""

    def __init__(
        self,
        on_progress: Callable[[Progress], None],
        is_cancelled: Callable[[], bool],
        on_sound: Callable[[Samples], None],
    ) -> None:
        self._on_progress, self._is_cancelled, self.on_sound = on_progress, is_cancelled, on_sound

    def tell(self, stage: Stage, share: float) -> None:
        """Raises `Cancelled`."""
        self.check()
        self._on_progress(_stage(stage, share))

    def check(self) -> None:
        """Raises `Cancelled`."""
        if self._is_cancelled():
            raise Cancelled()


def export(
    job: RenderJob,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    is_cancelled: Callable[[], bool] = lambda: False,
    on_sound: Callable[[Samples], None] = lambda samples: None,
    make_generator: Callable[[EngineConfig], Generator] = open_generator,
) -> dict[str, Any]:
    """Make the files of `job` and report on them.

    What is wrong with a target is found before composing; all files appear together when all are complete.
    `on_sound` is given each block as it is composed, before it has its level; no two of the functions are called at the
    same time. Raises `ExportError`, `Cancelled` among it, `moods.errors.MoodsError`, `engine.errors.EngineError`.
    """
    began = time.monotonic()
    reins = _Reins(on_progress, is_cancelled, on_sound)
    formats = {path: _format_for(path, job) for path in (job.out, *job.also)}
    targets = _targets(list(formats))
    folder = _scratch_folder(targets, [file_format.bytes_of(job.num_frames) for file_format in formats.values()], job)
    with ExitStack() as kept:
        parts = kept.enter_context(open_together(targets, folder))
        music = kept.enter_context(StoredSound(folder))
        reins.check()
        performance = begin(make_generator(job.config), job.take)
        chart = _Chart(performance, job)
        for samples in _composed(performance, job, chart):
            music.append(samples)
            reins.on_sound(samples)
            reins.tell("composing", min(1.0, chart.frame / (job.from_frame + job.num_frames)))
        origin = provenance_of(job.take, performance.generator.traits)
        levels = _undisturbed(reins, _master, parts, list(formats.values()), music, job, origin, reins)
        report = {
            "out": str(job.out),
            "frames": job.num_frames,
            "padding_frames": -job.num_frames % formats[job.out].packet_frames,
            "seconds": job.num_frames / SAMPLE_RATE,
            "seed": job.take.seed,
            **chart.facts(),
            "backend": job.config.backend,
            "loudness": asdict(levels[0]),
            "levels": {str(path): asdict(level) for path, level in zip(formats, levels, strict=True)},
            "files": [str(path) for path in formats],
        }
    return {**report, "wall_seconds": round(time.monotonic() - began, 3)}


# --- before composing ------------------------------------------------------------------------------------------------


def _format_for(path: Path, job: RenderJob) -> Format:
    """Raises `UnknownFormat`, `TooLong`."""
    file_format = format_of(path, job.bits)
    if job.num_frames > file_format.most_frames:
        raise TooLong(path, job.num_frames / SAMPLE_RATE, file_format.most_frames / SAMPLE_RATE)
    return file_format


def _targets(paths: Sequence[Path]) -> list[Target]:
    """Raises `CannotWrite`, also where two paths lead to one file."""
    targets: dict[Path, Target] = {}
    for path in paths:
        target = Target(path)
        if target.real in targets:
            raise CannotWrite(path, f"{str(targets[target.real].path)!r} is the same file")
        targets[target.real] = target
    return list(targets.values())


def _scratch_folder(targets: Sequence[Target], file_bytes: Sequence[int], job: RenderJob) -> Path:
    """Where sound waits: in the folder for temporary files, or beside the first target. Raises `NoRoom`."""
    kept_bytes = job.num_frames * FRAME_BYTES
    # What does not take the place of a file is made in the scratch folder first.
    kept_bytes += sum(size for target, size in zip(targets, file_bytes, strict=True) if not target.is_replaced)
    folder = roomy_folder(kept_bytes, temporary_folder(), targets[0].folder)
    needs: dict[int, tuple[Path, int]] = {}
    beside = [(target.folder, size) for target, size in zip(targets, file_bytes, strict=True) if target.is_replaced]
    for place, size in [(folder, kept_bytes), *beside]:
        device = place.stat().st_dev
        first, so_far = needs.get(device, (place, 0))
        needs[device] = first, so_far + size
    for place, needed_bytes in needs.values():
        if needed_bytes > (free := free_bytes(place)):
            raise NoRoom(place, needed_bytes, free)
    return folder


# --- composing -------------------------------------------------------------------------------------------------------


def _composed(performance: Performance, job: RenderJob, chart: _Chart) -> Iterator[Samples]:
    """The job's music, block by block."""
    for block in perform(performance, job.from_frame + job.num_frames, chart.note_next):
        samples = block[0].T
        before = max(0, job.from_frame - chart.frame)
        chart.frame += len(samples)
        if before < len(samples):
            yield samples[before:]


class _Chart:
    """What an editor wants to know: tempo and key at the beginning, where beats and sections lie in the file."""

    def __init__(self, performance: Performance, job: RenderJob) -> None:
        self._performance = performance
        self._opening_mood = performance.controller.beat_intent(0)
        self._start_s, self._end_s = job.from_frame / SAMPLE_RATE, (job.from_frame + job.num_frames) / SAMPLE_RATE
        self._beats: list[float] = []
        self._sections: list[dict[str, Any]] = []
        self.frame = 0
        """Of the music, up to where it is composed."""

    def note_next(self) -> None:
        """Take down what begins within the next block."""
        for event in self._performance.beginning():
            if not self._start_s <= event.at.seconds < self._end_s:
                continue
            at = round(event.at.seconds - self._start_s, 6)
            if isinstance(event, Beat):
                self._beats.append(at)
            elif isinstance(event, Section):
                self._sections.append({"name": event.name, "at": at, "bar": event.at.bar})
        self._performance.forget()

    def facts(self) -> dict[str, Any]:
        return {
            "bpm": round(self._opening_mood.bpm, 3),
            "key": str(self._opening_mood.key),
            "beats": self._beats,
            "sections": self._sections,
        }


# --- afterwards ------------------------------------------------------------------------------------------------------


def _undisturbed(reins: _Reins, work: Callable[..., list[Loudness]], *arguments: Any) -> list[Loudness]:
    """Work in another thread: Ctrl-C, which is raised in the main one, would be lost in a codec's callback.

    Whoever is interrupted, or cancelled, closes the files, and so ends the work.
    """
    pool = ThreadPoolExecutor(1, "export")
    try:
        done = pool.submit(work, *arguments)
        while wait([done], _SIGNALS_S).not_done:
            reins.check()
        return done.result()
    finally:
        pool.shutdown(wait=False)


def _master(
    parts: Sequence[Part],
    formats: Sequence[Format],
    music: Sound,
    job: RenderJob,
    origin: Provenance,
    reins: _Reins,
) -> list[Loudness]:
    """Fill all files; how loud each of them is."""
    reins.tell("levelling", 0.0)
    goal = job.goal or _LEVEL_AS_IT_IS
    sound = music if job.goal is None else Curved(music, level_for(music, goal.lufs, goal.true_peak_db))
    levels = []
    for number, (part, file_format) in enumerate(zip(parts, formats, strict=True)):
        reins.tell("encoding", number / len(parts))
        with part.naming():
            tags = origin.tags() if file_format.has_free_tags else {"comment": origin.comment_with_aigc()}
            level = write_within_peak(part.file, sound, job.num_frames, file_format, tags, goal.true_peak_db)
            if _is_loop(job) and file_format.has_loops:
                append_loop(part.file, job.num_frames)
        levels.append(level)
    reins.tell("encoding", 1.0)
    return levels


def _is_loop(job: RenderJob) -> bool:
    timeline = job.take.opening.timeline
    return timeline is not None and timeline.ending == "loop"


def write_within_peak(
    file: BinaryIO, sound: Sound, num_frames: int, file_format: Format, tags: Mapping[str, str], true_peak_db: float
) -> Loudness:
    """Encode so that what a player decodes peaks at `true_peak_db` at most, and answer how loud that is.

    Nothing is changed on the way into a lossless file.
    """
    write_audio(file, sound, file_format, tags)
    curve, highest_db = flat_curve(num_frames), true_peak_db - _METERS_DIFFER_DB
    for attempt in range(1, _NUM_TRIES + 1 if file_format.is_lossy else 1):
        peaks = true_peaks(read_audio(file))[: len(curve) - 1]
        if peak_db(peaks).max() <= highest_db:
            break
        # What is near the highest may be above it next time: a codec's noise falls otherwise whenever anything changes.
        curve *= limiting(peaks, highest_db - attempt * _STEP_DB)
        write_audio(file, Curved(sound, curve), file_format, tags)
    loudness = measure(read_audio(file))
    peak = loudness.true_peak_db
    if file_format.is_lossy and peak is not None and peak > true_peak_db:  # then the whole becomes quieter
        curve *= 10 ** ((highest_db - _STEP_DB - peak) / 20)
        write_audio(file, Curved(sound, curve), file_format, tags)
        loudness = measure(read_audio(file))
    return loudness
