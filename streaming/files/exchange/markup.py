"""XML from strangers. In: a document; out: its elements, once it is known to be harmless.

Editing programs declare a document type, and nothing in it: entities of a document's own are refused, whether they
would grow without bound or fetch what they have no business with. Remembers nothing; any thread.
"""

from __future__ import annotations

from typing import NoReturn
from xml.etree import ElementTree
from xml.parsers import expat

from streaming.files.exchange.source import Source

MAX_DEPTH, MAX_ELEMENTS = 200, 1_000_000


class _Refused(Exception):
    """What is wrong, and the way out."""


def root_of(source: Source) -> str:
    """The name of the root element, once the whole document is checked. Raises `BadExchange`."""
    parser = expat.ParserCreate()
    path: list[str] = []
    root = ""
    num_elements = 0

    def start(name: str, attributes: object) -> None:
        nonlocal root, num_elements
        root = root or name
        num_elements += 1
        if num_elements > MAX_ELEMENTS:
            raise _Refused(f"it holds more than {MAX_ELEMENTS} elements", "export a part of it")
        path.append(name)
        if len(path) > MAX_DEPTH:
            raise _Refused(f"elements lie {len(path)} deep", f"allowed are {MAX_DEPTH}")

    def end(name: str) -> None:
        path.pop()

    def entity(*declared: object) -> NoReturn:
        raise _Refused(f"it declares an entity, {declared[0]!r}", "write the text itself where the entity stands")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.EntityDeclHandler = parser.UnparsedEntityDeclHandler = entity
    try:
        parser.Parse(source.document, True)
    except _Refused as error:
        raise source.bad(f"line {parser.CurrentLineNumber}", *error.args) from None
    except (LookupError, ValueError) as error:
        raise source.bad("line 1", f"its encoding cannot be read: {error}", "save it as UTF-8") from None
    except expat.ExpatError as error:
        problem = f"it is no XML: {expat.ErrorString(error.code)}"
        raise source.bad(f"line {error.lineno}", problem, "export it anew; it may have been cut off") from None
    return root


def parse(source: Source) -> ElementTree.Element:
    """Read a document that `root_of` has let pass. Raises `BadExchange`."""
    try:
        return ElementTree.fromstring(source.document)
    except ElementTree.ParseError as error:  # of an entity that an outer file may declare, which is not fetched
        raise source.bad("", f"it is no XML by itself: {error}", "write the text where an entity stands") from None
