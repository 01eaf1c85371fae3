"""What a worker does: music into files, or a picture looked at. In: `Work`; out: a report and files.

Remembers the generator, which is the same for every job of a server. The calling thread does the work.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.backends import find_factory
from engine.config import EngineConfig
from engine.generator import Generator
from engine.render import length_of
from engine.take import Take, read_take, refitted
from moods.errors import OutOfRange
from moods.opening import Opening
from moods.timeline import SHORTEST_S, Timeline, parse_timeline
from moods.variation import variation_seed
from streaming.config import Config
from streaming.encoders.pcm import to_s16le, wav_header
from streaming.errors import BadParameter
from streaming.files.credentials import Credentials, read_credentials, self_made_credentials
from streaming.files.cuts import find_cuts
from streaming.files.errors import Cancelled, CannotKeep, naming
from streaming.files.export import Progress as ExportProgress
from streaming.files.export import RenderJob, export
from streaming.files.loudness import goal_of
from streaming.files.preparing import timeline_for
from streaming.files.sound import Samples, Sound
from streaming.files.speech import find_speech
from streaming.files.video import probe, read_sound
from streaming.jobs.asked import SECONDS_DEFAULT, RenderRequest, parse_render_request, timeline_of
from streaming.jobs.wire import Made, Work, audition_path, files_folder
from streaming.messages import FileKind

OnProgress = Callable[[str, float], None]
Result = tuple[dict[str, Any], tuple[Made, ...]]

_READING_SHARE = 0.2
"""Of a render over a picture, what comes before its music."""
_MOST_PEAKS = 6000
_PEAKS_A_SECOND = 100
_NAME = "music"


def render(work: Work, config: Config, on_progress: OnProgress, is_cancelled: Callable[[], bool]) -> Result:
    """Make all files of a request.

    Raises `Cancelled`, `streaming.errors.StreamingError`, `moods.errors.MoodsError`, `engine.errors.EngineError`.
    """
    request = parse_render_request(work.asked)
    folder = files_folder(work.folder)
    with naming(folder, CannotKeep):
        folder.mkdir(exist_ok=True)
    piece = _piece_of(request, work.picture, config, on_progress, is_cancelled)
    first_share = _READING_SHARE if work.picture is not None else 0.0
    each_share = (1 - first_share) / request.variations
    reports, kinds = [], dict[Path, FileKind]()
    for variation in range(1, request.variations + 1):
        job, own_kinds = _job(request, piece, variation, folder, config, work.picture)
        kinds |= own_kinds
        before = first_share + (variation - 1) * each_share

        def tell(progress: ExportProgress, before: float = before) -> None:
            on_progress(progress.stage, before + each_share * progress.share)

        with _Audition(audition_path(work.folder, variation), piece.num_frames) as audition:
            report = export(
                job, tell, is_cancelled, on_sound=audition.write,
                make_generator=functools.partial(_generator, config.generator),
            )  # fmt: skip
        _lead_beside(job.markers)
        reports.append(_without_folder(report, folder))
    whole = reports[0] if len(reports) == 1 else {**reports[0], "variations": reports}
    return whole, tuple(_made(folder, kinds))


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is rendered, whatever the variation's seed."""

    timeline: Timeline | None
    take: Take | None
    from_frame: int
    num_frames: int


def _piece_of(
    request: RenderRequest,
    picture: Path | None,
    config: Config,
    on_progress: OnProgress,
    is_cancelled: Callable[[], bool],
) -> _Piece:
    if request.take is not None:
        take = read_take(request.take)
        piece = _part_of_take(request, take, config)
        if picture is not None:
            piece = replace(piece, num_frames=probe(picture).num_sound_frames)
        if request.ending is not None:
            piece = replace(piece, take=refitted(take, piece.from_frame + piece.num_frames, request.ending))
        return piece
    video = None if picture is None else probe(picture)
    picture_s = None if video is None else float(video.duration)
    asked = timeline_of(request, picture_s) if request.timeline is None else request.timeline.asked()
    if video is None:
        timeline = parse_timeline({"duration": SECONDS_DEFAULT, **asked})
    else:
        watch = _watched(on_progress, is_cancelled, "reading the picture", 0.0, _READING_SHARE)
        watch(0.0)
        timeline = timeline_for(asked, video, watch)
    return _Piece(timeline, None, 0, timeline.num_frames)


