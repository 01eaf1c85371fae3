"""Music into files: generate, measure, normalise, encode.

In: a `RenderJob`; out: one audio file and a report. Remembers nothing between calls; the calling thread does the work.
Sound waits in a temporary file, so memory stays flat however long the piece is.

    ExportError
    ├── UnknownFormat        the file's suffix is none of ours
    └── CannotWrite          the folder is missing or not ours to write to
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.filter import Graph

from engine.audio import CHANNELS, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.render import end_at, perform
from moods.control import Opening
from moods.controller import Controller
from moods.intent import BEATS_PER_BAR
from streaming.errors import StreamingError

Samples = npt.NDArray[np.float32]
"""float32 [frames, channels], in memory or mapped from a file; full scale is ±1."""

CHUNK_FRAMES = SAMPLE_RATE // 2
TRUE_PEAK_DB = -1.0
LIMITER_MARGIN_DB = 0.2
"""The limiter sees peaks at four times the rate; what lies between those samples and the way back down fits in here."""
SILENCE_LUFS = -70.0
"""The absolute gate of ITU-R BS.1770-4: at or below it there is no loudness to speak of."""


class ExportError(StreamingError):
    """Base of what can be wrong with a file to be written."""

    code, title = "export_error", "The file cannot be made"


class UnknownFormat(ExportError):
    code, status = "unknown_format", 422

    def __init__(self, path: Path) -> None:
        known = ", ".join(sorted(FORMATS))
        super().__init__(f"{path.name!r} has no format that can be written; end the name with one of: {known}")


class CannotWrite(ExportError):
    code = "cannot_write"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} cannot be written: {why}; name another --out")


@dataclass(frozen=True, slots=True)
class Format:
    """How libav writes one kind of file."""

    container: str
    codec: str
    sample_format: str
    bit_rate: int | None = None
    packet_frames: int = 1  # a file decodes to a multiple of this where libav drops no padding at the end
    options: dict[str, str] = field(default_factory=dict)


FORMATS = {
    ".wav": Format("wav", "pcm_s24le", "s32"),
    ".flac": Format("flac", "flac", "s32"),  # libavcodec takes 24 of the 32 bits
    ".ogg": Format("ogg", "libopus", "flt", 192_000),
    ".mp3": Format("mp3", "libmp3lame", "fltp", 256_000),
    ".m4a": Format("ipod", "aac", "fltp", 224_000, 1024, {"movie_timescale": str(SAMPLE_RATE)}),
}


@dataclass(frozen=True, slots=True)
class Loudness:
    """Integrated loudness (ITU-R BS.1770-4) and true peak; None where there is only silence."""

    lufs: float | None
    true_peak_db: float | None


@dataclass(frozen=True, slots=True)
class RenderJob:
    opening: Opening
    seed: int
    num_frames: int
    out: Path
    ending: str  # cadence, ring, fade, stop
    lufs: float | None  # None leaves the stream's own level
    config: EngineConfig


def check_target(path: Path) -> Format:
    """Answer how `path` will be written, before any work is done. Raises `UnknownFormat`, `CannotWrite`."""
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise UnknownFormat(path)
    if not path.parent.is_dir():
        raise CannotWrite(path, f"there is no folder {str(path.parent)!r}")
    if path.is_dir():
        raise CannotWrite(path, "it is a folder")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise CannotWrite(path, error.strerror or str(error)) from error
    return file_format


def export(job: RenderJob, on_progress: Callable[[int], None] = lambda frames: None) -> dict[str, Any]:
    """Render `job` to its file and report on it; `on_progress` is told how many frames are composed so far.

    The file appears under its name only when it is complete. Raises `ExportError`, `moods.errors.MoodsError`,
    `engine.errors.EngineError`.
    """
    began = time.monotonic()
    file_format = check_target(job.out)
    controller = Controller(job.opening, job.seed)
    end_at(controller, job.num_frames, job.ending)
    with tempfile.TemporaryDirectory(prefix=".undersong-", dir=job.out.parent) as folder:
        samples = _mapped(Path(folder) / "render", job.num_frames)
        frame = 0
        for block in perform(open_generator(job.config), controller, job.num_frames):
            samples[frame : frame + block.shape[2]] = block[0].T
            frame += block.shape[2]
            on_progress(frame)
        if job.lufs is not None:
            samples = _normalise(samples, job.lufs, Path(folder) / "normalised")
        part = Path(folder) / f"part{job.out.suffix.lower()}"
        write_audio(part, samples, file_format, _tags(job.seed))
        report = {
            "out": str(job.out),
            "frames": job.num_frames,
            "padding_frames": -job.num_frames % file_format.packet_frames,
            "seconds": job.num_frames / SAMPLE_RATE,
            "seed": job.seed,
            **_score_facts(controller, job.num_frames),
            "backend": job.config.backend,
            "loudness": asdict(measure(samples)),
            "files": [str(job.out)],
        }
        os.replace(part, job.out)  # last of all: whoever interrupts before it leaves no file
    return {**report, "wall_seconds": round(time.monotonic() - began, 3)}


def write_audio(path: Path, samples: Samples, file_format: Format, tags: dict[str, str]) -> None:
    """Encode `samples`. The file says what the codec padded, so that all decode to exactly these frames, except that
    libav leaves up to 1023 padding frames at the end of m4a."""
    with av.open(str(path), "w", format=file_format.container, options=file_format.options) as container:
        container.metadata.update(tags)
        stream = container.add_stream(file_format.codec, rate=SAMPLE_RATE)
        stream.layout, stream.format = "stereo", file_format.sample_format
        if file_format.bit_rate:
            stream.bit_rate = file_format.bit_rate
        for frame in _frames(samples):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure(samples: Samples) -> Loudness:
    """Loudness of the whole, by libavfilter's ebur128."""
    found: dict[str, str] = {}
    for frame in _filtered(samples, [("ebur128", "peak=true:metadata=1")]):
        found = dict(frame.metadata) or found  # it speaks every 100 ms; a shorter rest at the end says nothing
    lufs = float(found.get("lavfi.r128.I", SILENCE_LUFS))
    peak = float(found.get("lavfi.r128.true_peak", 0.0))
    return Loudness(
        lufs=round(lufs, 2) if lufs > SILENCE_LUFS else None,
        true_peak_db=round(20 * float(np.log10(peak)), 2) if peak > 0 else None,
    )


