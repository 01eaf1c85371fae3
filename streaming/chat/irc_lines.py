"""Lines of IRC. In: text of a server; out: messages, and lines to send. Remembers nothing; any thread.

RFC 1459, and the tags of IRCv3. That much is a page; the libraries for it bring an event loop, a bot or a dozen
packages of their own, and none of them reads what comes over a WebSocket.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_LINE_BYTES = 510
"""Of a line to send, without its end."""
_ESCAPED = {":": ";", "s": " ", "r": "\r", "n": "\n"}


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a server, or of somebody by way of it."""

    command: str
    parameters: tuple[str, ...] = ()
    nick: str = ""
    """Of whoever it comes from."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Its last parameter."""
        return self.parameters[-1] if self.parameters else ""


def parse_line(line: str) -> Line | None:
    """None where there is nothing in it."""
    tags: dict[str, str] = {}
    nick = ""
    if line.startswith("@"):
        told, _, line = line[1:].partition(" ")
        for tag in told.split(";"):
            name, _, value = tag.partition("=")
            tags[name] = re.sub(r"\\(.?)", lambda match: _ESCAPED.get(match[1], match[1]), value)
    line = line.lstrip(" ")
    if line.startswith(":"):
        source, _, line = line[1:].partition(" ")
        nick = re.split("[!@]", source)[0]
    head, colon, trailing = f" {line}".partition(" :")
    words = head.split()
    if not words:
        return None
    return Line(words[0].upper(), (*words[1:], *([trailing] if colon else ())), nick, tags)


def format_line(command: str, *parameters: str) -> str:
    """A line to send, on one line whatever it is made of; the last parameter may hold blanks, and is cut to fit."""
    *middle, last = [re.sub(r"[\r\n\0]", " ", parameter) for parameter in parameters]
    colon = ":" if not last or last[0] == ":" or " " in last else ""
    head = "".join(f"{word} " for word in (command, *middle)) + colon
    return (head.encode() + last.encode()[: MAX_LINE_BYTES - len(head.encode())]).decode("utf-8", "ignore")
