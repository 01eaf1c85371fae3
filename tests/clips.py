"""Film clips made in code: moving pictures with cuts at known frames, speech at known seconds, in real encoded files.

`write_clip` encodes what a `Picture` and a `Signal` describe; `speech` and `speech_track` speak by espeak-ng.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import espeakng_loader
import numpy as np
import numpy.typing as npt
from scipy.ndimage import zoom
from scipy.signal import resample_poly

from engine.audio import SAMPLE_RATE
from tests.signals import Signal

NTSC_FILM, NTSC = Fraction(24_000, 1001), Fraction(30_000, 1001)
Rgb = npt.NDArray[np.uint8]
"""uint8 [height, width, 3]."""

LINES = (
    "The river was quiet when we left the village before sunrise.",
    "Nobody believed that the old bridge would carry all of us.",
    "We packed the car, checked the map once more, and drove north.",
    "By noon the clouds had gone, and the whole valley lay open below.",
)


# --- picture ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Shots of a moving camera over a landscape of blobs with something walking through; frames count from 0."""

    num_frames: int = 75
    fps: Fraction | int = 25
    cuts: Sequence[int] = ()
    """The first frames of new shots."""
    dissolves: Sequence[tuple[int, int]] = ()
    """(first frame that is mixed, number of mixed frames)."""
    flashes: Sequence[int] = ()
    """Frames that are nearly white, as of a camera's flash."""
    pan: float = 1.0
    """Camera speed; at 1 a picture's width takes ten seconds."""
    likeness: float = 0.0
    """How much of their colours all shots share, 0 … 1: at 1 cuts are between views of one scene."""
    size: tuple[int, int] = (320, 180)
    times_s: Sequence[float] | None = None
    """When each frame is shown, if not at a steady rate."""
    seed: int = 0

    def times(self) -> list[Fraction]:
        """When each frame begins, and when the last one ends, [num_frames + 1] seconds."""
        if self.times_s is None:
            return [frame / Fraction(self.fps) for frame in range(self.num_frames + 1)]
        assert len(self.times_s) == self.num_frames + 1, len(self.times_s)
        return [Fraction(round(time_s * 90_000), 90_000) for time_s in self.times_s]

    def frames(self) -> Iterator[Rgb]:
        shots = [_Shot(self, number) for number in range(1 + len(self.cuts) + len(self.dissolves))]
        changes = sorted([*((cut, 0) for cut in self.cuts), *self.dissolves])
        for frame in range(self.num_frames):
            begun = sum(first <= frame for first, _ in changes)
            picture = shots[begun].at(frame)
            if begun:
                first, length = changes[begun - 1]
                if frame < first + length:
                    share = (frame - first + 1) / (length + 1)
                    picture = (1 - share) * shots[begun - 1].at(frame) + share * picture
            yield (0.1 * picture + 229 if frame in self.flashes else picture).astype(np.uint8)


class _Shot:
    """One camera position: a wide landscape that is panned over, and a walker."""

    def __init__(self, picture: Picture, number: int) -> None:
        random = np.random.default_rng([picture.seed, number])
        self._width, self._height = picture.size
        self._speed = picture.pan * self._width / (10 * float(picture.fps)) * random.choice((-1.0, 1.0))
        common = np.random.default_rng(picture.seed).uniform(10, 245, (2, 3))
        colours = picture.likeness * common + (1 - picture.likeness) * random.uniform(10, 245, (2, 3))
        dark, light = np.sort(colours, axis=0)
        land = sum(
            share * zoom(random.random((high, wide, 3)), (self._height / high, 4 * self._width / wide, 1), order=1)
            for share, high, wide in ((0.7, 7, 25), (0.3, 25, 160))
        )
        self._land = (dark + (light - dark) * land).astype(np.float32)
        self._start = random.integers(self._width, 2 * self._width)
        self._walker, self._colour = random.uniform(0, 1, 3), random.uniform(0, 255, 3)

    def at(self, frame: int) -> npt.NDArray[np.float32]:
        place = self._start + self._speed * frame
        columns, between = int(np.floor(place)) + np.arange(self._width + 1), np.float32(place % 1)
        seen = self._land[:, columns % self._land.shape[1]]
        picture = (1 - between) * seen[:, :-1] + between * seen[:, 1:]  # a camera does not move by whole pixels
        size = self._height // 5
        left = int((self._walker[0] + frame * (self._walker[2] - 0.5) / 60) * self._width) % self._width
        top = int(self._walker[1] * (self._height - size))
        picture[top : top + size, left : left + size] = self._colour
        return picture


