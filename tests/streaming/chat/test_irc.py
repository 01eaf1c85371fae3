"""An IRC channel is a room: on a real server, and on one that does what servers do on bad days."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streaming.chat.irc import IrcRoom
from streaming.chat.irc_lines import Line, format_line, parse_line
from streaming.chat.said import Message, Role
from streaming.chat.settings import Irc
from streaming.metrics import Metrics
from streaming.retrying import retrying

PATIENCE_S = 60


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ("PING :a b", Line("PING", ("a b",))),
        (":anna!a@host PRIVMSG #music :!mood epic", Line("PRIVMSG", ("#music", "!mood epic"), "anna")),
        (":s 353 me = #music :@anna +ben carl", Line("353", ("me", "=", "#music", "@anna +ben carl"), "s")),
        (
            r"@a=x\:y\s\\z\q;flag;b= :n!u@h privmsg #c :hi: there",
            Line("PRIVMSG", ("#c", "hi: there"), "n", {"a": r"x;y \zq", "flag": "", "b": ""}),
        ),
        ("RECONNECT", Line("RECONNECT")),
        ("", None),
        (" ", None),
        (":only.source", None),
        ("@tags", None),
    ],
)
def test_a_line_is_read(raw: str, line: Line | None) -> None:
    assert parse_line(raw) == line


def test_a_line_to_send_is_one_line_that_fits() -> None:
    assert format_line("PRIVMSG", "#c", "hi\r\nQUIT :bye") == "PRIVMSG #c :hi  QUIT :bye"
    assert format_line("NICK", "a") == "NICK a" and format_line("PONG", "") == "PONG :"
    sent = format_line("PRIVMSG", "#c", "心" * 500).encode()
    assert len(sent) <= 510 and sent.decode().endswith("心")


class Server:
    """Takes one connection after another and says what a test tells it to."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[Client] = asyncio.Queue()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.put_nowait(Client(reader, writer))

    async def welcome(self) -> Client:
        """Let the next connection into the channel."""
        async with asyncio.timeout(PATIENCE_S):
            client = await self.connections.get()
            while (line := await client.read()) and line.command != "USER":
                client.words.append(line.command)
            client.write(":irc 001 undersong :Welcome")
            assert (await client.read()) == Line("JOIN", ("#music",))
            client.write(":irc 353 undersong = #music :@anna +ben carl", ":irc 366 undersong #music :End")
        return client


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.words: list[str] = []

    async def read(self) -> Line:
        line = parse_line((await self._reader.readline()).decode().strip())
        assert line is not None
        return line

    def write(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
async def irc_server() -> AsyncIterator[tuple[Server, Irc]]:
    irc = Server()
    listening = await asyncio.start_server(irc.take, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    yield irc, Irc(host="127.0.0.1", port=port, tls=False, channel="#music", broadcaster="Dora")
    listening.close()
    while not irc.connections.empty():
        irc.connections.get_nowait().close()


@contextlib.asynccontextmanager
async def heard(room: IrcRoom) -> AsyncIterator[asyncio.Queue[Message]]:
    """What comes out of a room meanwhile."""
    messages: asyncio.Queue[Message] = asyncio.Queue()

    async def hear() -> None:
        async for message in room:
            messages.put_nowait(message)  # type: ignore[arg-type]

    task = asyncio.create_task(hear())
    yield messages
    task.cancel()
    await asyncio.wait([task])


async def next_of(messages: asyncio.Queue[Message]) -> Message:
    async with asyncio.timeout(PATIENCE_S):
        return await messages.get()


async def test_roles_follow_ranks(irc_server: tuple[Server, Irc]) -> None:
    irc, config = irc_server
    async with heard(IrcRoom(config, Metrics())) as messages:
        client = await irc.welcome()
        for nick, role in [("anna", 3), ("ben", 2), ("carl", 0), ("dora", 4)]:
            client.write(f":{nick}!u@h PRIVMSG #MUSIC :!np")
            assert await next_of(messages) == Message(nick, nick, Role(role), "!np")
        client.write(":irc MODE #music -o+bv anna *!*@bad carl", ":ben!u@h NICK :bea", ":anna!u@h PRIVMSG me :psst")
        for nick, role in [("anna", 0), ("bea", 2), ("carl", 2)]:
            client.write(f":{nick}!u@h PRIVMSG #music :!np")
            assert (await next_of(messages)).role == role
        client.write("@account=real :carl!u@h PRIVMSG #music :hi")
        assert (await next_of(messages)).id == "real"
        client.close()


async def test_a_taken_nick_a_ping_and_nonsense_are_gone_through(irc_server: tuple[Server, Irc]) -> None:
    irc, config = irc_server
    room = IrcRoom(config, Metrics())
    async with heard(room) as messages:
        client = await irc.connections.get()
        while (await client.read()).command != "USER":
            pass
        client.write(":irc 433 * undersong :Nickname is already in use", "", ":x", "\xff\x00", "PING :42")
        assert await client.read() == Line("NICK", ("undersong_",))
        assert await client.read() == Line("PONG", ("42",))
        client.write(":irc 001 undersong_ :Welcome", ":irc 366 undersong_ #music :End", ":a!b@c PRIVMSG #music :hi")
        assert await client.read() == Line("JOIN", ("#music",))
        assert (await next_of(messages)).text == "hi"
        await room.say("hello\r\nQUIT")
        assert await client.read() == Line("PRIVMSG", ("#music", "hello  QUIT"))
        for number in range(9):
            await room.say(str(number))
        for number in range(4):  # the others are too many at once
            assert await client.read() == Line("PRIVMSG", ("#music", str(number)))
        client.write("PING :1")
        assert await client.read() == Line("PONG", ("1",))
        client.close()


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (":irc 464 * :Password incorrect", "refused"),
        ("ERROR :Closing Link", "waiting"),
        ("x" * 20_000, "waiting"),
        (None, "waiting"),
    ],
)
async def test_a_room_that_is_lost_is_found_again(
    irc_server: tuple[Server, Irc], said: str | None, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.chat.room.REFUSED_S", 0.0)
    monkeypatch.setattr("streaming.chat.room.retrying", lambda *_: retrying(0.01, 0.05))
    irc, config = irc_server
    room = IrcRoom(config, Metrics())
    async with heard(room) as messages:
        client = await irc.welcome()
        if said is not None:
            client.write(said)
        client.close()
        async with asyncio.timeout(PATIENCE_S):
            while room.state.now != state:
                await asyncio.sleep(0.01)
        assert room.state.last_error
        client = await irc.welcome()
        client.write(":a!b@c PRIVMSG #music :back")
        assert (await next_of(messages)).text == "back" and room.state.now == "connected"
        client.close()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.slow
async def test_a_real_irc_server_is_a_room(tmp_path: Path) -> None:
    program = shutil.which("ngircd")
    if program is None:
        pytest.skip("ngircd is not installed (apt install ngircd)")
    port = free_port()
    settings = tmp_path / "ngircd.conf"
    settings.write_text(
        "[Global]\nName = irc.test.local\nInfo = test\nListen = 127.0.0.1\n"
        f"Ports = {port}\nPassword = sesame\n[Options]\nIdent = no\nPAM = no\nDNS = no\n"
    )
    process = await asyncio.create_subprocess_exec(program, "-n", "-f", str(settings), stdout=-3, stderr=-3)
    try:
        password = tmp_path / "password"
        password.write_text("sesame\n")
        config = Irc(host="127.0.0.1", port=port, tls=False, channel="#music", password_file=str(password))
        room = IrcRoom(config, Metrics())
        async with asyncio.timeout(PATIENCE_S):
            anna = await entered("anna", port)  # the first is the channel's operator
        async with asyncio.timeout(PATIENCE_S), heard(room) as messages:
            while room.state.now != "connected":
                await asyncio.sleep(0.05)
            ben = await entered("ben", port)
            anna.write("MODE #music +v ben")
            anna.write("PRIVMSG #music :!mood 热血 🎉")
            assert await messages.get() == Message("anna", "anna", Role.moderator, "!mood 热血 🎉")
            ben.write("PRIVMSG #music :!np")
            assert await messages.get() == Message("ben", "ben", Role.vip, "!np")
            await room.say("Now: lofi")
            while (line := await ben.read()) != Line("PRIVMSG", ("#music", "Now: lofi"), "undersong"):
                assert line.command != "ERROR", line
            anna.close()
            ben.close()
    finally:
        process.terminate()
        await process.wait()


async def entered(nick: str, port: int) -> Client:
    """Somebody else, in the channel; waits for the server to start."""
    while True:
        try:
            client = Client(*await asyncio.open_connection("127.0.0.1", port))
            break
        except OSError:
            await asyncio.sleep(0.05)
    client.write("PASS sesame", f"NICK {nick}", f"USER {nick} 0 * :{nick}", "JOIN #music")
    while (await client.read()).command != "366":
        pass
    return client
