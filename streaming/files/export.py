"""Music into files: compose, bring to its level, encode, and hear what a listener will hear.

In: a `RenderJob`; out: its files, all of them or none, and a report. Remembers nothing between calls; the calling
thread composes, another one brings the sound to its level and encodes it. Sound waits in temporary files, so memory
stays flat however long the piece is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from engine.audio import CHANNELS, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.performance import Performance
from engine.performance import Sound as PlayedSound
from engine.redo import Region
from engine.render import begin, play, regions_of
from engine.take import Take
from moods.intent import LAYERS
from moods.timeline import LoudnessGoal, Timeline, TimelineDuck
from streaming.files.bed import bed_curve, mixed
from streaming.files.charting import Chart
from streaming.files.credentials import MEDIA_TYPES, Credentials, sign
from streaming.files.errors import (
    Cancelled,
    CannotKeep,
    CannotWrite,
    NoRoom,
    NoStems,
    TooLong,
    UnknownFormat,
    WouldReplace,
    naming,
)
from streaming.files.exchange import markers_document
from streaming.files.exchange.writing import FORMATS as MARKER_FORMATS
from streaming.files.loudness import Loudness, kept_outside, level_for, measure
from streaming.files.media import FORMATS, Format, format_of, in_floats, read_audio, write_audio
from streaming.files.mux import FILMS, check_container, mux
from streaming.files.peaks import Curve, Curved, flat_curve, limiting, peak_db, true_peaks
from streaming.files.provenance import Provenance, licence_sheet, provenance_of
from streaming.files.riff import append_loop
from streaming.files.sound import CHUNK_FRAMES, FRAME_BYTES, Samples, Sound, StoredSound
from streaming.files.target import Part, Target, open_together
from streaming.files.video import Video, probe, read_sound
from streaming.scratch import free_bytes, nameless_file, roomy_folder, temporary_folder

_METERS_DIFFER_DB = 0.1
"""Two true-peak meters may differ by so much: how far a lossy file stays under its limit."""
_SIGNALS_S = 0.05
"""How often the calling thread looks whether it is to give up while another one works."""
_NUM_TRIES, _STEP_DB = 6, 0.25
"""How often a lossy file is encoded again, and by how much deeper each time, until its peaks fit."""
_AS_IT_IS = LoudnessGoal()
"""Of which only the true peak counts, where no loudness was asked for."""
_SMALL_BYTES = 2**16
"""What a file without sound takes at most, as a rule."""
_MIDI_ENDINGS = (".mid", ".midi")
ORIGINAL = "original"
"""The stem that is the clip's own sound."""

Stage = Literal["reading", "composing", "levelling", "encoding"]
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
    video: Path | None = None
    """A clip: the music is laid under its sound, and a file that can hold pictures gets its own."""
    sources: tuple[Path, ...] = ()
    """What else the job was read from; none of it is written over."""
    unducked: Path | None = None
    """The music alone, without giving way to speech."""
    stems: Path | None = None
    """A folder, made if need be, for a file of each layer and of the clip's own sound; they sum to `out`."""
    midi: Path | None = None
    markers: tuple[Path, ...] = ()
    sheet: Path | None = None
    """Licences and sources, as text."""
    credentials: Credentials | None = None
    """Who signs that a machine made the music, in the files that can hold that."""

    @property
    def timeline(self) -> Timeline | None:
        return self.take.opening.timeline

    @property
    def is_loop(self) -> bool:
        """The files end where they begin."""
        return self.timeline is not None and self.timeline.ending == "loop"

    @property
    def depends_on_all(self) -> bool:
        """A level, or how the music gives way to speech: one part of the music weighs in on another's gain."""
        is_spoken_over = self.timeline is not None and bool(self.timeline.speech)
        return self.goal is not None or self.video is not None or is_spoken_over