def _normalise(samples: Samples, lufs: float, path: Path) -> Samples:
    """Bring the whole to `lufs` with peaks limited to TRUE_PEAK_DB; silence stays silence."""
    normalised, gain_db, measured = samples, 0.0, measure(samples).lufs
    for _ in range(3):  # the limiter takes a little away, so the gain is corrected by what was missed
        if measured is None or abs(lufs - measured) < 0.1:
            break
        gain_db += lufs - measured
        normalised = _mapped(path, len(samples))
        _limit(samples, gain_db, normalised)
        measured = measure(normalised).lufs
    return normalised


def _limit(samples: Samples, gain_db: float, out: Samples) -> None:
    ceiling = 10 ** ((TRUE_PEAK_DB - LIMITER_MARGIN_DB) / 20)
    chain = [
        ("volume", f"{gain_db}dB:precision=float"),
        ("aresample", f"{4 * SAMPLE_RATE}"),
        ("alimiter", f"limit={ceiling:.6f}:level=false:latency=true:attack=5:release=80"),
        ("aresample", f"{SAMPLE_RATE}"),
        ("aformat", f"flt:{SAMPLE_RATE}:stereo"),
    ]
    position = 0
    for frame in _filtered(samples, chain):
        block = frame.to_ndarray().reshape(-1, CHANNELS)[: len(out) - position]
        out[position : position + len(block)] = block
        position += len(block)
    out[position:] = 0.0


def _filtered(samples: Samples, chain: list[tuple[str, str]]) -> Iterator[av.AudioFrame]:
    graph = Graph()
    time_base = Fraction(1, SAMPLE_RATE)
    nodes = [graph.add_abuffer(format="flt", sample_rate=SAMPLE_RATE, layout="stereo", time_base=time_base)]
    nodes += [graph.add(name, arguments) for name, arguments in chain]
    nodes.append(graph.add("abuffersink"))
    for source, sink in zip(nodes, nodes[1:], strict=False):
        source.link_to(sink)
    graph.configure()
    for frame in _frames(samples):
        graph.push(frame)
        yield from _pulled(graph)
    graph.push(None)
    yield from _pulled(graph)


def _pulled(graph: Graph) -> Iterator[av.AudioFrame]:
    while True:
        try:
            yield graph.pull()
        except (BlockingIOError, EOFError):
            return


def _frames(samples: Samples) -> Iterator[av.AudioFrame]:
    for start in range(0, len(samples), CHUNK_FRAMES):
        packed = np.ascontiguousarray(samples[start : start + CHUNK_FRAMES]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        yield frame


def _mapped(path: Path, num_frames: int) -> Samples:
    return np.memmap(path, np.float32, "w+", shape=(num_frames, CHANNELS))


def _tags(seed: int) -> dict[str, str]:
    """Say in the file that a machine made it, and how to make it again."""
    return {"comment": f"Generated by Undersong {version('undersong')} (music composed by a machine), seed {seed}"}


def _score_facts(controller: Controller, num_frames: int) -> dict[str, Any]:
    """What an editor wants to know: tempo and key at the beginning, beats and sections in seconds."""
    clock, opening_intent = controller.clock, controller.beat_intent(0)
    beats: list[float] = []
    sections: list[dict[str, Any]] = []
    while (frame := clock.frame_of_beat(len(beats))) < num_frames:
        if len(beats) % BEATS_PER_BAR == 0:
            name = controller.beat_intent(len(beats)).section
            if not sections or sections[-1]["name"] != name:
                at, bar = frame / SAMPLE_RATE, len(beats) // BEATS_PER_BAR + 1
                sections.append({"name": name, "at": round(at, 6), "bar": bar})
        beats.append(round(frame / SAMPLE_RATE, 6))
    return {
        "bpm": round(opening_intent.bpm, 3),
        "key": str(opening_intent.key),
        "beats": beats,
        "sections": sections,
    }
