"""Twitch, as a server on this machine plays it: chat by IRC, events by EventSub as they were once told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from streaming.chat.said import Happening, Message, Role
from streaming.chat.settings import Twitch
from streaming.chat.twitch.eventsub import EventSub, read_event
from streaming.chat.twitch.irc import TwitchChat
from streaming.metrics import Metrics
from streaming.retrying import retrying

PATIENCE_S = 60
RECORDING = [json.loads(line) for line in (Path(__file__).parent / "eventsub.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the next attempt."""
    monkeypatch.setattr("streaming.chat.room.retrying", partial(retrying, 0.01, 0.05))
    monkeypatch.setattr("streaming.chat.room.REFUSED_S", 0.01)


async def take(room: TwitchChat | EventSub, count: int) -> list[Message | Happening]:
    """The next that come out of a room."""
    taken = []
    async with asyncio.timeout(PATIENCE_S):
        messages = aiter(room)
        while len(taken) < count:
            taken.append(await anext(messages))
        await messages.aclose()  # type: ignore[attr-defined]
    return taken


# --- IRC -------------------------------------------------------------------------------------------------------------

TAGS = "@badge-info=subscriber/8;badges={badges};color=;display-name={name};id=1;room-id=1001;user-id={id};user-type="


def chat_line(text: str, name: str = "Zoë", member: str = "45", badges: str = "", more: str = "") -> str:
    tags = TAGS.format(badges=badges, name=name, id=member) + more
    return f"{tags} :{name.lower()}!{name.lower()}@tmi PRIVMSG #cellar_radio :{text}"


class Irc:
    """Lets everybody in, notes what they say, and says its lines to one connection after another."""

    def __init__(self, *scenes: list[str]) -> None:
        self._scenes = list(scenes)
        self.heard: list[str] = []

    async def __call__(self, socket: ServerConnection) -> None:
        while (word := str(await socket.recv())) != "JOIN #cellar_radio":
            self.heard.append(word)
        await socket.send(":tmi 001 x :Welcome\r\n:tmi 366 x #cellar_radio :End\r\n")
        if self._scenes:
            await socket.send("\r\n".join(self._scenes.pop(0)) + "\r\n")
        async for word in socket:
            self.heard.append(str(word))


@pytest.fixture
async def at() -> AsyncIterator[Callable[[Any], Any]]:
    """Where a WebSocket server's handler is found."""
    servers = []

    async def start(handler: Any) -> str:
        servers.append(server := await serve(handler, "127.0.0.1", 0, close_timeout=1))
        return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_chat_is_read_without_an_account_and_roles_follow_badges(at: Callable[[Any], Any]) -> None:
    irc = Irc(
        [
            "PING :tmi.twitch.tv",
            chat_line("!mood epic", badges="vip/1,subscriber/12"),
            chat_line("!np", badges="broadcaster/1"),
            chat_line("!np", badges="moderator/1,founder/0"),
            chat_line("!np", badges="no_audio/1"),
            chat_line("!mood sad", more=";source-room-id=9"),
            chat_line("hi: 你好 🎉"),
        ]
    )
    room = TwitchChat(Twitch(channel="Cellar_Radio", irc_url=await at(irc)), Metrics())
    messages = await take(room, 5)
    roles = [Role.vip, Role.broadcaster, Role.moderator, Role.viewer, Role.viewer]
    assert [message.role for message in messages if isinstance(message, Message)] == roles
    assert messages[0] == Message("45", "Zoë", Role.vip, "!mood epic") and messages[4].text == "hi: 你好 🎉"
    assert irc.heard[0] == "CAP REQ :twitch.tv/tags twitch.tv/commands" and irc.heard[1].startswith("NICK justinfan")
    assert "PONG tmi.twitch.tv" in irc.heard and not any(word.startswith("PASS") for word in irc.heard)