@dataclass(frozen=True, slots=True)
class Progress:
    stage: Stage
    share: float
    """Of the whole job, 0 … 1."""


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
        self._on_progress(Progress(stage, _STAGE_BEGINS[stage] + _STAGE_LASTS[stage] * share))

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
    video = None if job.video is None else probe(job.video)
    with ExitStack() as kept:
        if job.stems is not None:
            kept.enter_context(_folder(job.stems))
        wanted = _wanted(job, video)
        sources = job.sources if job.video is None else (*job.sources, job.video)
        targets = _targets([deliverable.path for deliverable in wanted], sources)
        scratch = _scratch_folder(targets, wanted, job)
        parts = kept.enter_context(open_together(targets, scratch))
        reins.check()
        generator = make_generator(job.config)
        if job.stems is not None and not generator.traits.has_stems:
            raise NoStems(generator.traits.name)
        composed = _Composed(job, begin(generator, job.take), lambda: kept.enter_context(StoredSound(scratch)))
        composed.compose(reins)
        if composed.regions and job.depends_on_all:
            composed.compose_before(begin(generator, job.take), kept.enter_context(StoredSound(scratch)), reins)
        finish = _Finish(
            job, video, composed, provenance_of(job.take, generator.traits, has_picture=bool(video)), reins
        )
        if video is not None:
            finish.original = kept.enter_context(StoredSound(scratch))
        _undisturbed(reins, finish.fill, list(zip(parts, wanted, strict=True)), scratch)
    report = {
        "out": str(job.out),
        "frames": job.num_frames,
        "padding_frames": 0 if video else -job.num_frames % format_of(job.out).packet_frames,
        "seconds": job.num_frames / SAMPLE_RATE,
        "seed": job.take.seed,
        **composed.chart.facts(),
        **composed.redone(),
        "backend": job.config.backend,
        "loudness": asdict(finish.levels[job.out]),
        "levels": {str(path): asdict(level) for path, level in finish.levels.items()},
        "credentials": {str(path): signed for path, signed in finish.signed.items()},
        "stems": {one.layer: str(one.path) for one in wanted if one.layer is not None},
        "files": [str(deliverable.path) for deliverable in wanted],
    }
    if video is not None:
        report["video"] = _picture_facts(video, job)
    return {**report, "wall_seconds": round(time.monotonic() - began, 3)}


def _picture_facts(video: Video, job: RenderJob) -> dict[str, Any]:
    timeline = job.timeline
    return {
        "frames": video.num_frames,
        "fps": None if video.fps is None else str(video.fps),
        "has_sound": video.sound_index is not None,
        "cuts": [] if timeline is None else [cut.at for cut in timeline.cuts],
        "speech": [] if timeline is None else [list(span) for span in timeline.speech],
    }


# --- before composing ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Deliverable:
    """A file to be made."""

    path: Path
    kind: Literal["mix", "film", "unducked", "stem", "midi", "markers", "sheet"]
    num_bytes: int
    """It takes about so many, or more."""
    format: Format | None = None
    """Of its sound, where it is nothing else."""
    layer: str | None = None
    """Of a stem."""


