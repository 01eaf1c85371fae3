"""Timecode counts frames as editing programs do, exactly, over a whole day."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import opentimelineio as otio
import pytest

from streaming.files.exchange.timecode import Timebase

NTSC = Fraction(1000, 1001)
TIMEBASES = [
    Timebase(24 * NTSC), Timebase(Fraction(24)), Timebase(Fraction(25)), Timebase(30 * NTSC),
    Timebase(30 * NTSC, True), Timebase(Fraction(30)), Timebase(Fraction(50)), Timebase(60 * NTSC, True),
]  # fmt: skip


@pytest.mark.parametrize("timebase", TIMEBASES, ids=str)
def test_timecode_and_frame_are_two_names_of_one_place(timebase: Timebase) -> None:
    of_a_day = timebase.frames("23:59:59:" + str(timebase.counted_rate - 1))
    for frame in [*range(4000), *Random(1).sample(range(of_a_day), 2000), of_a_day]:
        assert timebase.frames(timebase.timecode(frame)) == frame


@pytest.mark.parametrize("timebase", TIMEBASES, ids=str)
def test_timecode_is_that_of_opentimelineio(timebase: Timebase) -> None:
    rate = float(timebase.rate)
    for frame in Random(2).sample(range(24 * 3600 * 23), 1000):
        theirs = otio.opentime.to_timecode(otio.opentime.RationalTime(frame, rate), rate, timebase.is_drop_frame)
        assert timebase.timecode(frame) == theirs


def test_drop_frame_keeps_with_the_clock_and_leaves_numbers_out() -> None:
    drop = Timebase(30 * NTSC, True)
    assert drop.timecode(1800) == "00:01:00;02" and drop.timecode(17982) == "00:10:00;00"
    assert abs(drop.seconds(drop.frames("10:00:00;00")) - 36_000) < Fraction(1, 20)
    with pytest.raises(ValueError, match='"00:01:00;00" is left out'):
        drop.frames("00:01:00;00")


@pytest.mark.parametrize("timecode", ["01:00:00:25", "01:60:00:00", "1:2", "aa:bb:cc:dd"])
def test_what_no_clock_shows_is_refused(timecode: str) -> None:
    with pytest.raises(ValueError, match=timecode):
        Timebase(Fraction(25)).frames(timecode)