async def test_an_account_answers_without_hearing_itself(at: Callable[[Any], Any], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("oauth:secret\n")
    irc = Irc([chat_line("I said that", name="bot"), chat_line("one"), chat_line("two")])
    config = Twitch(channel="cellar_radio", login="Bot", token_file=str(token), irc_url=await at(irc))
    room = TwitchChat(config, Metrics())
    async with asyncio.timeout(PATIENCE_S):
        messages = aiter(room)
        assert (await anext(messages)).text == "one"  # type: ignore[union-attr]
        await room.say("hello\r\nQUIT")
        for number in range(9):
            await room.say(f"line {number}")
        assert (await anext(messages)).text == "two"  # type: ignore[union-attr]
        while len(irc.heard) < 8:
            await asyncio.sleep(0.01)
        await messages.aclose()  # type: ignore[attr-defined]
    said = ["hello  QUIT", *(f"line {number}" for number in range(4))]  # the others are too many at once
    assert irc.heard[1:] == ["PASS oauth:secret", "NICK bot", *(f"PRIVMSG #cellar_radio :{line}" for line in said)]


@pytest.mark.parametrize("last_words", [":tmi RECONNECT", ":tmi NOTICE * :Login authentication failed"])
async def test_a_chat_that_is_lost_is_found_again(at: Callable[[Any], Any], last_words: str) -> None:
    irc = Irc([chat_line("before"), last_words], [chat_line("after")])
    room = TwitchChat(Twitch(channel="cellar_radio", irc_url=await at(irc)), Metrics())
    before, after = await take(room, 2)
    assert (before.text, after.text) == ("before", "after") and room.state.last_error


# --- EventSub --------------------------------------------------------------------------------------------------------


class Api(BaseHTTPRequestHandler):
    """Knows two users, and keeps what is subscribed to."""

    asked: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    refused: tuple[str, ...] = ()

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Bearer secret" or self.headers["Client-Id"] != "app":
            return self._answer(401, {"status": 401, "message": "Invalid OAuth token"})
        user = "1001" if "login=cellar_radio" in self.path else "2002"
        self._answer(200, {"data": [] if "nobody" in self.path else [{"id": user}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/chat/messages":
            self.said.append(body)
            return self._answer(200, {})
        if body["type"] in self.refused:
            return self._answer(403, {"message": "subscription missing proper authorization"})
        self.asked.append(body)
        self._answer(202, {"data": [body]})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Any:
    for kept in ("asked", "said"):
        monkeypatch.setattr(Api, kept, [])
    monkeypatch.setattr(Api, "refused", ())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Api.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield Api
    server.shutdown()
    server.server_close()
    thread.join()


def first(kind: str) -> dict[str, Any]:
    return next(row["server"] for row in RECORDING if row.get("server", {})["metadata"]["message_type"] == kind)


class Told:
    """Plays the recording: what it has for the first connection, and what for the one that it asks for."""

    def __init__(self) -> None:
        self.url = ""
        self.num_connections = 0
        self.has_moved = asyncio.Event()
        self.num_said = 0
        """By the client, which may say nothing."""

    async def __call__(self, socket: ServerConnection) -> None:
        self.num_connections += 1
        split = RECORDING.index({"connection": 2})
        rows = RECORDING[:split] if socket.request.path == "/" else RECORDING[split + 1 :]  # type: ignore[union-attr]
        for row in rows:
            if "after_reconnect" in row:
                while not self.has_moved.is_set() and socket.close_code is None:
                    await asyncio.sleep(0.01)
                await socket.send(json.dumps(row["after_reconnect"]))
            else:
                text = json.dumps(row["server"])
                await socket.send(text.replace("RECONNECT", f"{self.url}/again"))
            if row is rows[0] and rows[0]["server"]["metadata"]["message_id"] == "hello-2":
                self.has_moved.set()
                await asyncio.sleep(0)
        async for _ in socket:
            self.num_said += 1


EVENTS = {kind: {"hit": 1.0} for kind in ("points", "points:Epic Music", "cheer", "raid", "subscribe", "follow")}


def config_for(told: Told, api: Any, **more: Any) -> Twitch:
    return Twitch(
        **{
            "channel": "cellar_radio", "token": "secret", "client_id": "app", "events": EVENTS, "chat": "eventsub",
            "eventsub_url": told.url, "api_url": api.url, **more,
        }
    )  # fmt: skip


async def test_a_recorded_exchange_is_told_once_each_across_a_move(
    at: Callable[[Any], Any], api: Any, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    told.url = await at(told)
    room = EventSub(config_for(told, api, login="bot"), Metrics())
    happenings: list[Message | Happening] = []

    async def hear() -> None:
        async for happening in room:
            happenings.append(happening)

    task = asyncio.create_task(hear())
    async with asyncio.timeout(PATIENCE_S):
        while len(happenings) < 6 or "authorization_revoked" not in caplog.text + str(
            [getattr(record, "about", "") for record in caplog.records]
        ):
            await asyncio.sleep(0.01)
        await room.say("Now: lofi")
        while not api.said:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert happenings == [
        Happening("points", "42", "Marta_K", title="Epic Music", text="please"),
        Happening("cheer", "", "somebody", amount=100, text="cheer100 louder"),
        Happening("raid", "77", "Attic_Radio", amount=5000),
        Happening("subscribe", "43", "Jo"),
        Happening("follow", "44", "李"),
        Message("45", "Zoë", Role.vip, "!mood epic"),
    ]
    assert told.num_connections == 2 and told.num_said == 0
    conditions = {body["type"]: (body["version"], body["condition"]) for body in api.asked}
    assert len(api.asked) == 6 and {body["transport"]["session_id"] for body in api.asked} == {"session-a"}
    assert conditions["channel.raid"] == ("1", {"to_broadcaster_user_id": "1001"})
    assert conditions["channel.follow"] == ("2", {"broadcaster_user_id": "1001", "moderator_user_id": "2002"})
    assert conditions["channel.chat.message"] == ("1", {"broadcaster_user_id": "1001", "user_id": "2002"})
    assert api.said == [{"broadcaster_id": "1001", "sender_id": "2002", "message": "Now: lofi"}]


async def test_without_leave_for_one_event_the_others_are_told(at: Callable[[Any], Any], api: Any) -> None:
    told = Told()
    told.url = await at(told)
    api.refused = ("channel.cheer",)
    (happening,) = await take(EventSub(config_for(told, api), Metrics()), 1)
    assert happening.user == "Marta_K" and len(api.asked) == 5


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"token": "stolen"}, "Invalid OAuth token"),
        ({"channel": "nobody"}, "there is no channel nobody"),
        ({"events": {"cheer": {"hit": 1.0}}, "chat": "irc"}, "proper authorization"),
    ],
)
async def test_who_may_not_is_told_why_and_goes_on_trying(
    at: Callable[[Any], Any], api: Any, given: dict[str, Any], error: str
) -> None:
    told = Told()
    told.url = await at(told)
    api.refused = ("channel.cheer",)
    room = EventSub(config_for(told, api, **given), Metrics())
    task = asyncio.create_task(take(room, 1))
    async with asyncio.timeout(PATIENCE_S):
        while room.state.now != "refused":
            await asyncio.sleep(0.01)
    assert error in str(room.state.last_error) and "stolen" not in str(room.state.last_error)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(
    "nonsense", ["not json", "[]", "{}", '"x"', '{"metadata": {"message_type": "notification"}}', b"\xff", "null"]
)
async def test_nonsense_costs_a_connection_and_no_more(at: Callable[[Any], Any], api: Any, nonsense: Any) -> None:
    told = Told()
    told.url = await at(told)
    visits = 0

    async def sometimes(socket: ServerConnection) -> None:
        nonlocal visits
        visits += 1
        if visits == 1:
            await socket.send(nonsense)
        elif visits == 2:
            await socket.send(json.dumps(first("session_welcome")))
            await socket.send(nonsense)
        else:
            await told(socket)

    url = await at(sometimes)
    room = EventSub(config_for(told, api, eventsub_url=url), Metrics())
    (happening,) = await take(room, 1)
    assert happening.user == "Marta_K" and room.state.now == "connected" and room.state.last_error


def test_an_event_that_is_not_known_is_nothing() -> None:
    assert read_event("channel.ban", {"user_id": "1"}) is None