def _wanted(job: RenderJob, video: Video | None) -> list[_Deliverable]:
    """All that is to be made, the mix first. Raises `UnknownFormat`, `TooLong`, `CannotHold`."""

    def sound(path: Path, kind: Literal["mix", "unducked", "stem"], layer: str | None = None) -> _Deliverable:
        form = format_of(path, job.bits)
        if job.num_frames > form.most_frames:
            raise TooLong(path, job.num_frames / SAMPLE_RATE, form.most_frames / SAMPLE_RATE)
        return _Deliverable(path, kind, form.bytes_of(job.num_frames), form, layer)

    wanted = []
    for path in (job.out, *job.also):
        if video is not None and path.suffix.lower() in FILMS:
            check_container(video, path)
            wanted.append(_Deliverable(path, "film", video.path.stat().st_size))
        else:
            wanted.append(sound(path, "mix"))
    if job.unducked is not None:
        wanted.append(sound(job.unducked, "unducked"))
    if job.stems is not None:
        for layer in (*LAYERS, *([ORIGINAL] if video is not None else [])):
            wanted.append(sound(job.stems / f"{job.out.stem}.{layer}.wav", "stem", layer))
    if job.midi is not None:
        if job.midi.suffix.lower() not in _MIDI_ENDINGS:
            raise UnknownFormat(job.midi, _MIDI_ENDINGS)
        wanted.append(_Deliverable(job.midi, "midi", _SMALL_BYTES))
    for path in job.markers:
        if path.suffix.lower().removeprefix(".") not in MARKER_FORMATS:
            raise UnknownFormat(path, [f".{ending}" for ending in MARKER_FORMATS])
        wanted.append(_Deliverable(path, "markers", _SMALL_BYTES))
    if job.sheet is not None:
        wanted.append(_Deliverable(job.sheet, "sheet", _SMALL_BYTES))
    return wanted


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Have a folder; one that was made is taken away again where the block fails."""
    with naming(path):
        is_new = not path.is_dir()
        if is_new:
            path.mkdir()
    try:
        yield
    except BaseException:
        if is_new:
            path.rmdir()
        raise


def _targets(paths: Sequence[Path], sources: Sequence[Path]) -> list[Target]:
    """Raises `CannotWrite`, also where two paths lead to one file, and `WouldReplace`."""
    targets: dict[Path, Target] = {}
    for path in paths:
        target = Target(path)
        if any(map(target.is_file, sources)):
            raise WouldReplace(path)
        if target.real in targets:
            raise CannotWrite(path, f"{str(targets[target.real].path)!r} is the same file")
        targets[target.real] = target
    return list(targets.values())


def _scratch_folder(targets: Sequence[Target], wanted: Sequence[_Deliverable], job: RenderJob) -> Path:
    """Where sound waits: in the folder for temporary files, or beside the first target. Raises `NoRoom`."""
    is_kept_twice = bool(job.take.redone) and job.depends_on_all
    num_sounds = 1 + is_kept_twice + (len(LAYERS) if job.stems is not None else 0) + (job.video is not None)
    kept_bytes = num_sounds * job.num_frames * FRAME_BYTES
    beside = []
    for target, deliverable in zip(targets, wanted, strict=True):
        if target.is_replaced:
            beside.append((target.folder, deliverable.num_bytes))
        else:  # it is made in the scratch folder first
            kept_bytes += deliverable.num_bytes
    folder = roomy_folder(kept_bytes, temporary_folder(), targets[0].folder)
    needs: dict[int, tuple[Path, int]] = {}
    for place, size in [(folder, kept_bytes), *beside]:
        device = place.stat().st_dev
        first, so_far = needs.get(device, (place, 0))
        needs[device] = first, so_far + size
    for place, needed_bytes in needs.values():
        if needed_bytes > (free := free_bytes(place)):
            raise NoRoom(place, needed_bytes, free)
    return folder


# --- composing -------------------------------------------------------------------------------------------------------


class _Composed:
    """The music as it comes from the generator, its stems where they are wanted, and what is known besides."""

    def __init__(self, job: RenderJob, performance: Performance, store: Callable[[], StoredSound]) -> None:
        self._job, self._performance, self._last_frame = job, performance, job.from_frame + job.num_frames
        self.music = store()
        self.stems = {layer: store() for layer in LAYERS} if job.stems is not None else {}
        self.regions: tuple[Region, ...] = ()
        self.before = self.music
        """As it was before regions were composed once more: its level is that of all that stays."""
        self.chart = Chart(performance, job.timeline, job.out.stem, job.from_frame, job.num_frames)

    def compose(self, reins: _Reins) -> None:
        """Raises `Cancelled`, `CannotKeep`, `BadTake`."""
        chart, traits = self.chart, self._performance.generator.traits
        self.regions = regions_of(self._job.take, traits, self._last_frame)
        sounds = play(
            self._performance, self._last_frame, chart.note_next, stems=bool(self.stems),
            notes=self._job.midi is not None and traits.has_notes, regions=self.regions,
        )  # fmt: skip
        for sound, frame in self._in_files(sounds):
            if len(sound.pcm):
                self.music.append(sound.pcm)
                for number, stem in enumerate(self.stems.values()):
                    stem.append(np.zeros_like(sound.pcm) if sound.stems is None else sound.stems[number].T)
                reins.on_sound(sound.pcm)
            if sound.notes is not None:
                chart.note_notes(sound.notes)
            reins.tell("composing", frame / self._last_frame)

    def compose_before(self, performance: Performance, store: StoredSound, reins: _Reins) -> None:
        """Raises as `compose`."""
        self.before = store
        for sound, _ in self._in_files(play(performance, self._last_frame)):
            if len(sound.pcm):
                store.append(sound.pcm)
            reins.check()

    def _in_files(self, sounds: Iterator[PlayedSound]) -> Iterator[tuple[PlayedSound, int]]:
        """What of each sound goes into the files, and the frame up to which it has been composed."""
        frame = 0
        for sound in sounds:
            before = max(0, self._job.from_frame - frame)
            frame += len(sound.pcm)
            yield sound.between(before), frame

    def spans(self) -> list[tuple[int, int]]:
        """Frames of the file between which it was composed once more."""
        first = self._job.from_frame
        return [(region.start_frame - first, (region.end_frame or self._last_frame) - first) for region in self.regions]

    def redone(self) -> dict[str, Any]:
        """The report's word on what was composed once more: from which second of the file to which."""
        spans = self.spans()
        return {"redo": [[frame / SAMPLE_RATE for frame in span] for span in spans]} if spans else {}


