"""SDP offers as the world writes them. In: an offer; out: the part of it that aiortc is given, then the whole answer.

A browser may offer sections that nobody here serves, before, between and after those that are served, and may write
the transport of a bundle into one of them only. `Offer` remembers what was offered; pure text, any thread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from moods.errors import shown
from streaming.errors import BadOffer

_MEDIA = re.compile(r"m=(\S+) (\d{1,5})(?:/\d+)? (\S+) (\S.*)", re.ASCII)
_OPUS = re.compile(r"(\d+) opus/48000/2", re.IGNORECASE)
_RED = re.compile(r"(\d+) red/48000/2", re.IGNORECASE)
_MID_EXTENSION = re.compile(r"(\d+)(?:/\w+)? urn:ietf:params:rtp-hdrext:sdes:mid(?: .*)?")
_DIRECTIONS = ("sendrecv", "recvonly", "sendonly", "inactive")
_ICE = ("ice-ufrag", "ice-pwd")
_DTLS = ("fingerprint", "setup")
_TRANSPORT = (*_ICE, "ice-options", *_DTLS, "candidate")
"""What tells the way to the peer; a bundle has it once."""


def read_lines(sdp: str) -> list[str]:
    """The lines of a description or fragment, whatever ends them, without candidates that only cost time.

    Looking up a name under `.local` takes a second, and peer-reflexive candidates replace it. What is listed may then
    not be all, so that the end of the list is left out too.
    """
    lines = (line.rstrip() for line in re.split(r"\r\n|\r|\n", sdp))
    return [line for line in lines if line and line != "a=end-of-candidates" and not _is_mdns(line)]


def _is_mdns(line: str) -> bool:
    return line.startswith("a=candidate:") and ".local " in line


@dataclass(eq=False)
class Section:
    """A description's part from one m= line to the next, or the part before the first, which has none."""

    kind: str = ""
    port: int = 0
    protocol: str = ""
    formats: str = ""
    lines: list[str] = field(default_factory=list)
    """All but the m= line."""
    group: tuple[str, ...] = ()
    """The mids of its BUNDLE group; empty without one."""

    def values(self, name: str) -> list[str]:
        """What stands behind each `a=NAME:`; an empty text for each `a=NAME`."""
        attributes = (line[2:].partition(":") for line in self.lines if line.startswith("a="))
        return [value for found, _, value in attributes if found == name]

    @property
    def mid(self) -> str | None:
        return next(iter(self.values("mid")), None)

    @property
    def is_disabled(self) -> bool:
        """Port 0 says so, unless the section waits for its bundle's transport (RFC 9143, section 6)."""
        return self.port == 0 and not (self.group and self.values("bundle-only"))

    def opus(self) -> str | None:
        """The payload type of Opus."""
        matches = (_OPUS.fullmatch(value) for value in self.values("rtpmap"))
        types = (match[1] for match in matches if match)
        return next((each for each in types if each in self.formats.split()), None)


def _read_sections(lines: list[str]) -> list[Section]:
    """The session's part, then every section. Raises `BadOffer` for an m= line that cannot be read."""
    sections = [Section()]
    for line in lines:
        if not line.startswith("m="):
            sections[-1].lines.append(line)
        elif match := _MEDIA.fullmatch(line):
            sections.append(Section(match[1], int(match[2]), match[3], match[4]))
        else:
            raise BadOffer(f"the line {shown(line)} of the offer cannot be read", field="sdp", value=line[:80])
    return sections


