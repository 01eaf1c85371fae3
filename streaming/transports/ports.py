"""A UDP socket for all WebRTC peers that reach this machine by the same address of it.

In: datagrams; out: the same to the ICE agent (aioice) of the peer that has sent them. A request of STUN names the agent
(RFC 8445, section 7.2.2); whoever has so proved to have an address is known by it from then on. A port remembers its
peers, and closes with the last of them. Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import struct
from collections import deque
from typing import Any
from weakref import WeakKeyDictionary

from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import Connection, StunProtocol, server_reflexive_candidate
from aioice.stun import Class, Message, parse_message
from aioice.utils import random_string

from streaming.transports.consent import REQUEST, RESPONSE, Consent, Round, answer, is_signed

_BUFFER_BYTES = 1 << 22
"""For a tick's packets to all peers, and for what all of them say while this process stands still; the system may
allow less."""
_READS_AT_ONCE = 64
_MAX_ADDRESSES = 32
"""So many are known of one peer, those it has shown last."""
_NAME_LENGTH = 12
_COMPONENT = 1
"""RTP and RTCP go the same way (RFC 5761)."""
_FIRST_NO_STUN = 4
"""The first byte of a datagram is less in STUN, and in nothing else that comes here (RFC 7983)."""
_received = memoryview(bytearray(2048))
_all_ports: WeakKeyDictionary[asyncio.AbstractEventLoop, Ports] = WeakKeyDictionary()


def share_ports(connection: Connection, timeout_s: float) -> None:
    """Have an ICE agent use the ports that all share, and wait for servers of STUN and TURN no longer than that.

    Before anybody is told its name, which is longer than aioice has it: no two may have the same.
    """
    connection._local_username = random_string(_NAME_LENGTH)
    connection.get_component_candidates = functools.partial(_gather, connection, timeout_s)
    connection.query_consent = functools.partial(_query_consent, connection)


async def _gather(connection: Connection, timeout_s: float, component: int, addresses: list[str]) -> list[Candidate]:
    """What aioice does with sockets of its own: find how this machine may be reached."""
    own: list[PortProtocol] = []
    for address in addresses:
        with contextlib.suppress(OSError):  # it is this machine's no longer
            own.append(ports().at(address).open(connection))
    connection._protocols += own
    asked = [_reflexive(protocol, connection.stun_server, timeout_s) for protocol in own if connection.stun_server]
    relayed = Connection.get_component_candidates(connection, component, [], timeout_s)
    found = await asyncio.gather(relayed, *asked)
    return [protocol.local_candidate for protocol in own] + [candidate for each in found for candidate in each]


async def _query_consent(connection: Connection) -> None:
    """What aioice does for each peer by itself: ask it again and again whether it still wants to be sent to."""
    pair = connection._nominated.get(_COMPONENT)
    if pair is not None and isinstance(pair.protocol, PortProtocol) and await ports().round.keep(connection):
        connection._query_consent_task = None
        await connection.close()
    else:
        await Connection.query_consent(connection)


async def _reflexive(protocol: PortProtocol, server: tuple[str, int], timeout_s: float) -> list[Candidate]:
    """The address that a STUN server sees, where it says so in time; aioice asks about IPv4 alone."""
    if protocol.port.socket.family != socket.AF_INET:
        return []
    try:
        async with asyncio.timeout(timeout_s):
            return [(await server_reflexive_candidate(protocol, server))[0]]
    except Exception:  # whatever it is, the server is of no use
        return []


def ports() -> Ports:
    """Those of this event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _all_ports:
        _all_ports[loop] = Ports()
    return _all_ports[loop]


class Ports:
    """The ports of an event loop, and whom it asks for consent."""

    def __init__(self) -> None:
        self.by_host: dict[str, Port] = {}
        self.round = Round(self._ask)

    def at(self, host: str) -> Port:
        """The port at an address of this machine. Raises OSError."""
        return self.by_host.get(host) or Port(host, self)

    def _ask(self, consent: Consent) -> None:
        pair = consent.connection._nominated.get(_COMPONENT)
        if pair is not None and isinstance(pair.protocol, PortProtocol):
            pair.protocol.port.send(consent.request(pair), pair.remote_addr)
        else:
            consent.end(False)


