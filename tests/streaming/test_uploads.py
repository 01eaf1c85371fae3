"""What clients send along: pictures and timelines, whole, broken, too large, too slow, and under whatever name."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from pydantic import TypeAdapter

from engine.audio import SAMPLE_RATE
from streaming import messages
from streaming.config import Config
from streaming.jobs import jobs as queue_of_jobs
from streaming.jobs import uploads
from streaming.jobs.uploads import shown_name
from tests.clips import Picture, speech_track, write_clip
from tests.streaming.conftest import SINES, Running
from tests.streaming.jobs import SHELVES, ended, kept, music_of, submit
from tests.streaming.test_engines import wait_until
from tests.streaming.test_http import assert_problem

BOUNDARY = "a-boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(scope="module")
def renders(make_server: Callable[..., Running]) -> Running:
    return make_server(Config(**SINES.model_dump() | {"max_upload_mb": 1, "max_picture_s": 5}))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Three seconds with a cut at the second one, without sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, Picture(num_frames=75, cuts=(50,))).read_bytes()


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    named = f'name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {named}\r\n\r\n"
    return head.encode("utf-8", "surrogateescape") + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def analyse(server: Running, content: bytes, name: str = "clip.mp4", **options: Any) -> httpx.Response:
    return server.http.post("/v1/analyses", content=part("video", content, name) + END, headers=FORM, **options)


def incoming(server: Running) -> list[Path]:
    return list(server.conductor.jobs.store.incoming.iterdir())


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_picture_is_analysed_and_its_upload_stands_for_it(renders: Running, tmp_path: Path) -> None:
    sound, spans = speech_track(4, [0.5])
    path = write_clip(tmp_path / "a.mp4", Picture(num_frames=100, cuts=(50,), size=(160, 90)), sound)
    answered = analyse(renders, path.read_bytes())
    assert answered.status_code == 202, answered.text
    done = ended(renders, answered.json())
    report = done["report"]
    assert (report["duration"], report["frames"], report["fps"]) == (4.0, 100, "25")
    assert (report["width"], report["height"], report["has_audio"]) == (160, 90, True)
    assert [cut["at"] for cut in report["cuts"]] == [2.0]
    assert abs(report["speech"][0][0] - spans[0][0]) < 0.3
    lowest, highest = zip(*report["waveform"], strict=True)
    assert len(report["waveform"]) == 400 and max(highest[:40]) < 0.01 < 0.05 < max(highest[60:300])
    assert min(lowest[60:300]) < -0.05
    scored = ended(renders, submit(renders, mood="epic", video=done["upload"], formats=["wav"]))
    assert len(music_of(renders, scored)) == 4 * SAMPLE_RATE


def test_a_picture_without_sound_is_a_picture(renders: Running, clip: bytes) -> None:
    report = ended(renders, analyse(renders, clip).json())["report"]
    assert (report["has_audio"], report["speech"]) == (False, [])
    assert {tuple(peak) for peak in report["waveform"]} == {(0.0, 0.0)}


def test_the_same_picture_is_kept_once(renders: Running, clip: bytes) -> None:
    one, other = (analyse(renders, clip, name).json() for name in ("a.mp4", "b.mp4"))
    assert one["upload"] == other["upload"]
    request = part("request", b'{"mood": "epic", "formats": ["wav"]}')
    scored = renders.http.post("/v1/renders", content=request + part("video", clip, "c.mp4") + END, headers=FORM)
    assert scored.json()["upload"] == one["upload"]
    assert len(list((renders.conductor.jobs.store.folder / "uploads").iterdir())) == 1


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 415, "not_a_picture"),
        (b"<html>hello</html>" * 100, 415, "not_a_picture"),
        (b"#EXTM3U\n#EXTINF:5,\nfile:///etc/passwd\n", 415, "not_a_picture"),
        ("cut off", 415, "not_a_picture"),
        ("sound alone", 422, "bad_video"),
        ("long", 422, "out_of_range"),
        (bytes(1_000_001), 413, "too_large"),
    ],
    ids=["empty", "page", "playlist", "cut off", "sound", "long", "large"],
)
def test_what_is_no_picture_is_refused_and_not_kept(
    renders: Running, clip: bytes, tmp_path: Path, content: bytes | str, status: int, code: str
) -> None:
    if content == "cut off":
        content = clip[:4000]
    elif content == "sound alone":
        content = write_clip(tmp_path / "a.mp4", None, speech_track(2, [])[0]).read_bytes()
    elif content == "long":
        content = write_clip(tmp_path / "a.mp4", Picture(num_frames=6, fps=1, size=(64, 36))).read_bytes()
    assert isinstance(content, bytes)
    problem = assert_problem(analyse(renders, content), status, code)
    assert "/" not in str(problem["detail"]).replace("…", "") or code == "not_a_picture"
    assert kept(renders) == [] and renders.http.get("/v1/renders").json() == {"renders": []}
    assert not renders.conductor.jobs.kept_bytes


# --- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_request"),
        (b"no form at all", 400, "bad_request"),
        (part("video", b"x"), 400, "bad_request"),
        (part("video", b"x") + part("video", b"y") + END, 422, "bad_parameter"),
        (part("film", b"x") + END, 422, "bad_parameter"),
        (part("", b"x") + END, 422, "bad_parameter"),
        (END, 422, "bad_parameter"),
        (b"--" + BOUNDARY.encode() + b"\r\nX: " + b"y" * 10_000, 400, "bad_request"),
    ],
)
def test_a_form_that_cannot_be_read_is_named_and_leaves_nothing(
    renders: Running, body: bytes, status: int, code: str
) -> None:
    assert_problem(renders.http.post("/v1/analyses", content=body, headers=FORM), status, code)
    assert incoming(renders) == []


def test_a_form_needs_to_say_that_it_is_one(renders: Running) -> None:
    for content_type, status, code in [
        ("application/json", 415, "wrong_content_type"),
        ("multipart/form-data", 400, "bad_request"),
        ("multipart/form-data; boundary=" + "x" * 300, 400, "bad_request"),
    ]:
        response = renders.http.post("/v1/analyses", content=END, headers={"Content-Type": content_type})
        assert_problem(response, status, code)


def test_what_is_too_large_is_not_read_to_its_end(renders: Running) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield part("video", b"")[:-2]
        while sent < 100_000_000:
            sent += 100_000
            yield bytes(100_000)

    with contextlib.suppress(httpx.TransportError):  # the server has closed, and the client was still writing
        assert_problem(renders.http.post("/v1/analyses", content=endless(), headers=FORM), 413, "too_large")
    assert sent < 50_000_000
    wait_until(lambda: incoming(renders) == [])


def test_a_client_that_goes_away_or_waits_leaves_nothing(renders: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    address = urlsplit(renders.address)
    fields = {"Host": address.netloc, "Content-Length": "900000", **FORM}
    lines = ["POST /v1/analyses HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    head = "\r\n".join(lines)
    with socket.create_connection((address.hostname, address.port)) as gone:
        gone.sendall(head.encode() + part("video", bytes(200_000)))
    monkeypatch.setattr(uploads, "_PATIENCE_S", 0.3)
    with socket.create_connection((address.hostname, address.port)) as slow:
        slow.sendall(head.encode() + part("video", b"x"))
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
    wait_until(lambda: incoming(renders) == [] and not renders.conductor.jobs.kept_bytes)


def test_a_full_disk_is_said_and_nothing_is_left(
    renders: Running, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_of_jobs, "free_bytes", lambda folder: 1000.0)
    assert_problem(analyse(renders, clip), 507, "no_room")
    monkeypatch.undo()

    def full(*words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads._Receiver, "_write", full)
    assert_problem(analyse(renders, clip), 507, "no_room")
    monkeypatch.undo()
    monkeypatch.setattr(renders.conductor.jobs.store, "save", full)
    assert_problem(analyse(renders, clip), 507, "no_room")
    assert kept(renders) == [] and not renders.conductor.jobs.all


NAMES = [
    "../../etc/passwd",
    "a\\..\\b.mp4",
    "ünïcödé 視頻.mp4",
    "\u202egpm.exe",
    "a\x00b.mp4",
    "x" * 5000,
    "",
    "..",
    "/",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
def test_no_name_reaches_the_disk_and_each_is_shown_harmless(renders: Running, clip: bytes, name: str) -> None:
    answered = analyse(renders, clip, name)
    assert answered.status_code == 202, answered.text
    done = ended(renders, submit(renders, mood="epic", video=answered.json()["upload"], formats=["wav"]))
    disposition = renders.http.get(done["files"][0]["url"]).headers["content-disposition"]
    assert disposition.isascii() and disposition.isprintable()
    shown = unquote(disposition.partition("''")[2] or disposition.split('"')[1])
    assert shown.isprintable() and len(shown) < 150 and not set("/\\") & set(shown)
    names = {path.name for path in renders.conductor.jobs.store.folder.rglob("*")}
    ours = {*SHELVES, "files", "picture", "record.json", "music.wav", "audition-1.wav"}
    assert names <= ours | {done["id"], answered.json()["id"], done["upload"]}


def test_a_name_keeps_what_people_need_and_nothing_else() -> None:
    assert shown_name("C:\\films\\Ünïcode 視頻.mp4") == "Ünïcode 視頻.mp4"
    assert shown_name("a\r\nSet-Cookie: x\x00") == "aSet-Cookie: x"
    assert [shown_name(name) for name in ("a\\..\\b.mp4", "..", "/", "", "\u202egpm.exe")] == [
        "b.mp4",
        "",
        "",
        "",
        "gpm.exe",
    ]


# --- timelines --------------------------------------------------------------------------------------------------------

CUT_LIST = b"time\n1.5\n4\n"


def test_an_editing_programs_file_becomes_a_timeline(renders: Running) -> None:
    read = renders.http.post("/v1/timelines?format=csv&duration=6&fps=25", content=CUT_LIST)
    assert read.status_code == 200, read.text
    assert read.json()["duration"] == 6 and [cut["at"] for cut in read.json()["cuts"]] == [1.52, 4.0]
    plan = renders.http.post("/v1/timelines/plan", json=read.json() | {"mood": "epic"})
    TypeAdapter(messages.Plan).validate_json(plan.content)
    assert plan.json()["duration"] == 6
    assert "Undersong-Notes" not in read.headers
    beyond = renders.http.post("/v1/timelines?format=csv&duration=3&fps=25", content=CUT_LIST)
    assert json.loads(beyond.headers["Undersong-Notes"]) == ["places outside the sequence were left out: 1"]
    assert_problem(renders.http.post("/v1/timelines?format=csv", content=CUT_LIST), 422, "bad_exchange")
    assert_problem(renders.http.post("/v1/timelines?format=exe", content=CUT_LIST), 422, "bad_parameter")
    assert_problem(renders.http.post("/v1/timelines?format=xml", content=bytes(17 << 20)), 413, "too_large")


@pytest.mark.slow
def test_a_file_that_no_reader_survives_is_refused_and_the_server_lives(
    renders: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.jobs.apart._PATIENCE_S", 0.05)  # as of one that would take for ever
    told = renders.http.post("/v1/timelines?format=csv&duration=6&fps=25", content=CUT_LIST)
    assert_problem(told, 422, "bad_exchange")
    assert "too much time or memory" in told.json()["detail"]
    monkeypatch.undo()
    assert renders.http.post("/v1/timelines?format=csv&duration=6&fps=25", content=CUT_LIST).status_code == 200


def test_the_plan_is_what_is_heard(renders: Running) -> None:
    timeline = {"duration": 8, "mood": "epic", "seed": 3, "hits": [2.7], "cuts": [1.1, 5.3]}
    plan = renders.http.post("/v1/timelines/plan", json=timeline).json()
    done = ended(renders, submit(renders, timeline=timeline))
    assert done["report"], done["error"]
    assert done["report"]["beats"] == pytest.approx(plan["beats"], abs=1e-5)


def test_the_room_of_what_has_been_received_is_given_back(renders: Running, clip: bytes) -> None:
    for _ in range(2):
        ended(renders, analyse(renders, clip).json())
        renders.http.post("/v1/renders", content=part("video", b"no clip") + END, headers=FORM)
    jobs = renders.conductor.jobs
    assert jobs.kept_bytes == sum(each.bytes for each in [*jobs.all.values(), *jobs.uploads.values()])


def test_a_render_takes_a_picture_a_request_and_a_timeline_together(renders: Running, clip: bytes) -> None:
    request = part("request", json.dumps({"mood": "epic", "ending": "stop", "formats": ["wav"]}).encode())
    files = part("timeline", CUT_LIST, "cuts.csv") + part("video", clip, "clip.mp4")
    answered = renders.http.post("/v1/renders", content=request + files + END, headers=FORM)
    assert answered.status_code == 202, answered.text
    timeline = renders.conductor.jobs.job(answered.json()["id"]).asked["timeline"]
    assert (timeline["mood"], timeline["ending"], timeline["duration"]) == ("epic", "stop", 3.0)
    assert [cut["at"] for cut in timeline["cuts"]] == [1.5]  # the other lies beyond the picture
    done = ended(renders, answered.json())
    assert len(music_of(renders, done)) == 3 * SAMPLE_RATE
    assert done["report"]["loudness"]["lufs"] == pytest.approx(-14, abs=0.2)  # as the platforms have it


async def test_the_event_loop_is_not_held_by_a_large_form(renders: Running) -> None:
    """What is written and summed is done by threads: the server's loop answers meanwhile."""
    body = part("video", bytes(900_000)) + END
    posts = [
        asyncio.to_thread(httpx.post, f"{renders.address}/v1/analyses", content=body, headers=FORM, timeout=60)
        for _ in range(4)
    ]
    pending = asyncio.gather(*posts)
    assert (await asyncio.to_thread(renders.http.get, "/healthz")).json() == {"alive": True}
    assert {response.status_code for response in await pending} == {415}