def _part_of_take(request: RenderRequest, take: Take, config: Config) -> _Piece:
    from_frame = round((request.from_ or 0.0) * SAMPLE_RATE)
    if request.seconds is not None and request.last_minutes is None:
        return _Piece(None, take, from_frame, round(request.seconds * SAMPLE_RATE))
    most_frames = round(config.max_render_s * SAMPLE_RATE)
    end_frame = length_of(take, most_frames)
    if request.last_minutes is not None:
        from_frame = max(0, end_frame - round(request.last_minutes * 60 * SAMPLE_RATE))
    num_frames = end_frame - from_frame
    if num_frames < SHORTEST_S * SAMPLE_RATE:
        raise OutOfRange("from", from_frame / SAMPLE_RATE, 0, end_frame / SAMPLE_RATE - SHORTEST_S)
    if num_frames > most_frames:
        raise BadParameter(
            f"the take is longer than {config.max_render_s:g} s; say with seconds how much of it is rendered",
            field="seconds",
        )
    return _Piece(None, take, from_frame, num_frames)


def _job(
    request: RenderRequest, piece: _Piece, variation: int, folder: Path, config: Config, picture: Path | None
) -> tuple[RenderJob, dict[Path, FileKind]]:
    """The job of a variation, and of which kind its files are."""
    name = _NAME if variation == 1 else f"{_NAME}-{variation}"
    formats = request.formats or ["wav" if picture is None else "mp4"]
    out, *also = [folder / f"{name}.{each}" for each in formats]
    kinds: dict[Path, FileKind] = {path: "music" for path in (out, *also)}
    if picture is not None:
        kinds |= {path: "video" for path in kinds if path.suffix == ".mp4"}
    markers = tuple(folder / f"{name}.markers.{each}" for each in request.markers)
    kinds |= {path: "markers" for path in markers}
    midi = folder / f"{name}.mid" if request.midi else None
    sheet = folder / f"{name}.LICENCE.txt" if request.notices else None
    unducked = folder / f"{name}.unducked.wav" if request.unducked and picture is not None else None
    others: list[tuple[Path | None, FileKind]] = [(unducked, "unducked"), (midi, "midi"), (sheet, "notices")]
    kinds |= {path: kind for path, kind in others if path is not None}
    take = piece.take
    if take is None:
        seed = variation_seed(_seed_of(request), variation - 1)
        take = Take(Opening(timeline=piece.timeline), seed, ())
    goal = request.loudness or goal_of(take.opening.timeline, has_picture=picture is not None)
    job = RenderJob(
        take=take, num_frames=piece.num_frames, out=out, config=_engine_config(config), goal=goal, also=tuple(also),
        bits=request.bits, from_frame=piece.from_frame, video=picture, unducked=unducked,
        stems=folder if request.stems else None, midi=midi, markers=markers, sheet=sheet,
        credentials=_credentials(config) if request.credentials else None,
    )  # fmt: skip
    return job, kinds


def _seed_of(request: RenderRequest) -> int:
    seed = request.seed if request.timeline is None or request.timeline.seed is None else request.timeline.seed
    assert seed is not None, "whoever accepted the job has chosen one"
    return seed


def _credentials(config: Config) -> Credentials:
    """Raises `BadCredentials`."""
    if not config.c2pa_certificate:
        return self_made_credentials()
    return read_credentials(Path(config.c2pa_certificate), Path(config.c2pa_key))


def _engine_config(config: Config) -> EngineConfig:
    """One thread: the cores are for live music first."""
    patches = Path(config.patches) if config.patches else None
    soundfont = Path(config.soundfont) if config.soundfont else None
    return EngineConfig(
        config.backend, config.device, max_slots=1, patches=patches, soundfont=soundfont, num_threads=1
    )  # fmt: skip


@functools.cache
def _generator(factory: str, config: EngineConfig) -> Generator:
    """Loaded once: each job frees its slot."""
    return find_factory(factory)(config)


def _lead_beside(markers: tuple[Path, ...]) -> None:
    """Have markers lead to the music beside them, wherever both are saved, and not to where it is on this server."""
    for path in markers:
        if path.suffix in (".otio", ".fcpxml"):
            document = path.read_text(encoding="utf-8")
            with naming(path, CannotKeep):
                path.write_text(document.replace(f"{path.parent.absolute().as_uri()}/", "./"), encoding="utf-8")


