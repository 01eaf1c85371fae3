"""A file to be read: its bytes, its name, what is known of the picture. Remembers nothing; any thread."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from fractions import Fraction

from streaming.files.exchange.errors import BadExchange
from streaming.files.exchange.timecode import Timebase, can_drop, last_field

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_HAN = re.compile("[\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef]+")


@dataclass(frozen=True, slots=True)
class Source:
    """`fps` and `duration` are the picture's, where they are known."""

    document: bytes
    name: str
    fps: Fraction | None = None
    duration: Fraction | None = None

    @property
    def ending(self) -> str:
        return self.name.rpartition(".")[2].casefold()

    def bad(self, where: str, problem: str, way_out: str) -> BadExchange:
        return BadExchange(self.name, where, problem, way_out)

    def text(self) -> str:
        """The document's text: Unicode, or what Windows writes in China and in the West."""
        for mark, encoding in _MARKS:
            if self.document.startswith(mark):
                return self.document.decode(encoding, "replace")
        try:
            return self.document.decode("utf-8")
        except UnicodeDecodeError:
            return self._chinese() or self.document.decode("cp1252", "replace")

    def _chinese(self) -> str:
        """Read as GB 18030; empty where that gives single characters among Latin letters, as accents would."""
        try:
            text = self.document.decode("gb18030")
        except UnicodeDecodeError:
            return ""
        runs = _HAN.findall(text)
        return text if runs and sum(map(len, runs)) >= 2 * len(runs) else ""

    def timebase(self, timecodes: list[str], said: Fraction | None, is_drop: bool, notes: list[str]) -> Timebase:
        """How the file counts: at `said` fps, else as the picture, else as its timecodes show, which is noted."""
        rate = said or self.fps
        if rate is None:
            highest = max(map(last_field, timecodes), default=0)
            whole = next((fps for fps in (24, 25, 30, 50, 60) if highest < fps), 120)
            rate = Fraction((60 if highest > 29 else 30) * 1000, 1001) if is_drop else Fraction(whole)
            notes.append(f"its fps are not said; {float(rate):.5g} was taken from its timecodes")
        if is_drop and not can_drop(rate):
            raise self.bad(
                "", f"its timecode is drop-frame, at {float(rate):.6g} fps", "only 29.97 and 59.94 fps are counted so"
            )
        return Timebase(rate, is_drop)

    def frames(self, timebase: Timebase, timecode: str, where: str) -> int:
        """Frames since 00:00:00:00. Raises `BadExchange`."""
        try:
            return timebase.frames(timecode)
        except ValueError as error:
            raise self.bad(where, *str(error).split("; ", 1)) from None