class Port:
    """One socket, by which `host` of this machine is reached, with its peers."""

    def __init__(self, host: str, ports: Ports) -> None:
        """Be one of `ports` as long as there are peers."""
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.bind((host, 0))
        except OSError:
            self.socket.close()
            raise
        self.socket.setblocking(False)
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            self.socket.setsockopt(socket.SOL_SOCKET, buffer, _BUFFER_BYTES)
        self.host, self.number = self.socket.getsockname()[:2]
        self.transactions: dict[bytes, Any] = {}
        """What STUN waits for, of all peers."""
        self._ports, self._loop = ports, asyncio.get_running_loop()
        self._by_name: dict[str, PortProtocol] = {}
        self._by_address: dict[tuple[str, int], PortProtocol] = {}
        self._loop.add_reader(self.socket, self._read)
        ports.by_host[host] = self

    def open(self, connection: Connection) -> PortProtocol:
        """What an ICE agent has in place of a socket."""
        protocol = PortProtocol(connection, self)
        self._by_name[connection.local_username] = protocol
        return protocol

    def close(self, protocol: PortProtocol) -> None:
        """Forget a peer."""
        while protocol.addresses:
            self._forget_oldest(protocol)
        if self._by_name.pop(protocol.receiver.local_username, None) is not None and not self._by_name:
            self._loop.remove_reader(self.socket)
            self.socket.close()
            del self._ports.by_host[self.host]

    def send(self, datagram: bytes | memoryview, address: tuple[str, int]) -> None:
        """What the system has no room for now is lost as it might be on its way."""
        with contextlib.suppress(OSError):
            self.socket.sendto(datagram, address)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_READS_AT_ONCE):
                size, address = self.socket.recvfrom_into(_received)
                self._take(bytes(_received[:size]), address[:2])

    def _take(self, datagram: bytes, address: tuple[str, int]) -> None:
        protocol = self._by_address.get(address)
        if datagram and datagram[0] < _FIRST_NO_STUN:
            if protocol is None or not self._take_consent(protocol, datagram, address):
                with contextlib.suppress(ValueError, struct.error):
                    self._take_stun(parse_message(datagram), address)
        elif protocol is not None:
            protocol.receiver.data_received(datagram, _COMPONENT)

    def _take_consent(self, protocol: PortProtocol, datagram: bytes, address: tuple[str, int]) -> bool:
        """Whether it was what connected peers ask and answer again and again."""
        connection, kind = protocol.receiver, datagram[:2]
        if kind == RESPONSE:
            consent = self._ports.round.consents.get(connection)
            return consent is not None and consent.hear(datagram, self._loop.time())
        pair = connection._nominated.get(_COMPONENT)
        if kind != REQUEST or pair is None or pair.protocol is not protocol or pair.remote_addr != address:
            return False
        key = connection.local_password.encode()
        if is_known := not connection.ice_controlling and is_signed(datagram, key):
            self.send(answer(datagram, address, key), address)
        return is_known

    def _take_stun(self, message: Message, address: tuple[str, int]) -> None:
        if message.message_class in (Class.RESPONSE, Class.ERROR):
            if (transaction := self.transactions.get(message.transaction_id)) is not None:
                transaction.response_received(message, address)
        elif message.message_class is Class.REQUEST and {"USERNAME", "PRIORITY"} <= message.attributes.keys():
            name = message.attributes["USERNAME"].partition(":")[0]
            if (protocol := self._by_name.get(name)) is not None:
                self._learn(protocol, message, address)
                protocol.receiver.request_received(message, address, protocol)

    def _learn(self, protocol: PortProtocol, message: Message, address: tuple[str, int]) -> None:
        """Know a peer by the address from which it shows that it has the agent's password."""
        if self._by_address.get(address) is protocol:
            return
        if message.check_message_integrity(protocol.receiver.local_password.encode()):
            if len(protocol.addresses) == _MAX_ADDRESSES:
                self._forget_oldest(protocol)
            protocol.addresses.append(address)
            self._by_address[address] = protocol

    def _forget_oldest(self, protocol: PortProtocol) -> None:
        address = protocol.addresses.popleft()
        if self._by_address.get(address) is protocol:  # and not of another who has come to it since
            del self._by_address[address]


class PortProtocol(StunProtocol):
    """One peer on a port, as aioice knows a socket."""

    def __init__(self, connection: Connection, port: Port) -> None:
        super().__init__(connection)
        self.port, self.transactions = port, port.transactions
        self.addresses: deque[tuple[str, int]] = deque()
        """Those that its peer is known by."""
        self.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", port.host),
            component=_COMPONENT,
            transport="udp",
            priority=candidate_priority(_COMPONENT, "host"),
            host=port.host,
            port=port.number,
            type="host",
        )
        self.connection_made(_Way(self))


class _Way(asyncio.DatagramTransport):
    """The socket as this peer may use it."""

    def __init__(self, protocol: PortProtocol) -> None:
        super().__init__({"sockname": (protocol.port.host, protocol.port.number)})
        self._protocol = protocol

    def sendto(self, data: Any, addr: Any = None) -> None:
        self._protocol.port.send(data, addr)

    def close(self) -> None:
        self._protocol.port.close(self._protocol)
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)
