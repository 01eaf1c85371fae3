"""One socket for many peers: each hears its own, whoever else pretends to be it, and it closes with the last."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aioice import Connection
from aioice.stun import Class, Message, Method

from streaming.transports import consent
from streaming.transports.consent import Consent
from streaming.transports.ports import ports, share_ports


async def connected(num: int) -> tuple[list[Connection], list[Connection]]:
    """Agents that share ports, and those at the other end."""
    near, far = ([Connection(ice_controlling=is_far) for _ in range(num)] for is_far in (False, True))
    for one, other in zip(near, far, strict=True):
        share_ports(one, 0.5)
        for agent in (one, other):
            await agent.gather_candidates()
        for agent, peer in ((one, other), (other, one)):
            agent.remote_username, agent.remote_password = peer.local_username, peer.local_password
            for candidate in peer.local_candidates:
                await agent.add_remote_candidate(candidate)
            await agent.add_remote_candidate(None)
    async with asyncio.timeout(60):
        await asyncio.gather(*(agent.connect() for agent in (*near, *far)))
    return near, far


async def test_many_agents_share_a_socket_which_closes_with_the_last() -> None:
    near, far = await connected(5)
    assert len({candidate.port for agent in near for candidate in agent.local_candidates}) == len(ports().by_host)
    for number, (one, other) in enumerate(zip(near, far, strict=True)):
        await one.send(b"to %d" % number)
        await other.send(b"\x80from %d" % number)
    async with asyncio.timeout(60):
        for number, (one, other) in enumerate(zip(near, far, strict=True)):
            assert await other.recv() == b"to %d" % number
            assert await one.recv() == b"\x80from %d" % number
    for agent in near[:-1]:
        await agent.close()
    assert ports().by_host
    await near[-1].close()
    assert not ports().by_host
    for agent in far:
        await agent.close()


async def test_connected_peers_agree_to_be_sent_to_and_one_that_does_no_longer_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consent, "_ROUND_S", 0.01)
    monkeypatch.setattr(consent, "CONSENT_INTERVAL", 0.03)
    monkeypatch.setattr(consent, "_EXPIRED_S", 0.6)
    heard: list[tuple[object, bool]] = []
    hear = Consent.hear
    monkeypatch.setattr(Consent, "hear", lambda *said: heard.append((said[0].connection, hear(*said))) or heard[-1][1])
    near, far = await connected(2)
    async with asyncio.timeout(60):
        while {agent for agent, is_answer in heard if is_answer} < set(near):
            await asyncio.sleep(0.01)
        for one, other in zip(near, far, strict=True):  # what a browser asks now and then is answered
            (pair,) = other._nominated.values()
            request = other.build_request(pair, nominate=True)
            said, address = await pair.protocol.request(request, pair.remote_addr, one.local_password.encode())
            assert said.attributes["XOR-MAPPED-ADDRESS"] == pair.protocol.transport.get_extra_info("sockname")
            assert address == pair.remote_addr
        far[0].request_received = lambda *request: None
        await near[0].get_event()
        assert near[0]._closed and not near[1]._closed
    for agent in (*near, *far):
        await agent.close()


async def test_who_does_not_know_the_password_is_not_heard_and_nothing_breaks_on_what_is_no_message() -> None:
    near, far = await connected(2)
    (pair,) = near[0]._nominated.values()
    port = pair.protocol.port
    request = Message(Method.BINDING, Class.REQUEST)
    request.attributes |= {"USERNAME": f"{near[0].local_username}:x", "PRIORITY": 1, "ICE-CONTROLLING": 1}
    request.add_message_integrity(b"what nobody told")
    with socket.socket(port.socket.family, socket.SOCK_DGRAM) as stranger:
        stranger.bind((port.host, 0))
        for datagram in (bytes(request), b"\x80 not heard", b"", b"\0", bytes(20), bytes(request)[:30], b"\xff" * 2000):
            stranger.sendto(datagram, (port.host, port.number))
        short = bytes(Message(Method.BINDING, Class.REQUEST, attributes={"USERNAME": "y", "PRIORITY": 1}))
        stranger.sendto(short[:2] + b"\0\6" + short[4:20] + b"\0\x24\0\2\0\0", (port.host, port.number))
    await far[0].send(b"\x80 heard")
    async with asyncio.timeout(60):
        assert await near[0].recv() == b"\x80 heard"
    assert near[0]._queue.empty() and near[1]._queue.empty()
    for agent in (*near, *far):
        await agent.close()
