"""Chat of a real server: bots hand messages over, rooms are heard, votes reach who watches, and all of it is kept."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streaming.chat.audit import Audit
from streaming.chat.chats import Chats
from streaming.chat.said import Happening, Message, Role
from streaming.chat.settings import Chat, Twitch
from streaming.config import Config
from streaming.doors import DoorState
from streaming.metrics import Metrics
from tests.streaming.conftest import SINES, Running, dial
from tests.streaming.test_engines import wait_until

PATIENCE_S = 60


class Script:
    """A room in which a test speaks."""

    name = "script"

    def __init__(self) -> None:
        self.state = DoorState(self.name, Metrics())
        self.lines: asyncio.Queue[Message | Happening | Exception] = asyncio.Queue()
        self.said: list[str] = []

    async def __aiter__(self) -> AsyncIterator[Message | Happening]:
        self.state.connected()
        while True:
            line = await self.lines.get()
            if isinstance(line, Exception):
                raise line
            yield line

    async def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def script() -> Script:
    return Script()


@pytest.fixture(scope="module")
def chatty(
    make_server: Callable[[Config], Running], script: Script, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    audit = tmp_path_factory.mktemp("audit") / "chat.jsonl"
    chat = Chat(quorum=1, vote_phrases=1, min_change_s=0, cooldown_s=0, audit=str(audit), replies="all")
    twitch = Twitch(events={"points:Reveal": {"stinger": "reveal"}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streaming.chat.chats.rooms_of", lambda conductor: [script])
        patch.setattr("streaming.chat.chats._AFTER_A_FAULT_S", 0.01)
        server = make_server(SINES.model_copy(update={"chat": chat, "twitch": twitch}))
        chats: Chats = server.app.state.chats
        server.call(chats.__aenter__())
        yield server
        server.call(chats.__aexit__(None, None, None))


@pytest.fixture
def main(chatty: Running) -> Iterator[dict[str, Any]]:
    station = chatty.open(name="main")
    yield station
    chatty.http.delete(station["links"]["self"])


def post(server: Running, text: str, station: str = "main", **message: Any) -> dict[str, Any]:
    answer = server.http.post(f"/v1/stations/{station}/chat", json={"user": "Anna", "text": text, **message})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_bot_speaks_for_any_platform(chatty: Running, main: dict[str, Any]) -> None:
    assert post(chatty, "nice music") == {"decision": None, "reply": None}
    answer = post(chatty, "!mood epic", role="vip", room="youtube", user="安\u202e娜")
    decision = answer["decision"]
    assert (decision["user"], decision["room"], decision["outcome"]) == ("安娜", "youtube", "done")
    assert answer["reply"] == "@安娜: done" and decision["frame"] > 0
    wait_until(lambda: "asked_by" in chatty.http.get(main["links"]["self"]).json())
    asked = chatty.http.get(main["links"]["self"]).json()["asked_by"]
    assert asked == {"by": "安娜", "what": "epic", "at_frame": decision["frame"]}
    steer = [json.loads(line) for line in chatty.http.get(main["links"]["take"]).text.splitlines()][-1]
    assert (steer["by"], steer["set"]) == ("安娜", {"mood": "epic"})


def test_any_station_has_a_chat_of_its_own(chatty: Running, main: dict[str, Any]) -> None:
    other = chatty.open()
    post(chatty, "!mood sad", other["id"], role="vip")
    assert (
        chatty.http.get("/v1/stations/main/chat").json()["decisions"]
        != (chatty.http.get(f"/v1/stations/{other['id']}/chat").json()["decisions"])
    )
    chatty.http.delete(other["links"]["self"])
    wait_until(lambda: other["id"] not in chatty.app.state.chats._desks)


@pytest.mark.parametrize(
    "message",
    [
        {"text": "!np"},
        {"user": "", "text": "!np"},
        {"user": "a", "text": "!np", "role": "king"},
        {"user": "a", "text": "x" * 2001},
        {"user": "a", "text": "!np", "more": 1},
        ["!np"],
    ],
)
def test_a_message_that_is_none_is_refused(chatty: Running, main: dict[str, Any], message: Any) -> None:
    assert chatty.http.post("/v1/stations/main/chat", json=message).status_code == 422


def test_requests_are_decided_on(chatty: Running, main: dict[str, Any]) -> None:
    for number, text in enumerate(("rainy night", "epic battle")):
        assert post(chatty, f"!request {text}", id=str(number))["decision"]["outcome"] == "waits"
    address = "/v1/stations/main/requests"
    waiting = chatty.http.get(address).json()["requests"]
    assert [each["text"] for each in waiting] == ["rainy night", "epic battle"]
    outcomes = []
    for each, do in zip(waiting, ("approve", "refuse"), strict=True):
        outcomes.append(chatty.http.post(f"{address}/{each['n']}", json={"do": do}).json()["outcome"])
    assert outcomes == ["done", "refused"]
    assert chatty.http.get(address).json() == {"requests": []}
    assert chatty.http.post(f"{address}/{waiting[0]['n']}", json={"do": "approve"}).status_code == 404
    assert chatty.http.post(f"{address}/1", json={"do": "dance"}).status_code == 422


def test_a_vote_reaches_who_watches_and_who_comes_later(chatty: Running, main: dict[str, Any]) -> None:
    def next_vote(live: Any) -> dict[str, Any]:
        while (event := json.loads(live.recv(PATIENCE_S)))["type"] != "vote":
            pass
        return event

    with dial(chatty.ws(main["links"]["live"])) as live:
        post(chatty, "!mood epic", id="a")
        assert next_vote(live)["options"] == [{"name": "epic", "share": 0.0, "votes": 0}]
        told = next_vote(live)
        assert told["options"] == [{"name": "epic", "share": 1.0, "votes": 1}] and told["quorum"] == 1
        with dial(chatty.ws(main["links"]["live"])) as late:
            assert next_vote(late)["options"] == told["options"]
        votes = chatty.http.get("/v1/stations/main/votes").json()
        assert votes["running"][0]["closes_at"]["bar"] % 4 == 1 and votes["ended"] == []
        post(chatty, "!poll stop", role="moderator")
        assert next_vote(live)["outcome"] is None
    assert len(chatty.http.get("/v1/stations/main/votes").json()["ended"]) == 1


def test_a_room_is_heard_and_answered_and_outlives_its_faults(
    chatty: Running, main: dict[str, Any], script: Script
) -> None:
    async def speak(*lines: Message | Happening | Exception) -> None:
        for line in lines:
            script.lines.put_nowait(line)

    chatty.call(speak(RuntimeError("a fault of ours"), Message("1", "Ben", Role.vip, "!mood night")))
    wait_until(lambda: script.said == ["@Ben: done"])
    chatty.call(speak(Happening("points", "2", "Cleo", title="reveal"), Happening("points", "2", "Cleo", title="no")))
    wait_until(lambda: chatty.http.get("/v1/stations/main/chat").json()["decisions"][0]["what"] == "points")
    assert chatty.http.get("/v1/stations/main/chat").json()["decisions"][0]["user"] == "Cleo"
    assert (
        script in chatty.conductor.doors and 'chat_commands_total{command="points"' in chatty.http.get("/metrics").text
    )


def test_decisions_are_a_table_without_formulas(chatty: Running, main: dict[str, Any]) -> None:
    post(chatty, "!request =cmd|'/c calc'!A1", user="@SUM(A1)", id="x")
    answer = chatty.http.get("/v1/stations/main/chat?format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv")
    assert rows[0]["user"] == "'@SUM(A1)" and rows[0]["text"].startswith("'=cmd")


async def test_the_audit_is_for_its_user_alone_and_keeps_no_more_than_it_may(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "chat.jsonl"
    for turn in range(3):  # as over restarts
        async with Audit(file, 10_000) as audit:
            for number in range(700):
                audit.add({"user": "安娜", "number": number, "turn": turn, "text": "100 %s"})
    kept = sorted(file.parent.iterdir())
    assert [path.name for path in kept] == ["chat.jsonl", *(f"chat.jsonl.{number}" for number in range(1, 5))]
    assert all(path.stat().st_size <= 10_000 and stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept)
    last = json.loads(file.read_text(encoding="utf-8").splitlines()[-1])
    assert last == {"user": "安娜", "number": 699, "turn": 2, "text": "100 %s"}


async def test_of_a_flood_the_audit_says_how_much_is_missing(tmp_path: Path) -> None:
    async with Audit(tmp_path / "chat.jsonl", 10_000_000) as audit:
        for number in range(5000):
            audit.add({"number": number})
    lines = [json.loads(line) for line in (tmp_path / "chat.jsonl").read_text().splitlines()]
    assert len(lines) == 1001 and lines[-1] == {"left_out": 4000}


async def test_an_audit_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Audit(tmp_path, 1000) as audit:
        audit.add({"number": 1})
    assert "what chat asked for is not kept" in caplog.text
