"""Whether WebRTC peers still want to be sent to (RFC 7675). In: messages of STUN; out: the same, and who does not.

aioice reads and writes whatever STUN has. Two peers that are connected say the same two things again and again, to
which the few lines here are enough; and all peers of a port are asked one after another, for code that comes seldom is
slow each time anew. A round remembers whom it asks. Event loop only.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import random
import secrets
import struct
from binascii import crc32
from collections.abc import Callable
from typing import Any

from aioice.ice import CONSENT_INTERVAL, Connection
from aioice.stun import COOKIE, FINGERPRINT_XOR

REQUEST, RESPONSE = b"\x00\x01", b"\x01\x01"
_EXPIRED_S = 30.0
"""RFC 7675, section 5.1: who has not answered for so long is not sent to any more."""
_ROUND_S = 0.5
_COOKIE = COOKIE.to_bytes(4)
_INTEGRITY, _FINGERPRINT = b"\x00\x08\x00\x14", b"\x80\x28\x00\x04"
"""Type and length of the last two attributes, of 24 and 8 bytes (RFC 8489, sections 14.5 and 14.7)."""


def signed(kind: bytes, transaction: bytes, attributes: bytes, key: bytes) -> bytes:
    """A message of STUN with its checksums."""
    rest = _COOKIE + transaction + attributes
    digest = hmac.digest(key, kind + (len(attributes) + 24).to_bytes(2) + rest, "sha1")
    message = kind + (len(attributes) + 32).to_bytes(2) + rest + _INTEGRITY + digest
    return message + _FINGERPRINT + (crc32(message) ^ FINGERPRINT_XOR).to_bytes(4)


def is_signed(message: bytes, key: bytes) -> bool:
    """Whether a message ends with the checksums of one that `signed` has made with this key."""
    end = len(message) - 32
    if end < 20 or message[end : end + 4] != _INTEGRITY or message[-8:-4] != _FINGERPRINT:
        return False
    digest = hmac.digest(key, message[:2] + (end + 4).to_bytes(2) + message[4:end], "sha1")
    return hmac.compare_digest(digest, message[end + 4 : -8])


def answer(request: bytes, address: tuple[str, int], key: bytes) -> bytes:
    """What a request from `address` is answered: that address (XOR-MAPPED-ADDRESS, RFC 8489, section 14.2)."""
    host, transaction = ipaddress.ip_address(address[0]), request[8:20]
    length = len(host.packed)
    mask = int.from_bytes((_COOKIE + transaction)[:length])
    family = 1 if host.version == 4 else 2
    head = struct.pack("!HHBBH", 0x0020, 4 + length, 0, family, address[1] ^ COOKIE >> 16)
    return signed(RESPONSE, transaction, head + (int(host) ^ mask).to_bytes(length), key)


class Consent:
    """Of one peer."""

    def __init__(self, connection: Connection, now_s: float) -> None:
        self.connection = connection
        self.ask_at_s = now_s + _pause_s()
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether it has expired; False where the peer is to be asked by a way that is not a port's."""
        self._agreed_s = now_s
        self._key = connection.remote_password.encode()
        self._transaction = b""

    def request(self, pair: Any) -> bytes:
        """What to ask the peer at the other end of a pair."""
        self._transaction = secrets.token_bytes(12)
        attributes = bytes(self.connection.build_request(pair, nominate=False))[20:]
        return signed(REQUEST, self._transaction, attributes, self._key)

    def hear(self, response: bytes, now_s: float) -> bool:
        """Whether it is the answer to the last request."""
        if response[8:20] != self._transaction or not is_signed(response, self._key):
            return False
        self._agreed_s = now_s
        return True

    def end(self, has_expired: bool) -> None:
        if not self.ended.done():
            self.ended.set_result(has_expired)

    def has_expired(self, now_s: float) -> bool:
        return now_s - self._agreed_s > _EXPIRED_S


class Round:
    """Asks all peers of an event loop, each about every five seconds."""

    def __init__(self, ask: Callable[[Consent], None]) -> None:
        self.consents: dict[Connection, Consent] = {}
        self._ask, self._loop = ask, asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    async def keep(self, connection: Connection) -> bool:
        """Ask a peer until it has not answered for long, which is True, or cannot be asked from here."""
        consent = self.consents[connection] = Consent(connection, self._loop.time())
        if self._timer is None:
            self._timer = self._loop.call_later(_ROUND_S, self._go)
        try:
            return await consent.ended
        finally:
            del self.consents[connection]

    def _go(self) -> None:
        now_s = self._loop.time()
        for consent in [consent for consent in self.consents.values() if consent.ask_at_s <= now_s]:
            consent.ask_at_s = now_s + _pause_s()
            if consent.has_expired(now_s):
                consent.end(True)
            else:
                self._ask(consent)
        self._timer = self._loop.call_later(_ROUND_S, self._go) if self.consents else None


def _pause_s() -> float:
    """By chance, so that not all are asked at once (RFC 7675, section 5.1)."""
    return CONSENT_INTERVAL * random.uniform(0.8, 1.2)