# --- afterwards ------------------------------------------------------------------------------------------------------


def _undisturbed(reins: _Reins, work: Callable[..., None], *arguments: Any) -> None:
    """Work in another thread: Ctrl-C, which is raised in the main one, would be lost in a codec's callback.

    Whoever is interrupted, or cancelled, closes the files, and so ends the work.
    """
    pool = ThreadPoolExecutor(1, "export")
    try:
        done = pool.submit(work, *arguments)
        while wait([done], _SIGNALS_S).not_done:
            reins.check()
        done.result()
    finally:
        pool.shutdown(wait=False)


class _Finish:
    """From what was composed to files at their level."""

    def __init__(
        self, job: RenderJob, video: Video | None, composed: _Composed, origin: Provenance, reins: _Reins
    ) -> None:
        self._job, self._video, self._composed, self._origin, self._reins = job, video, composed, origin, reins
        self._goal = job.goal or _AS_IT_IS
        self.original: StoredSound | None = None
        """Where the clip's own sound is to be kept."""
        self.levels: dict[Path, Loudness] = {}
        self.signed: dict[Path, str | None] = {}

    def fill(self, files: Sequence[tuple[Part, _Deliverable]], scratch: Path) -> None:
        """Raises `ExportError`, `Cancelled`."""
        self._reins.tell("levelling", 0.0)
        self._level()
        for number, (part, deliverable) in enumerate(files):
            self._reins.tell("encoding", number / len(files))
            with part.naming():
                self._fill(part.file, deliverable, scratch)
                self._sign(part.file, deliverable, scratch)
        self._reins.tell("encoding", 1.0)

    def _level(self) -> None:
        """Lay the music under speech, and find the curve that brings the whole to its level."""
        job, music = self._job, self._composed.music
        timeline = job.timeline
        speech = [] if timeline is None else timeline.speech
        duck = (None if timeline is None else timeline.duck) or TimelineDuck()
        if self._video is not None:
            assert self.original is not None
            for samples in read_sound(self._video):
                self.original.append(samples)
        voice: Sound = _silence(job.num_frames) if self.original is None else self.original
        self._bed = bed_curve(self._composed.before, voice, speech, duck)

        def laid_under(sound: Sound) -> Sound:
            bed = self._bed.apply(sound)
            return bed if self.original is None else mixed(self.original, bed)

        self._mix: Sound = laid_under(music)
        self._curve: Curve | None = None
        if job.goal is not None or self.original is not None:
            lufs = None if job.goal is None else job.goal.lufs
            self._curve = self._level_of(laid_under(self._composed.before), self._mix, lufs)

    def _level_of(self, before: Sound, sound: Sound, lufs: float | None) -> Curve:
        """The curve for `sound`: that of what it was `before`, but where it was composed once more."""
        limit_db, spans = self._goal.true_peak_db, self._composed.spans()
        curve = level_for(before, lufs, limit_db, is_loop=self._job.is_loop)
        return kept_outside(curve, sound, limit_db, spans) if spans else curve

    def _levelled(self, sound: Sound) -> Sound:
        return sound if self._curve is None else Curved(sound, self._curve)

    def _fill(self, file: BinaryIO, wanted: _Deliverable, scratch: Path) -> None:
        """Raises OSError, `ExportError`."""
        match wanted.kind:
            case "mix":
                self._fill_sound(file, wanted, self._levelled(self._mix))
            case "unducked":
                music = self._composed.music
                curve = None
                if self._job.goal is not None:
                    curve = self._level_of(self._composed.before, music, self._goal.lufs)
                self._fill_sound(file, wanted, music if curve is None else Curved(music, curve))
            case "stem":
                assert wanted.layer is not None
                is_original = wanted.layer == ORIGINAL
                stem = self.original if is_original else self._bed.apply(self._composed.stems[wanted.layer])
                assert stem is not None and wanted.format is not None
                own = self._levelled(stem)
                form = wanted.format if _peak(own) <= 1 else in_floats(wanted.format)
                self._fill_sound(file, replace(wanted, format=form), own)
            case "film":
                self._fill_film(file, wanted, scratch)
            case "midi":
                self._composed.chart.write_midi(file)
            case "markers":
                file.write(markers_document(self._composed.chart.markers(self._job.out), wanted.path.suffix))
            case "sheet":
                named = [path.name for path in (self._job.out, *self._job.also)]
                file.write(licence_sheet(self._origin, named).encode())

    def _fill_sound(self, file: BinaryIO, wanted: _Deliverable, sound: Sound) -> None:
        assert wanted.format is not None
        tags = self._origin.tags() if wanted.format.has_free_tags else {"comment": self._origin.comment_with_aigc()}
        frames, limit_db = self._job.num_frames, self._goal.true_peak_db
        self.levels[wanted.path], _ = write_within_peak(file, sound, frames, wanted.format, tags, limit_db)
        if self._job.is_loop and wanted.format.has_loops:
            append_loop(file, frames)

    def _fill_film(self, file: BinaryIO, wanted: _Deliverable, scratch: Path) -> None:
        """The sound is encoded by itself until its peaks fit, and then once more with the pictures."""
        assert self._video is not None
        suffix = wanted.path.suffix.lower()
        form, mix = FORMATS[FILMS[suffix].sound], self._levelled(self._mix)
        tags = {"comment": self._origin.comment_with_aigc()}
        with naming(scratch, CannotKeep), nameless_file(scratch) as trial:
            level, curve = write_within_peak(trial, mix, self._job.num_frames, form, tags, self._goal.true_peak_db)
        self.levels[wanted.path] = level
        mux(self._video, mix if (curve == 1).all() else Curved(mix, curve), file, suffix, tags)

    def _sign(self, file: BinaryIO, wanted: _Deliverable, scratch: Path) -> None:
        suffix, signer = wanted.path.suffix.lower(), self._job.credentials
        if wanted.kind not in ("mix", "film", "unducked"):
            return
        self.signed[wanted.path] = None
        if signer is not None and suffix in MEDIA_TYPES:
            with naming(scratch, CannotKeep), nameless_file(scratch) as spare:
                sign(file, suffix, self._origin.manifest(wanted.path.name), signer, spare)
            self.signed[wanted.path] = "test" if signer.is_test else "own"


def _peak(sound: Sound) -> float:
    return max((float(np.abs(samples).max(initial=0.0)) for samples in sound), default=0.0)


def _silence(num_frames: int) -> Sound:
    """Where a clip's sound would be."""
    lengths = [CHUNK_FRAMES] * (num_frames // CHUNK_FRAMES) + [num_frames % CHUNK_FRAMES]
    return [np.zeros((length, CHANNELS), np.float32) for length in lengths if length]


def write_within_peak(
    file: BinaryIO, sound: Sound, num_frames: int, file_format: Format, tags: Mapping[str, str], true_peak_db: float
) -> tuple[Loudness, Curve]:
    """Encode so that what a player decodes peaks at `true_peak_db` at most; how loud that is, and what gain it took.

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
    return loudness, curve