def write_clip(
    path: Path,
    picture: Picture | None = None,
    sound: Signal | None = None,
    *,
    codec: str = "libx264",
    codec_options: dict[str, str] | None = None,
    sound_codec: str | None = None,
    layout: str = "stereo",
    sound_starts_s: float = 0.0,
    rotation: int = 0,
    container_options: dict[str, str] | None = None,
    timecode: str | None = None,
) -> Path:
    """Encode; the container is that of the name. `sound` is [frames, channels of `layout`] at 48 kHz.

    Without a picture it is a file of sound alone.
    """
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        shown = heard = None
        if picture is not None:
            shown = container.add_stream(codec, rate=Fraction(picture.fps), options=codec_options or _quick(codec))
            shown.width, shown.height = picture.size
            is_even = not any(side % 2 for side in picture.size)
            shown.pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p" if is_even else "yuv444p"
            shown.codec_context.time_base = (
                1 / Fraction(picture.fps) if picture.times_s is None else Fraction(1, 90_000)
            )
            if rotation:
                shown.set_display_rotation(rotation)
            if timecode:
                shown.metadata["timecode"] = timecode
        if sound is not None:
            in_webm = path.suffix in (".webm", ".mkv", ".opus")
            heard = container.add_stream(sound_codec or ("libopus" if in_webm else "aac"), rate=SAMPLE_RATE)
            heard.layout = layout
        if shown is not None:
            times, time_base = picture.times(), shown.codec_context.time_base
            ticks = [round(time_s / time_base) for time_s in times]
            lasts = {tick: following - tick for tick, following in pairwise(ticks)}

            def mux_picture(packets: list[av.Packet]) -> None:
                for packet in packets:
                    packet.duration = lasts[packet.pts]  # an encoder forgets how long the last one is
                    container.mux(packet)

            for number, rgb in enumerate(picture.frames()):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
                frame.pts, frame.time_base = ticks[number], time_base
                mux_picture(shown.encode(frame))
            mux_picture(shown.encode(None))
        if heard is not None:
            start = round(sound_starts_s * SAMPLE_RATE)
            for at in range(0, len(sound), 1024):
                packed = np.ascontiguousarray(sound[at : at + 1024], np.float32).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
                frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start + at, Fraction(1, SAMPLE_RATE)
                container.mux(heard.encode(frame))
            container.mux(heard.encode(None))
    return path


def _quick(codec: str) -> dict[str, str]:
    return {
        "libx264": {"preset": "ultrafast", "crf": "23", "bf": "2"},
        "libx265": {"preset": "ultrafast", "x265-params": "log-level=error"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    }.get(codec, {})


# --- speech ----------------------------------------------------------------------------------------------------------


@cache
def _espeak() -> tuple[ctypes.CDLL, int, list[npt.NDArray[np.int16]], object]:
    """The library, its sample rate, where it puts what it speaks, and the callback, which must live on."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    spoken: list[npt.NDArray[np.int16]] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(samples: object, count: int, events: object) -> int:
        if samples and count:
            spoken.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    synchronous = 2
    rate = library.espeak_Initialize(synchronous, 0, espeakng_loader.get_data_path().encode(), 0)
    assert rate > 0, rate
    library.espeak_SetSynthCallback(take)
    return library, rate, spoken, take


def speech(text: str, voice: str = "en", level_db: float = -20.0, words_a_minute: int = 165) -> Signal:
    """Speak `text`, without silence around it; float32 [frames, 2], RMS `level_db`. Voices: en, de, fr, cmn, en+f3 …"""
    library, rate, spoken, _ = _espeak()
    assert library.espeak_SetVoiceByName(voice.encode()) == 0, voice
    library.espeak_SetParameter(1, words_a_minute, 0)
    spoken.clear()
    encoded, utf8 = text.encode(), 1
    assert library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, utf8, None, None) == 0
    wave = np.concatenate(spoken) / 2**15
    loud = np.flatnonzero(np.abs(wave) > 0.01 * np.abs(wave).max())
    wave = resample_poly(wave[loud[0] : loud[-1] + 1], SAMPLE_RATE, rate)
    wave *= 10 ** (level_db / 20) / np.sqrt(np.mean(np.square(wave)))
    return np.repeat(wave[:, None], 2, axis=1).astype(np.float32)


@cache
def _line(number: int, voice: str) -> Signal:
    return speech(LINES[number % len(LINES)], voice, level_db=0.0)


def speech_track(
    seconds: float, starts_s: Sequence[float], *, voice: str = "en", level_db: float = -20.0
) -> tuple[Signal, list[tuple[float, float]]]:
    """A line spoken at each of `starts_s` into silence; the sound and when something is said, in seconds."""
    sound, spans = np.zeros((round(seconds * SAMPLE_RATE), 2), np.float32), []
    for number, start_s in enumerate(starts_s):
        first = round(start_s * SAMPLE_RATE)
        line = _line(number, voice)[: len(sound) - first] * 10 ** (level_db / 20)
        sound[first : first + len(line)] += line
        spans.append((start_s, (first + len(line)) / SAMPLE_RATE))
    return sound, spans
