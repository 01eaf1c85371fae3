"""A clip is read as it is: its frames and their times to the frame, its sound to the sample, or it is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from engine.audio import SAMPLE_RATE
from streaming.files import video
from streaming.files.errors import BadVideo
from streaming.files.sound import Sound
from streaming.files.video import probe, read_sound
from tests.clips import NTSC, NTSC_FILM, Picture, write_clip
from tests.signals import Signal, noise, rms_db, sine

SMALL = (64, 36)


def picture(fps: Fraction | int = 25, **fields: object) -> Picture:
    return Picture(num_frames=round(1.2 * fps), fps=fps, size=SMALL, **fields)


def joined(sound: Sound) -> Signal:
    return np.concatenate(list(sound))


def clicks(seconds: float, *at_s: float) -> Signal:
    sound = np.zeros((round(seconds * SAMPLE_RATE), 2), np.float32)
    for click_s in at_s:
        sound[round(click_s * SAMPLE_RATE)] = 0.9
    return sound


# --- the picture -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fps", "suffix"),
    [(24, ".mp4"), (25, ".mov"), (30, ".mkv"), (60, ".mp4"), (NTSC, ".mkv"), (NTSC, ".mp4"), (NTSC_FILM, ".mov")],
)
def test_frames_are_counted_and_their_rate_is_exact(fps: Fraction | int, suffix: str, tmp_path: Path) -> None:
    shown = picture(fps)
    read = probe(write_clip(tmp_path / f"x{suffix}", shown, noise(1.2)))
    assert (read.num_frames, read.fps) == (shown.num_frames, fps)
    assert read.duration == shown.num_frames / Fraction(fps)
    assert read.time_of(7) == 7 / Fraction(fps)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_a_picture_that_begins_late_is_whole(suffix: str, tmp_path: Path) -> None:
    late = picture(times_s=[2 + frame / 25 for frame in range(31)])
    assert probe(write_clip(tmp_path / f"x{suffix}", late)).num_frames == 30


def test_frames_at_no_steady_rate_keep_their_times(tmp_path: Path) -> None:
    times_s = [0.0, 0.1, 0.15, 0.3, 0.35, 0.9, 1.0, 1.7]
    shown = Picture(num_frames=7, times_s=times_s, size=SMALL)
    read = probe(write_clip(tmp_path / "x.mp4", shown, codec_options={"bf": "0"}))
    assert read.fps is None
    assert [float(read.time_of(frame)) for frame in range(7)] == pytest.approx(times_s[:-1])
    assert (read.duration, read.num_frames) == (Fraction("1.7"), 7)


@pytest.mark.parametrize(("size", "rotation"), [((65, 37), 0), ((64, 36), 90), ((64, 36), 270), ((64, 36), 180)])
def test_odd_sizes_and_turned_pictures_are_told(size: tuple[int, int], rotation: int, tmp_path: Path) -> None:
    read = probe(write_clip(tmp_path / "x.mp4", Picture(size=size), rotation=rotation))
    assert ((read.width, read.height), read.rotation) == (size, rotation)
    assert read.shown_size == (size[::-1] if rotation % 180 else size)


def test_a_cover_is_no_picture(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "x.mp4"), "w") as container:
        heard = container.add_stream("aac", rate=SAMPLE_RATE)
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = *SMALL, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame(*SMALL, "yuvj420p")))
        container.mux(cover.encode(None))
        frame = av.AudioFrame.from_ndarray(noise(2.0).reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate = SAMPLE_RATE
        container.mux(heard.encode(frame))
        container.mux(heard.encode(None))
    with pytest.raises(BadVideo, match="no video stream"):
        probe(tmp_path / "x.mp4")


# --- its sound -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("starts_s", [0.0, 0.3])
def test_sound_is_as_long_as_the_picture_and_where_it_was(suffix: str, starts_s: float, tmp_path: Path) -> None:
    read = probe(write_clip(tmp_path / f"x{suffix}", picture(NTSC), clicks(3.0, 0.5, 0.7), sound_starts_s=starts_s))
    heard = joined(read_sound(read))
    assert len(heard) == read.num_sound_frames == round(36 * 1001 / 30_000 * SAMPLE_RATE)
    tolerance = 48 if suffix == ".mkv" or starts_s else 1  # that is told in milliseconds
    for click_s in (0.5, 0.7):
        around = round((click_s + starts_s) * SAMPLE_RATE) - 2000
        found = around + int(np.abs(heard[around : around + 4000, 0]).argmax())
        assert found == pytest.approx((click_s + starts_s) * SAMPLE_RATE, abs=tolerance)


def test_a_silent_clip_has_silence(tmp_path: Path) -> None:
    read = probe(write_clip(tmp_path / "x.mp4", picture()))
    heard = joined(read_sound(read))
    assert read.sound_index is None and heard.shape == (read.num_sound_frames, 2) and not heard.any()


@pytest.mark.parametrize(("layout", "channel", "level_db"), [("mono", 0, 0.0), ("stereo", 0, -3.0), ("5.1", 2, 0.0)])
def test_all_channels_are_heard_at_their_level(layout: str, channel: int, level_db: float, tmp_path: Path) -> None:
    """Of both loudspeakers together, over what the channel had; a centre is shared by both at -3 dB."""
    tone = sine(440.0, 1.2)
    channels = np.zeros((len(tone), {"mono": 1, "stereo": 2, "5.1": 6}[layout]), np.float32)
    channels[:, channel] = tone[:, 0]
    read = probe(write_clip(tmp_path / "x.mkv", picture(), channels, layout=layout, sound_codec="pcm_f32le"))
    heard = joined(read_sound(read))[4800:-4800]
    both_db = rms_db(heard) + (0.0 if layout == "mono" else 3.01 if layout == "5.1" else 0.0)
    assert both_db == pytest.approx(rms_db(tone) + level_db, abs=0.1)


def test_a_gap_in_the_sound_stays_a_gap(tmp_path: Path) -> None:
    whole, cut = tmp_path / "x.mkv", tmp_path / "y.mkv"
    sound = noise(1.2) + clicks(1.2, 1.0)
    write_clip(whole, picture(), sound, sound_codec="pcm_s16le")
    with av.open(str(whole)) as there, av.open(str(cut), "w") as here:
        streams = [here.add_stream_from_template(stream, opaque=True) for stream in there.streams]
        for packet in there.demux():
            if packet.pts is not None and not (packet.stream.type == "audio" and 400 <= packet.pts < 600):
                packet.stream = streams[packet.stream_index]
                here.mux(packet)
    heard = joined(read_sound(probe(cut)))
    assert not heard[21_000:27_000].any() and heard[:18_000].any()
    assert int(np.abs(heard).max(axis=1).argmax()) == pytest.approx(48_000, abs=48)


def test_of_several_sounds_the_default_is_taken(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "x.mkv"), "w") as container:
        shown = container.add_stream("libx264", rate=25)
        shown.width, shown.height, shown.pix_fmt = *SMALL, "yuv420p"
        both = [container.add_stream("pcm_s16le", rate=SAMPLE_RATE) for _ in range(2)]
        both[0].disposition, both[1].disposition = Disposition(0), Disposition.default
        for rgb in picture().frames():
            container.mux(shown.encode(av.VideoFrame.from_ndarray(rgb)))
        container.mux(shown.encode(None))
        for stream, signal in zip(both, (noise(1.2), sine(440.0, 1.2)), strict=True):
            packed = (signal.reshape(1, -1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(packed, format="s16", layout="stereo")
            frame.sample_rate = SAMPLE_RATE
            container.mux([*stream.encode(frame), *stream.encode(None)])
    heard = joined(read_sound(probe(tmp_path / "x.mkv")))
    assert np.abs(heard - sine(440.0, 1.2)[: len(heard)]).max() < 1e-3


# --- what cannot be scored -------------------------------------------------------------------------------------------


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_that_is_cut_off_is_refused(suffix: str, tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / f"x{suffix}", Picture(num_frames=100, size=SMALL), noise(4.0),
        container_options={"movflags": "faststart"} if suffix == ".mp4" else None,
    )  # fmt: skip
    halved(path)
    with pytest.raises(BadVideo, match="cut off") as caught:
        probe(path)
    assert "\n" not in str(caught.value) and "copy it again" in str(caught.value)


def test_a_file_without_its_index_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "x.mp4", picture(), noise(1.2))
    halved(path)
    with pytest.raises(BadVideo, match="cannot be read"):
        probe(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.mp4", b""),
        ("text.mp4", b"not a film" * 1000),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nx.ts\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", b"ffconcat version 1.0\nfile x.mp4\n"),
        ("still.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 100),
    ],
)
def test_what_is_no_film_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    write_clip(tmp_path / "x.mp4", picture())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadVideo, match=name) as caught:
        probe(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_sound_alone_a_moment_and_too_many_pixels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadVideo, match="no video stream"):
        probe(write_clip(tmp_path / "x.mp4", None, noise(2.0)))
    with pytest.raises(BadVideo, match="0.4 s long"):
        probe(write_clip(tmp_path / "x.mp4", Picture(num_frames=10, size=SMALL)))
    monkeypatch.setattr(video, "MOST_PIXELS", 64 * 36 - 1)
    with pytest.raises(BadVideo, match="x.mp4"):
        probe(write_clip(tmp_path / "x.mp4", picture()))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadVideo, match=r"none\.mp4.*No such file"):
        probe(tmp_path / "none.mp4")


@pytest.mark.parametrize("name", ["a b.mp4", "-x.mp4", "http:x.mp4", "音乐.mp4", "\udcff.mp4", "50%.mp4"])
def test_any_name_is_one(name: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "x.mp4", picture())
    (tmp_path / "x.mp4").rename(tmp_path / name)
    assert probe(tmp_path / name).num_frames == 30


def test_damage_within_leaves_the_rest(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "x.mp4", Picture(num_frames=100, size=(160, 90)), noise(4.0))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    path.write_bytes(content)
    read = probe(path)
    assert read.num_frames == 100
    assert len(joined(read_sound(read))) == read.num_sound_frames
