"""What the threat model (docs/security.md) fears, as bytes. In: where a server is, how often; out: what came of it.

Written against sockets themselves: no client library sends such things. Lives in the benchmark's event loop.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from random import Random

OUTSIDE, SAME_MACHINE = "127.0.0.2", "127.0.0.3"
"""Where attacks come from: an address that is a proxy's to the server, and one that is its own machine's."""
_AT_ONCE = 16
_PATIENCE_S = 40.0
_DRIP_S = 0.5
LYRIA = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateMusic"


@dataclass
class Place:
    """A server under attack."""

    port: int
    station: str
    offer: str
    """An SDP offer of a peer that never connects."""
    tokens: dict[str, str]
    """One for each role."""
    answers: Counter[str] = field(default_factory=Counter)
    """By status, or how else a connection ended."""

    async def connect(self, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))

    async def send(self, source: str, *pieces: bytes, drip_s: float = 0.0) -> None:
        """Send the pieces and count what is answered."""
        writer = None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                reader, writer = await self.connect(source)
                for number, piece in enumerate(pieces):
                    await asyncio.sleep(drip_s if number else 0)
                    writer.write(piece)
                    await writer.drain()
                self.count(await reader.readline())
        except TimeoutError:
            self.answers["nothing"] += 1
        except OSError:  # it hung up while we were sending
            self.answers["hung up"] += 1
        finally:
            if writer is not None:
                writer.transport.abort()

    def count(self, line: bytes) -> None:
        self.answers[line.split()[1].decode() if line.startswith(b"HTTP/1.1 ") else "hung up"] += 1


def head(method: str, path: str, *headers: str, body: bytes | None = None) -> bytes:
    fields = ["Host: 127.0.0.1", *headers, *([] if body is None else [f"Content-Length: {len(body)}"])]
    lines = "\r\n".join((f"{method} {path} HTTP/1.1", *fields, "", ""))
    return lines.encode("utf-8", "surrogateescape") + (body or b"")


def post_json(path: str, body: bytes, *headers: str) -> bytes:
    return head("POST", path, "Content-Type: application/json", *headers, body=body)


def _from_outside(token: str | None = None) -> list[str]:
    return ["X-Forwarded-For: 203.0.113.9", *([] if token is None else [f"Authorization: Bearer {token}"])]


# --- requests: each kind makes the nth of its own ---------------------------------------------------------------------


def bad_token(place: Place, random: Random, number: int) -> bytes:
    good = place.tokens["listen"]
    cut = random.randrange(len(good))
    bad = random.choice([
        good[:cut], good[:cut] + "A" + good[cut + 1 :], "x" * 5000, "null", "%00", "..", f"{good}.{good}",
        base64.urlsafe_b64encode(b'{"alg":"none"}').decode() + good[good.index(".") : good.rindex(".") + 1],
    ])  # fmt: skip
    if random.random() < 0.5:
        return head("GET", "/v1/stations", *_from_outside(bad))
    return head("GET", f"/v1/stations?token={bad}", *_from_outside())


def opening_without_right(place: Place, random: Random, number: int) -> bytes:
    token = random.choice([None, place.tokens["listen"], place.tokens["control"]])
    return post_json("/v1/stations", b'{"mood": "epic"}', *_from_outside(token))


def opening(place: Place, random: Random, number: int) -> bytes:
    return post_json("/v1/stations", json.dumps({"mood": "epic", "seed": number}).encode())


def giant_body(place: Place, random: Random, number: int) -> bytes:
    path = random.choice(["/v1/stations", f"/v1/stations/{place.station}/controls", f"/whep/{place.station}"])
    if number % 2:
        return head("POST", path, "Content-Type: application/json", "Content-Length: 99999999999") + b" " * 4096
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    return head("POST", path, "Content-Type: application/json", "Transfer-Encoding: chunked") + 8 * chunk


def odd_json(place: Place, random: Random, number: int) -> bytes:
    body = random.choice([
        b"[" * 30_000, b'{"a":' * 10_000, b"[" * 100 + b"]" * 100, b'{"energy": ' + b"9" * 5000 + b"}",
        b'{"energy": 1e999}', b'{"energy": NaN}', b'{"name": "\\ud800"}', b"\xff\xfe{}", b'{"mood": {"mood": []}}',
        b'{"style": {' + b",".join(b'"%d": 1' % n for n in range(4000)) + b"}}", b'"' + b"a" * 60_000 + b'"',
        json.dumps({"prompt": "x" * 60_000}).encode(),
        json.dumps({"states": dict.fromkeys(map(str, range(3000)))}).encode(),
        json.dumps({"type": "steer", "set": {"layers": {"drums": [1] * 5000}}}).encode(), b"{" + bytes(1000) + b"}",
        b"1", b"[]", b"null", b'"x"', b"[[]]", b'{"days": 1e308}', b'{"user": [], "text": {}}', b'{"text": 1}',
    ])  # fmt: skip
    station = f"/v1/stations/{place.station}"
    paths = [f"{station}/{each}" for each in ("controls", "chat", "requests/1", "copies")]
    return post_json(random.choice([*paths, "/v1/stations", "/v1/tokens", "/v1/renders"]), body)


def odd_action(place: Place, random: Random, number: int) -> bytes:
    action = random.choice(
        ["duck", "volume", "steer", "mood", "hit", "stinger", "countdown", "skip", "end", "cancel", "x"]
    )
    field = random.choice(
        ["gain_db", "by_db", "seconds", "over", "mood", "name", "at", "by", "energy", "style", "then"]
    )
    value = random.choice([
        "nan", "inf", "1e999", "9" * 4000, "", "%00", "%ff", "%e2%80%ae", "..%2f", "[[[[", "%7b%22a%22:1%7d", "null",
        "-1%20bars", "999999999%20bars", "a=b,c=", "%0d%0a", "1e-320", "x" * 20_000,
    ])  # fmt: skip
    behind = random.choice(["", f"/{value}", "/"])
    return head("GET", f"/v1/stations/{place.station}/do/{action}{behind}?{field}={value}&{field}=1")


def path_trick(place: Place, random: Random, number: int) -> bytes:
    steps = random.choice(["../", "..%2f", "%2e%2e/", "..%5c", "%252e%252e/", "..;/", "./", "%00/", "//", "\udcff/"])
    start = random.choice(
        ["/", "/web/", "/client/", "/docs/viewer/", "/v1/stations/", "/v1/renders/x/files/", "/whep/"]
    )
    return head(
        "GET", start + steps * random.randint(1, 30) + random.choice(["etc/passwd", "secret", ".env", "%0d%0aX: y"])
    )


def header_flood(place: Place, random: Random, number: int) -> bytes:
    headers = random.choice([
        [f"X-{n}: {n}" for n in range(3000)], ["X: " + "y" * 200_000], [f"Cookie: undersong_{n}=x" for n in range(900)],
        ["Content-Length: 5", "Content-Length: 6"], ["Content-Length: 5", "Transfer-Encoding: chunked"], ["X: a\0b"],
        [": empty"], ["Content-Length: -1"], ["Transfer-Encoding: gzip, chunked"], ["Range: " + "bytes=" * 5000],
        ["X-Forwarded-For: " + ", ".join(["1.2.3.4"] * 4000)], ["X-Forwarded-Prefix: /" + "a/" * 9000],
        ["Accept: " + ",".join(["text/html;q=0.1"] * 3000)], ["Authorization: " + "Bearer " * 5000],
    ])  # fmt: skip
    path = f"/v1/stations/{place.station}/controls"
    return head("GET", "/v1/stations", *headers) if number % 2 else head("POST", path, *headers) + b"[1, 2]"


def bad_sdp(place: Place, random: Random, number: int) -> bytes:
    lines = place.offer.splitlines()
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(lines))
        lines[at] = random.choice(
            ["", "m=audio 9 UDP/TLS/RTP/SAVPF", "a=" + "x" * 9000, lines[at][::-1], "\0", "a=fingerprint:x y"]
        )
    body = random.choice(["\r\n".join(lines), "v=0", "m=" * 20_000, place.offer.replace("opus", "pcmu")]).encode()
    return head("POST", f"/whep/{place.station}", "Content-Type: application/sdp", body=body)


def offer_of_none(place: Place, random: Random, number: int) -> bytes:
    headers = ("Content-Type: application/sdp", *_from_outside(place.tokens["listen"]))
    return head("POST", f"/whep/{place.station}", *headers, body=place.offer.encode())


def page_of_another_site(place: Place, random: Random, number: int) -> bytes:
    headers = random.choice([["Origin: https://evil.example"], ["Origin: null"], ["Sec-Fetch-Site: cross-site"]])
    if number % 3:
        return post_json(f"/v1/stations/{place.station}/controls", b'{"type": "panic"}', *headers)
    return head(
        "POST",
        f"/v1/stations/{place.station}/controls",
        *headers,
        "Content-Type: text/plain",
        body=b'{"type": "panic"}',
    )


def other_host(place: Place, random: Random, number: int) -> bytes:
    host = random.choice(
        ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "[::", "a" * 5000, "x:y:z"]
    )
    return post_json("/v1/stations", b"{}").replace(b"Host: 127.0.0.1", b"Host: " + host.encode())


def odd_form(place: Place, random: Random, number: int) -> bytes:
    end = b"--B--"
    part = b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    body = random.choice([
        b"".join(part % (b"p%d" % n, b"x") for n in range(2000)) + end, part % (b"request", b"[" * 50_000) + end,
        part % (b"video", os.urandom(3000)) + end, part % (b"x" * 20_000, b"y"), b"--B\r\n" + b"A: b\r\n" * 5000,
        b"--B" * 20_000, part % (b"request", b'{"seconds": -1}') * 3 + end, part % (b"timeline", bytes(9000)) + end,
    ])  # fmt: skip
    boundary = random.choice(["B", "B", "B", "", "x" * 500])
    return head("POST", "/v1/renders", f"Content-Type: multipart/form-data; boundary={boundary}", body=body)


def odd_range(place: Place, random: Random, number: int) -> bytes:
    ranges = random.choice([
        "bytes=" + ",".join(f"{n}-{n}" for n in range(3000)), "bytes=0-" + ",0-" * 3000, "bytes=-1", "bytes=5-1",
        "bytes=99999999999999999999-", "bytes=0-99999999999999999999", "lines=1-2", "bytes=a-b", "bytes= 0-0 , 1-1",
    ])  # fmt: skip
    path = random.choice(
        ["/web/studio.js", "/docs/viewer/swagger-ui-bundle.js", f"/v1/stations/{place.station}/audio.wav"]
    )
    return head("GET", path, f"Range: {ranges}", "Connection: close")


def compressed(place: Place, random: Random, number: int) -> bytes:
    encoding = random.choice(["gzip", "deflate", "br", "gzip, gzip"])
    return post_json("/v1/stations", _BOMB[:60_000], f"Content-Encoding: {encoding}")


_BOMB = gzip.compress(bytes(40_000_000))


def forged_line(place: Place, random: Random, number: int) -> bytes:
    line = random.choice(
        ["%0a2026-01-01 00:00:00 undersong: all is well", "%1b[2J", "%e2%80%a8", "\udc9b2J", "%0d%0a{}"]
    )
    if number % 2:
        return head("GET", f"/v1/stations/{line}?token={place.tokens['admin']}")
    return post_json("/v1/stations", json.dumps({"mood": f"x\n{line}\x1b[2J\u2028"}).encode())


REQUESTS: dict[str, tuple[str, Callable[[Place, Random, int], bytes]]] = {
    "bad tokens": (OUTSIDE, bad_token),
    "stations opened without right": (OUTSIDE, opening_without_right),
    "stations opened": (SAME_MACHINE, opening),
    "giant bodies": (SAME_MACHINE, giant_body),
    "odd JSON": (SAME_MACHINE, odd_json),
    "odd actions": (SAME_MACHINE, odd_action),
    "path tricks": (SAME_MACHINE, path_trick),
    "header floods": (SAME_MACHINE, header_flood),
    "bad SDP": (SAME_MACHINE, bad_sdp),
    "offers of nobody": (OUTSIDE, offer_of_none),
    "pages of other sites": (SAME_MACHINE, page_of_another_site),
    "other hosts": (SAME_MACHINE, other_host),
    "odd forms": (SAME_MACHINE, odd_form),
    "odd ranges": (SAME_MACHINE, odd_range),
    "compressed bombs": (SAME_MACHINE, compressed),
    "forged log lines": (SAME_MACHINE, forged_line),
}


# --- connections -----------------------------------------------------------------------------------------------------


async def slow_heads(place: Place, random: Random, count: int) -> None:
    """All at once: requests that never come to an end."""
    begun = head("GET", "/v1/stations")[:-2]
    await _all([place.send(SAME_MACHINE, begun, *[b"X: y\r\n"] * 60, drip_s=_DRIP_S) for _ in range(count)], count)


async def slow_bodies(place: Place, random: Random, count: int) -> None:
    """All at once: bodies of which a byte comes now and then."""
    begun = head("POST", "/v1/stations", "Content-Type: application/json", "Content-Length: 1000")
    await _all([place.send(SAME_MACHINE, begun, *[b" "] * 60, drip_s=_DRIP_S) for _ in range(count)], count)


async def half_open(place: Place, random: Random, count: int) -> None:
    """All at once: connections that say nothing."""
    await _all([place.send(SAME_MACHINE) for _ in range(count)], count)


async def socket_frames(place: Place, random: Random, count: int) -> None:
    """WebSockets that send what no client may."""
    paths = [f"/v1/stations/{place.station}/live", f"/v1/stations/{place.station}/audio"]
    await _all([_in_socket(place, random.choice(paths), random.choice(_FRAMES)) for _ in range(count)])


async def lyria_garbage(place: Place, random: Random, count: int) -> None:
    """Messages that are none of the Lyria protocol."""
    texts = [
        b"{", b"[]", b"null", b'{"setup": 1}', b'{"setup": {}, "clientContent": {}}', b'{"playbackControl": "PLAY"}',
        b"[" * 9000, b'{"musicGenerationConfig": {"bpm": 1e99}}', b'{"setup": {"model": "' + b"x" * 50_000 + b'"}}',
        b'{"clientContent": {"weightedPrompts": [' + b'{"text": "x", "weight": NaN},' * 500 + b"{}]}}", bytes(500),
    ]  # fmt: skip
    await _all([_in_socket(place, LYRIA, _frame(1, random.choice(texts))) for _ in range(count)])


async def control_flood(place: Place, random: Random, count: int) -> None:
    """As many controls as the wire takes, good and bad, over one live channel."""
    messages = [{"type": "panic"}, {"type": "hit"}, {"type": "dance"}, {"type": "cancel", "target": "x"}, [], None, "x"]
    messages += [{"type": "stinger", "name": "x" * 5000}, {"type": "parameter", "set": {"x": 1}}]
    flood = b"".join(_frame(1, json.dumps(random.choice(messages)).encode()) for _ in range(count))
    await _in_socket(place, "/v1/stations/aside/live", flood)


SOCKETS: dict[str, Callable[[Place, Random, int], Awaitable[None]]] = {
    "slow heads": slow_heads,
    "slow bodies": slow_bodies,
    "half-open connections": half_open,
    "frames of WebSockets": socket_frames,
    "Lyria garbage": lyria_garbage,
    "control floods": control_flood,
}


def _frame(opcode: int, payload: bytes, *, is_masked: bool = True, flags: int = 0x80) -> bytes:
    """A frame of RFC 6455, masked with zeros."""
    mask = 0x80 if is_masked else 0
    if len(payload) < 126:
        length = bytes([mask | len(payload)])
    elif len(payload) < 1 << 16:
        length = struct.pack(">BH", mask | 126, len(payload))
    else:
        length = struct.pack(">BQ", mask | 127, len(payload))
    return bytes([flags | opcode]) + length + (bytes(4) if is_masked else b"") + payload


_FRAMES = [
    _frame(2, b"binary"), _frame(1, b"\xff\xfe"), _frame(1, b"x", is_masked=False), _frame(3, b""),
    _frame(1, b"x", flags=0xF0), _frame(0, b"no beginning"), _frame(9, b"x" * 126), _frame(8, b"x"),
    _frame(8, b"\x00\x01"), _frame(1, b"[" * 70_000),
    bytes([0x81, 0xFF]) + struct.pack(">Q", 1 << 62), bytes([0x81, 0xFF]) + bytes(7), _frame(9, b"p") * 500,
    _frame(1, b"a", flags=0) + _frame(1, b"b"), _frame(1, b"a", flags=0) * 2, _frame(1, bytes(1 << 20)),
]  # fmt: skip


async def _in_socket(place: Place, path: str, sent: bytes) -> None:
    writer = None
    upgrade = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + "A" * 22 + "==",
    )
    offered = "Sec-WebSocket-Extensions: permessage-deflate"
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await place.connect(SAME_MACHINE)
            writer.write(head("GET", path, *upgrade, offered))
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 101 " in answer.partition(b"\r\n")[0]:
                writer.write(sent)
                await writer.drain()
                await reader.read(4096)
            place.count(answer)
    except (TimeoutError, asyncio.IncompleteReadError):
        place.answers["nothing"] += 1
    except OSError:
        place.answers["hung up"] += 1
    finally:
        if writer is not None:
            writer.transport.abort()


async def attack(place: Place, kind: str, count: int, seed: int = 1) -> Counter[str]:
    """`count` of that kind; how they were answered."""
    place.answers, random = Counter(), Random(f"{seed} {kind}")
    if kind in SOCKETS:
        await SOCKETS[kind](place, random, count)
    else:
        source, made = REQUESTS[kind]
        await _all([place.send(source, made(place, random, number)) for number in range(count)])
    return place.answers


async def _all(attempts: list[Awaitable[None]], at_once: int = _AT_ONCE) -> None:
    waiting: Iterator[Awaitable[None]] = iter(attempts)

    async def work() -> None:
        for attempt in waiting:
            await attempt

    await asyncio.gather(*(work() for _ in range(at_once)))
