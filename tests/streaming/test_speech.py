"""Speech is found when somebody speaks, and not in silence, noise or music."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from streaming.files.errors import Cancelled, CannotListen
from streaming.files.speech import Listening, find_speech
from tests.clips import speech_track
from tests.signals import noise, sine


@pytest.mark.parametrize(("voice", "level_db"), [("en", -20.0), ("en+f3", -35.0), ("cmn", -20.0)])
def test_spans_hold_what_is_said_and_little_else(voice: str, level_db: float) -> None:
    sound, said = speech_track(12.0, [1.0, 6.5], voice=voice, level_db=level_db)
    spans = find_speech([sound + noise(12.0, 10 ** ((level_db - 35) / 20))])
    assert len(spans) == 2
    for (start, end), (first, last) in zip(spans, said, strict=True):
        assert first - 0.2 < start < first + 0.02 and last - 0.05 < end < last + 0.2


def test_a_breath_does_not_end_a_span() -> None:
    sound, said = speech_track(9.0, [1.0])
    first, end = round(2.0 * 48_000), round(said[0][1] * 48_000)
    broken = np.concatenate([sound[:first], np.zeros((7200, 2), np.float32), sound[first : end + 48_000]])
    assert len(find_speech([broken])) == 1


def test_chunks_of_any_size_give_the_same() -> None:
    sound, _ = speech_track(5.0, [0.7])
    assert find_speech([sound]) == find_speech(np.array_split(sound, 37))


@pytest.mark.parametrize(
    "sound",
    [np.zeros((0, 2), np.float32), np.zeros((96_000, 2), np.float32), noise(3.0, 0.05), sine(220.0, 3.0)],
    ids=["nothing", "silence", "noise", "tone"],
)
def test_where_nobody_speaks_nothing_is_found(sound: np.ndarray) -> None:
    assert find_speech([sound] if len(sound) else []) == []


def test_a_clip_that_begins_and_ends_in_speech_is_speech_throughout() -> None:
    sound, said = speech_track(6.0, [0.0])
    spans = find_speech([sound[: round(said[0][1] * 48_000)]])
    assert len(spans) == 1 and spans[0][0] == 0.0 and spans[0][1] == pytest.approx(said[0][1], abs=0.04)


def endless(chunk: np.ndarray) -> Iterator[np.ndarray]:
    while True:
        yield chunk


def test_who_leaves_early_does_not_wait_for_the_end_of_the_sound() -> None:
    with pytest.raises(KeyboardInterrupt), Listening(endless(noise(0.5, 0.1))) as listening:
        process = listening.process
        raise KeyboardInterrupt
    assert process.returncode is not None


def test_a_detector_that_dies_is_told_as_such() -> None:
    with Listening(endless(noise(0.5, 0.1))) as listening:
        listening.process.kill()
        with pytest.raises(CannotListen, match="signal 9"):
            listening.spans()


def test_what_goes_wrong_with_the_sound_ends_the_search() -> None:
    def broken() -> Iterator[np.ndarray]:
        yield noise(0.5, 0.1)
        raise Cancelled()

    with pytest.raises(Cancelled):
        find_speech(broken())
