"""Subtitles, SubRip and WebVTT: when somebody speaks. What is said does not matter here, only whether it is speech.

So but the lines with times are read, in whatever order, with or without numbers. Remembers nothing; any thread.
"""

from __future__ import annotations

import re
from fractions import Fraction

from streaming.files.exchange.sequence import EditedSequence
from streaming.files.exchange.source import Source
from streaming.files.exchange.timecode import Timebase

MAX_CUES = 20_000
_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,:](\d{1,3})"
_CUE = re.compile(rf"^[ \t]*{_TIME}[ \t]*-{{2,3}}>[ \t]*{_TIME}[^\n]*", re.MULTILINE)
_TAG = re.compile(r"<[^>]*>|\{[^}]*\}")
_SOUND = re.compile(r"[\[(（【♪♫#*].*[\])）】♪♫#*]|[♪♫\s-]*", re.DOTALL)
"""[applause], (door), ♪ a song ♪: heard, not spoken."""


def read(source: Source) -> EditedSequence:
    text = source.text().replace("\r\n", "\n").replace("\r", "\n")
    cues = list(_CUE.finditer(text))
    if not cues:
        raise source.bad("", "it has no line such as 00:00:01,000 --> 00:00:03,500", "export it as SubRip or WebVTT")
    if len(cues) > MAX_CUES:
        raise source.bad("", f"it has {len(cues)} cues", f"allowed are {MAX_CUES}")
    timebase = None if source.fps is None else Timebase(source.fps)
    out = EditedSequence(timebase, None)
    num_sounds = 0
    for cue, following in zip(cues, [*cues[1:], None], strict=True):
        start, end = _seconds(cue, 1), _seconds(cue, 5)
        if end < start:
            line = text.count("\n", 0, cue.start()) + 1
            raise source.bad(f"line {line}", f"{cue[0].strip()} ends before it begins", "correct its times")
        words = text[cue.end() :] if following is None else _numberless(text[cue.end() : following.start()])
        words = _TAG.sub("", words).strip()
        if _SOUND.fullmatch(words):
            num_sounds += 1
        elif start < end:
            out.speech.append((start, end))
    if num_sounds:
        out.notes.append(f"cues without words, of sounds and songs, were not taken for speech: {num_sounds}")
    if source.duration is None:
        out.duration = max(_seconds(cue, 5) for cue in cues)
        out.notes.append("subtitles do not say how long the picture is; the end of the last cue was taken")
    return out


def _numberless(text: str) -> str:
    """Without the number of the next cue."""
    return re.sub(r"\n\s*\d+\s*$", "", text)


def _seconds(cue: re.Match[str], group: int) -> Fraction:
    hours, minutes, seconds, millis = cue.groups()[group - 1 : group + 3]
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + Fraction(int(millis.ljust(3, "0")), 1000)
