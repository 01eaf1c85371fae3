"""What can be wrong with an exchange file.

StreamingError
├── BadExchange       what is read
└── BadMarkers        what is to be written
"""

from __future__ import annotations

from moods.errors import shown
from streaming.errors import StreamingError


class BadExchange(StreamingError):
    """`name` is the file's, `where` the line or element, `problem` says what is there, `way_out` what to do."""

    code, status, title = "bad_exchange", 422, "The timeline cannot be read"

    def __init__(self, name: str, where: str, problem: str, way_out: str) -> None:
        place = f"{shown(name)}, {where}" if where else shown(name)
        super().__init__(" ".join(f"{place}: {problem}; {way_out}".split()), file=name, where=where)


class BadMarkers(StreamingError):
    code, status, title = "bad_markers", 422, "The markers cannot be written"