def _without_folder(report: Any, folder: Path) -> Any:
    """A report in which files are named as a client knows them."""
    if isinstance(report, dict):
        return {_without_folder(name, folder): _without_folder(value, folder) for name, value in report.items()}
    if isinstance(report, list | tuple):
        return [_without_folder(each, folder) for each in report]
    if isinstance(report, str):
        return report.removeprefix(f"{folder}/")
    return report


def _made(folder: Path, kinds: dict[Path, FileKind]) -> Iterator[Made]:
    """The files of the folder: those that were asked for one by one in their order, then stems."""
    others = sorted(path for path in folder.iterdir() if path not in kinds)
    for path in (*(path for path in kinds if path.exists()), *others):
        yield Made(path.name, kinds.get(path, "stem"), path.stat().st_size)


class _Audition:
    """A WAV file that grows as music is composed; whoever reads it meanwhile finds its length in the header."""

    def __init__(self, path: Path, num_frames: int) -> None:
        self._path, self._num_frames = path, num_frames
        self._file: BinaryIO

    def __enter__(self) -> _Audition:
        with naming(self._path, CannotKeep):
            self._file = open(self._path, "wb", buffering=0)
            self._file.write(wav_header(self._num_frames))
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def write(self, samples: Samples) -> None:
        with naming(self._path, CannotKeep):
            self._file.write(to_s16le(samples))


# --- pictures --------------------------------------------------------------------------------------------------------


def _watched(
    on_progress: OnProgress, is_cancelled: Callable[[], bool], stage: str, before: float, share: float
) -> Callable[[float], None]:
    """To be told 0 … 1 of a stage that is `share` of the whole; it raises `Cancelled`."""

    def watch(done: float) -> None:
        if is_cancelled():
            raise Cancelled()
        on_progress(stage, before + share * done)

    return watch


def analyse(work: Work, config: Config, on_progress: OnProgress, is_cancelled: Callable[[], bool]) -> Result:
    """Report on a picture. Raises `Cancelled`, `streaming.files.errors.BadVideo`."""
    assert work.picture is not None
    on_progress("reading the picture", 0.0)
    video = probe(work.picture)
    watch = _watched(on_progress, is_cancelled, "finding cuts", 0.05, 0.6)
    cuts = find_cuts(video, lambda frames: watch(min(1.0, frames / video.num_frames)))
    on_progress("hearing the sound", 0.65)
    sound = _Cancellable(read_sound(video), is_cancelled)
    speech = find_speech(sound)
    on_progress("drawing the sound", 0.9)
    width, height = video.shown_size
    report = {
        "duration": float(video.duration),
        "frames": video.num_frames,
        "fps": None if video.fps is None else str(video.fps),
        "width": width,
        "height": height,
        "has_audio": video.sound_index is not None,
        "cuts": [cut.asked() for cut in cuts],
        "speech": [list(span) for span in speech],
        "waveform": _waveform(sound, video.num_sound_frames),
    }
    return report, ()


class _Cancellable:
    """A sound that ends with `Cancelled` when its job is cancelled."""

    def __init__(self, sound: Sound, is_cancelled: Callable[[], bool]) -> None:
        self._sound, self._is_cancelled = sound, is_cancelled

    def __iter__(self) -> Iterator[Samples]:
        for samples in self._sound:
            if self._is_cancelled():
                raise Cancelled()
            yield samples


def _waveform(sound: Sound, num_frames: int) -> list[list[float]]:
    """The lowest and highest sample of both channels, evenly over the whole: 100 a second, fewer of a long one."""
    num_peaks = max(1, min(_MOST_PEAKS, num_frames * _PEAKS_A_SECOND // SAMPLE_RATE))
    lowest, highest = np.zeros(num_peaks), np.zeros(num_peaks)
    frame = 0
    for samples in sound:
        at = np.minimum((frame + np.arange(len(samples))) * num_peaks // max(1, num_frames), num_peaks - 1)
        np.minimum.at(lowest, at, samples.min(axis=1))
        np.maximum.at(highest, at, samples.max(axis=1))
        frame += len(samples)
    return np.round(np.stack([lowest, highest], axis=1), 3).tolist()
