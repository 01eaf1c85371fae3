"""Music gives way to speech before it begins, stays far enough below it, is back soon after, and else as it was."""

from __future__ import annotations

import numpy as np
import pytest

from engine.audio import SAMPLE_RATE
from moods.timeline import TimelineDuck
from streaming.files.bed import BELOW_SPEECH_DB, GainCurve, bed_curve, mixed
from tests.clips import speech_track
from tests.signals import Signal, noise, rms_db, sine

WINDOW, STEP = 19_200, 4800


def gains_db(curve: GainCurve, seconds: float) -> Signal:
    """The gain of every sample."""
    ones = np.ones((round(seconds * SAMPLE_RATE), 2), np.float32)
    return 20 * np.log10(np.concatenate(list(curve.apply([ones])))[:, 0])


def bed(music: Signal, voice: Signal, said: list[tuple[float, float]], **fields: object) -> GainCurve:
    return bed_curve([music], [voice], said, TimelineDuck.model_validate(fields))


@pytest.mark.parametrize("level_db", [-16.0, -34.0])
def test_speech_lies_above_the_music_all_the_while(level_db: float) -> None:
    voice, said = speech_track(10.0, [1.5, 6.0], level_db=level_db)
    swelling = noise(10.0, 0.12) * (1 + 0.8 * np.sin(np.arange(480_000) / 20_000))[:, None].astype(np.float32)
    heard = np.concatenate(list(bed(swelling, voice, said).apply([swelling])))
    for start_s, end_s in said:
        for first in range(round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE) - WINDOW, STEP):
            window = slice(first, first + WINDOW)
            assert rms_db(heard[window]) <= rms_db(voice[window]) - BELOW_SPEECH_DB


def test_the_way_down_is_over_when_speech_begins_and_the_way_up_is_short() -> None:
    voice, said = speech_track(10.0, [2.0], level_db=-10.0)
    found_db = gains_db(bed(noise(10.0, 0.05), voice, said, attack=0.3, release=0.5), 10.0)
    start, end = (round(place_s * SAMPLE_RATE) for place_s in said[0])
    assert not found_db[: start - 14_400].any() and not found_db[end + 24_001 :].any()
    assert found_db[start : end + 1].max() <= -12.0
    down, up = found_db[start - 14_400 : start + 1], found_db[end : end + 24_001]
    assert (np.diff(down) <= 0).all() and (np.diff(up) >= 0).all()
    assert np.abs(np.diff(found_db)).max() < 0.01  # dB a sample: no click


def test_it_is_no_louder_than_asked_even_where_it_need_not_be_so_soft() -> None:
    voice, said = speech_track(8.0, [2.0], level_db=-6.0)
    quiet = noise(8.0, 0.001)
    for asked_db in (-6.0, -20.0):
        found_db = gains_db(bed(quiet, voice, said, gain_db=asked_db), 8.0)
        assert found_db.min() == pytest.approx(asked_db, abs=0.01)


def test_where_nobody_speaks_the_music_is_what_it_was() -> None:
    voice, said = speech_track(8.0, [2.0])
    music = noise(8.0)
    for curve in (bed(music, voice, []), bed(music, voice, said, under="nothing")):
        assert np.array_equal(np.concatenate(list(curve.apply([music]))), music)
    chunks = np.array_split(music, 40)
    under = list(bed(music, voice, said).apply(chunks))
    assert under[0] is chunks[0] and under[-1] is chunks[-1]


def test_spans_without_a_voice_ask_for_no_more_than_was_asked() -> None:
    """As those of subtitles, for somebody who is yet to speak."""
    found_db = gains_db(bed(noise(8.0), np.zeros((384_000, 2), np.float32), [(2.0, 4.0)]), 8.0)
    assert found_db.min() == pytest.approx(-12.0, abs=0.01)


def test_music_does_not_come_up_between_words() -> None:
    voice, said = speech_track(12.0, [1.0, 4.6], level_db=-12.0)
    found_db = gains_db(bed(noise(12.0, 0.05), voice, said), 12.0)
    assert said[1][0] - said[0][1] < 0.6
    assert found_db[round(said[0][1] * SAMPLE_RATE) : round(said[1][0] * SAMPLE_RATE)].max() <= -12.0


@pytest.mark.parametrize(
    "spans", [[(0.0, 1.0)], [(7.0, 8.0)], [(3.0, 3.001)], [(7.5, 20.0)], [(9.0, 10.0)], [(4.0, 5.0), (1.0, 4.5)]]
)
def test_any_spans_make_a_curve(spans: list[tuple[float, float]]) -> None:
    curve = bed(noise(8.0), noise(8.0, 0.3), spans)
    assert (np.diff(curve.frames) > 0).all()
    found_db = gains_db(curve, 8.0)
    for start_s, end_s in spans:
        assert (found_db[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)] <= -11.99).all()


def test_chunks_of_any_size_give_the_same() -> None:
    voice, said = speech_track(8.0, [2.0])
    music = sine(110.0, 8.0)
    whole, pieces = (
        bed_curve(one, other, said, TimelineDuck())
        for one, other in (([music], [voice]), (np.array_split(music, 77), np.array_split(voice, 13)))
    )
    assert whole.gains_db == pytest.approx(pieces.gains_db)
    applied = [np.concatenate(list(whole.apply(chunks))) for chunks in ([music], np.array_split(music, 31))]
    assert np.array_equal(*applied)
    both = np.concatenate(list(mixed(np.array_split(music, 7), np.array_split(voice[:300_000], 5))))
    assert np.array_equal(both[:300_000], (music + voice)[:300_000]) and np.array_equal(both[300_000:], music[300_000:])


def test_spans_that_overlap_are_as_the_one_they_make() -> None:
    voice, said = speech_track(8.0, [2.0])
    (start_s, end_s), music = said[0], noise(8.0)
    middle_s = (start_s + end_s) / 2
    whole, twice = bed(music, voice, said), bed(music, voice, [*said, (start_s, middle_s), (start_s + 0.1, end_s)])
    assert np.array_equal(gains_db(whole, 8.0), gains_db(twice, 8.0))