class Offer:
    """An offer of which one audio section is served, and a data section where there is a whole one.

    Raises `BadOffer` where the text is no offer, or where no audio section can be served, naming what is missing.
    """

    def __init__(self, sdp: str) -> None:
        lines = read_lines(sdp)
        if lines[:1] != ["v=0"]:
            raise BadOffer("the body is not an SDP offer: it does not begin with v=0")
        self._session, *self._sections = _read_sections(lines)
        groups = [value.split() for value in self._session.values("group")]
        self._groups = [tuple(mids) for semantics, *mids in filter(None, groups) if semantics == "BUNDLE"]
        for section in self._sections:
            section.group = next((group for group in self._groups if section.mid in group), ())
        self._audio = self._choose_audio()
        self._data = next((each for each in self._sections if self._is_data(each)), None)

    # --- what is served ----------------------------------------------------------------------------------------------

    def _choose_audio(self) -> Section:
        offered = [section for section in self._sections if section.kind == "audio" and not section.is_disabled]
        objections = [self._objection(section) for section in offered]
        if not offered:
            raise BadOffer("the offer has no audio section; add a transceiver that receives audio")
        if all(objections):
            raise BadOffer(objections[0])
        return offered[objections.index("")]

    def _objection(self, audio: Section) -> str:
        direction = self._direction(audio)
        if direction not in ("recvonly", "sendrecv"):
            return f"the offer's audio is {direction}; it must receive, as recvonly does"
        if audio.opus() is None:
            return "the offer's audio has no Opus, the one codec that is sent; add opus/48000/2"
        missing = self._missing(audio, *_ICE, *_DTLS, "rtcp-mux")
        return f"the offer's audio section lacks {', '.join(f'a={name}' for name in missing)}" if missing else ""

    def _is_data(self, section: Section) -> bool:
        if section.kind != "application" or section.is_disabled or "DTLS/SCTP" not in section.protocol:
            return False
        port = () if section.protocol == "DTLS/SCTP" else ("sctp-port",)  # as older browsers wrote it
        return not self._missing(section, *_ICE, *_DTLS, *port)

    def _missing(self, section: Section, *names: str) -> list[str]:
        return [name for name in names if not self._values(section, name)]

    def _direction(self, section: Section) -> str:
        for place in (section, self._session):
            if found := next((name for name in _DIRECTIONS if place.values(name)), None):
                return found
        return "sendrecv"

    def red(self) -> int | None:
        """The payload type of RFC 2198 for packets that carry an earlier one, where the peer reads that."""
        opus = self._audio.opus()
        types = [match[1] for match in map(_RED.fullmatch, self._audio.values("rtpmap")) if match]
        carried = {f"{each} {opus}/{opus}" for each in types} & set(self._audio.values("fmtp"))
        return int(next(iter(carried)).split()[0]) if carried else None

    @property
    def asks_again(self) -> bool:
        """The peer would ask again for packets that it misses."""
        return bool({f"{self._audio.opus()} nack", "* nack"} & set(self._audio.values("rtcp-fb")))

    # --- its transport -----------------------------------------------------------------------------------------------

    def _carrier(self, section: Section) -> Section:
        """Whose transport the section has: that of the first of its bundle with the same one, often its own.

        A browser under `max-bundle` has one transport only, and loses it with the section that it made it for.
        """
        own = section.values("ice-ufrag")
        bundled = [each for mid in section.group for each in self._sections if each.mid == mid]
        first = (each for each in bundled if each.values("ice-ufrag") and not each.is_disabled)
        return next((each for each in first if not own or each.values("ice-ufrag") == own), section)

    def _values(self, section: Section, name: str) -> list[str]:
        return section.values(name) or self._carrier(section).values(name) or self._session.values(name)

    @property
    def _served(self) -> list[Section]:
        """In the order of the offer."""
        return [section for section in self._sections if section is self._audio or section is self._data]

    @property
    def _bundled(self) -> list[str]:
        """The mids of what is served over one transport, the one that carries the others first."""
        mids = {self._mid(section) for section in self._served if section.group == self._audio.group}
        return [mid for mid in self._audio.group if mid in mids]

    def _mid(self, section: Section) -> str:
        """The section's mid; one for inner use where it has none, as before BUNDLE."""
        return section.mid or f"{section.kind}-{self._sections.index(section)}"

    def ice_ufrags(self) -> set[str]:
        return {value for place in (self._session, *self._sections) for value in place.values("ice-ufrag")}

    def peer_mid(self, mid: str | None) -> str | None:
        """The mid under which aiortc takes candidates for section `mid`; None where nothing uses its transport."""
        if mid is None:
            return self._mid(self._served[0])
        if mid in self._audio.group and self._bundled:
            return self._bundled[0]
        return mid if mid in map(self._mid, self._served) else None

    # --- to aiortc and back ------------------------------------------------------------------------------------------

    def reduced(self) -> str:
        """An offer of what is served and nothing else, each section with the whole of its transport."""
        lines = ["v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=-", "t=0 0"]
        lines += [f"a=group:BUNDLE {' '.join(self._bundled)}"] if self._bundled else []
        lines += ["a=ice-lite"] if self._session.values("ice-lite") else []
        for section in self._served:
            lines += self._reduced_audio() if section is self._audio else self._reduced_data(section)
            lines += [f"a=mid:{self._mid(section)}"]
            lines += [f"a={name}:{value}" for name in _TRANSPORT for value in self._values(section, name)]
        return _text(lines)

    def _reduced_audio(self) -> list[str]:
        opus = self._audio.opus()
        lines = [f"m=audio 9 UDP/TLS/RTP/SAVPF {opus}", f"a=rtpmap:{opus} opus/48000/2"]
        lines += [f"a={self._direction(self._audio)}", "a=rtcp-mux"]
        if self._audio.mid is not None:
            extensions = map(_MID_EXTENSION.fullmatch, self._audio.values("extmap"))
            lines += [f"a=extmap:{each[1]} urn:ietf:params:rtp-hdrext:sdes:mid" for each in extensions if each]
        return lines

    def _reduced_data(self, data: Section) -> list[str]:
        attributes = ("sctp-port", "sctpmap", "max-message-size")
        lines = [f"a={name}:{value}" for name in attributes for value in data.values(name)]
        return [f"m=application 9 {data.protocol} {data.formats}", *lines]

    def complete(self, answer: str) -> str:
        """aiortc's answer to the reduced offer as the answer to the whole: every section in its place."""
        session, *answered = _read_sections(read_lines(answer))
        lines = [line for line in session.lines if not line.startswith("a=group:")]
        carriers = [self._carrier(section) for section in self._served]
        accepted = [section.mid for section in self._sections if section in self._served or section in carriers]
        for group in self._groups:
            mids = [mid for mid in group if mid in accepted]
            lines += [f"a=group:BUNDLE {' '.join(mids)}"] if mids else []
        answers = dict(zip(map(self._mid, self._served), answered, strict=True))
        for section in self._sections:
            if section in self._served:
                lines += self._accept(section, answers[self._mid(section)])
            elif section in carriers:
                lines += _carry(section, answers[self._mid(self._served[carriers.index(section)])])
            else:
                lines += _reject(section)
        return _text(lines)

    def _accept(self, section: Section, answer: Section) -> list[str]:
        is_unnamed = section.mid is None
        lines = [line for line in answer.lines if not (is_unnamed and line.startswith("a=mid:"))]
        lines += ["a=rtcp-mux-only"] if section.values("rtcp-mux-only") else []
        return [f"m={section.kind} {answer.port} {section.protocol} {answer.formats}", *lines]


def _reject(section: Section) -> list[str]:
    """Answer that the section is not served."""
    return [f"m={section.kind} 0 {section.protocol} {section.formats.split()[0]}", *_empty(section)]


def _carry(section: Section, served: Section) -> list[str]:
    """Answer that nothing flows here, and keep the transport for the bundle: the rest of it has none of its own."""
    transport = [f"a={name}:{value}" for name in _TRANSPORT for value in served.values(name)]
    head = f"m={section.kind} {served.port} {section.protocol} {section.formats.split()[0]}"
    return [head, *_empty(section), *(["a=rtcp-mux"] if section.values("rtcp-mux") else []), *transport]


def _empty(section: Section) -> list[str]:
    first = section.formats.split()[0]
    codec = [f"a={name}:{value}" for name in ("rtpmap", "fmtp") for value in section.values(name)]
    lines = ["c=IN IP4 0.0.0.0", "a=inactive", *(line for line in codec if line.split(":")[1].startswith(f"{first} "))]
    return lines if section.mid is None else [*lines, f"a=mid:{section.mid}"]


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)
