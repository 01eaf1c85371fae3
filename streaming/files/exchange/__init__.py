"""Timelines in, markers out, in the formats that editing programs write and read.

`read_timeline` and `read_exchange` read; `write_markers` and `markers_document` write. docs/timelines.md says what
becomes of what. Remembers nothing; any thread, but never the event loop's.
"""

from streaming.files.exchange.errors import BadExchange, BadMarkers
from streaming.files.exchange.markers import Marker, Markers
from streaming.files.exchange.reading import Reading, read_exchange, read_timeline
from streaming.files.exchange.writing import markers_document, write_markers

__all__ = [
    "BadExchange", "BadMarkers", "Marker", "Markers", "Reading",
    "markers_document", "read_exchange", "read_timeline", "write_markers",
]  # fmt: skip
