"""Markers out. In: `Markers` and a path or an ending; out: the document. Remembers nothing; any thread."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from moods.errors import shown
from streaming.files.errors import naming
from streaming.files.exchange import cutlist, edl, fcp7, fcpxml, json_file, otio_file
from streaming.files.exchange.errors import BadMarkers
from streaming.files.exchange.markers import KINDS, Markers

_FEW = ("hit", "section", "bar")
"""What is written where nobody asked otherwise: beats would bury an editor's timeline."""


@dataclass(frozen=True, slots=True)
class _Format:
    write: Callable[[Markers], str]
    kinds: tuple[str, ...] = KINDS
    media_type: str = "text/plain"
    mark: bytes = b""
    """Before the text."""


FORMATS: Mapping[str, _Format] = MappingProxyType(
    {
        "otio": _Format(otio_file.write, _FEW, "application/json"),
        "fcpxml": _Format(fcpxml.write, _FEW, "application/xml"),
        "xml": _Format(fcp7.write, _FEW, "application/xml"),
        "edl": _Format(edl.write, _FEW),
        "csv": _Format(cutlist.write, media_type="text/csv", mark=codecs.BOM_UTF8),  # or Excel takes it for Latin
        "json": _Format(json_file.write, media_type="application/json"),
        "txt": _Format(cutlist.write_labels),
    }
)
"""By a name's ending; `xml` is Final Cut Pro 7's, which Premiere reads, `txt` are Audacity's labels."""


def write_markers(path: Path, markers: Markers, kinds: Iterable[str] | None = None) -> None:
    """Write markers in the format that the path ends with. Raises `BadMarkers` and `CannotWrite`."""
    document = markers_document(markers, path.suffix, kinds)
    with naming(path):
        path.write_bytes(document)


def markers_document(markers: Markers, ending: str, kinds: Iterable[str] | None = None) -> bytes:
    """The document in a format of `FORMATS`, with markers of `kinds` alone; left out: those the format is good for.

    Raises `BadMarkers`.
    """
    form = FORMATS.get(ending.removeprefix(".").casefold())
    if form is None:
        raise BadMarkers(f"markers cannot be written as {shown(ending)}; expected {', '.join(FORMATS)}")
    try:
        _ = markers.start_frame
    except ValueError as error:
        raise BadMarkers(f"start_timecode: {error}") from None
    kept = markers.of(form.kinds if kinds is None else kinds)
    return form.mark + form.write(kept).encode()
