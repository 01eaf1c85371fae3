"""Renders over HTTP: real worker processes, real files, and what becomes of both when things go wrong."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import itertools
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import numpy as np
import pytest
import soundfile
from pydantic import TypeAdapter

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.config import EngineConfig
from moods.variation import variation_seed
from streaming import messages
from streaming.config import Config
from streaming.encoders.pcm import to_s16le
from streaming.engines.wire import Pipe
from streaming.errors import BadConfig, TooManyJobs, UnknownUpload, WebhookRefused
from streaming.files.errors import CannotKeep
from streaming.jobs import jobs as queue_of_jobs
from streaming.jobs import process, webhooks
from streaming.jobs.asked import Webhook
from streaming.jobs.job import Job
from streaming.jobs.jobs import Jobs
from streaming.jobs.store import Store
from streaming.jobs.uploads import Part
from streaming.jobs.wire import Failed, Work
from streaming.metrics import Metrics
from tests.streaming.conftest import SINES, Running
from tests.streaming.jobs import ended, events, kept, music_of, submit
from tests.streaming.sines import open_sines
from tests.streaming.test_engines import wait_until
from tests.streaming.test_http import assert_problem

SLOW = {"generator": "tests.streaming.sines:open_slow"}
HOOK_KEY = "a shared secret"


@pytest.fixture(scope="module")
def renders(make_server: Callable[..., Running]) -> Running:
    settings = {"max_upload_mb": 1, "max_render_s": 600, "webhook_hosts": ["127.0.0.1"], "webhook_secret": HOOK_KEY}
    return make_server(Config(**SINES.model_dump() | settings))


# --- from the request to the files ------------------------------------------------------------------------------------


def test_a_request_becomes_a_job_with_files(renders: Running) -> None:
    response = renders.http.post("/v1/renders", json={"mood": "epic", "seconds": 2, "formats": ["wav", "flac"]})
    job = response.json()
    assert (response.status_code, response.headers["location"]) == (202, f"/v1/renders/{job['id']}")
    done = ended(renders, job)
    assert (done["state"], done["progress"], done["error"]) == ("done", 1.0, None)
    assert [(file["name"], file["kind"]) for file in done["files"]] == [("music.wav", "music"), ("music.flac", "music")]
    for number, file in enumerate(done["files"]):
        assert len(renders.http.get(file["url"]).content) == file["bytes"]
        assert len(music_of(renders, done, number)) == 2 * SAMPLE_RATE
    report = done["report"]
    assert (report["frames"], report["seed"], report["out"]) == (2 * SAMPLE_RATE, done["seed"], "music.wav")
    assert str(renders.conductor.jobs.store.folder) not in json.dumps(done)
    listed = renders.http.get("/v1/renders")
    TypeAdapter(messages.Jobs).validate_json(listed.content)
    assert {**done, "report": None} in listed.json()["renders"]


def test_markers_lead_to_the_music_beside_them_and_not_into_the_server(renders: Running) -> None:
    done = ended(renders, submit(renders, mood="epic", seconds=2, markers=["otio", "fcpxml", "csv"], midi=False))
    assert [file["kind"] for file in done["files"]] == ["music", *["markers"] * 3]
    for file in done["files"][1:3]:
        document = renders.http.get(file["url"]).text
        assert "./music.wav" in document and "file:" not in document


def test_same_request_and_seed_same_music_and_each_variation_another(renders: Running) -> None:
    request = {"mood": "night", "seconds": 1, "seed": 7}
    one, other = (ended(renders, submit(renders, **request, variations=count)) for count in (1, 2))
    assert np.array_equal(music_of(renders, one), music_of(renders, other))
    assert not np.array_equal(music_of(renders, other), music_of(renders, other, 1))
    assert [report["seed"] for report in other["report"]["variations"]] == [7, variation_seed(7, 1)]


def test_a_file_may_be_read_from_anywhere_and_says_its_name(renders: Running) -> None:
    done = ended(renders, submit(renders, mood="epic", seconds=1))
    url = done["files"][0]["url"]
    whole = renders.http.get(url)
    assert whole.headers["content-disposition"] == "attachment; filename*=utf-8''epic%20music.wav"
    part = renders.http.get(url, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert renders.http.get(url, headers={"Range": "bytes=99999999-"}).status_code == 416
    assert_problem(renders.http.get(f"{done['links']['self']}/files/..%2Frecord.json"), 404, "http_error")
    assert_problem(renders.http.get(f"{done['links']['self']}/files/record.json"), 404, "unknown_file")


def test_the_audition_is_the_music_and_comes_while_it_is_composed(renders: Running) -> None:
    job = submit(renders, mood="epic", seconds=20)
    heard = [bytearray(), bytearray()]
    state = None
    with renders.http.stream("GET", job["links"]["audition"]) as one, httpx.Client(base_url=renders.address) as http:
        for chunk in one.iter_bytes():
            heard[0] += chunk
            state = state or renders.http.get(job["links"]["self"]).json()["state"]
        heard[1] += http.get(job["links"]["audition"]).content
    assert state == "running" and heard[0] == heard[1]
    with soundfile.SoundFile(io.BytesIO(heard[0])) as file:
        assert (file.frames, file.samplerate, file.channels) == (20 * SAMPLE_RATE, SAMPLE_RATE, 2)
    made = np.frombuffer(to_s16le(music_of(renders, ended(renders, job))), "<i2").astype(int)
    assert np.abs(made - np.frombuffer(heard[0][44:], "<i2")).max() <= 1  # rounded to 24 bits between


def test_a_timeline_may_be_the_body_itself(renders: Running) -> None:
    timeline = {"duration": 2, "mood": "epic", "seed": 3, "hits": [1.2], "ending": "stop", "loudness": {"lufs": -20}}
    bare, wrapped = (ended(renders, submit(renders, **body)) for body in (timeline, {"timeline": timeline}))
    assert bare["report"]["hits"] == wrapped["report"]["hits"] != []
    assert bare["report"]["loudness"] == wrapped["report"]["loudness"]
    assert np.array_equal(music_of(renders, bare), music_of(renders, wrapped))
    both = submit(renders, **timeline, formats=["flac"])
    assert [file["name"] for file in ended(renders, both)["files"]] == ["music.flac"]


def test_a_take_is_fitted_to_another_length_where_an_ending_is_asked_for(renders: Running) -> None:
    opening = {"type": "opening", "version": 1, "station": "x", "is_complete": True, "entries": 0, "seed": 3}
    station = renders.open(mood="epic")
    header = json.loads(renders.http.get(station["links"]["take"]).text.splitlines()[0])
    document = json.dumps({**header, **opening}) + "\n"
    cut, fitted = (
        ended(renders, submit(renders, take=document, seconds=4, **how)) for how in ({}, {"ending": "cadence"})
    )
    assert [done["state"] for done in (cut, fitted)] == ["done", "done"], fitted["error"]
    one, other = music_of(renders, cut), music_of(renders, fitted)
    assert len(one) == len(other) == 4 * SAMPLE_RATE
    assert np.array_equal(one[: SAMPLE_RATE // 2], other[: SAMPLE_RATE // 2])
    assert fitted["report"]["sections"] != cut["report"]["sections"]
    renders.http.delete(station["links"]["self"])


def test_a_stations_take_is_kept_as_it_was_heard(renders: Running) -> None:
    station = renders.open(mood="sad", energy=0.1)
    renders.http.post(station["links"]["controls"], json={"type": "steer", "set": {"energy": 1}, "at": "now"})
    wait_until(lambda: renders.http.get(station["links"]["self"]).json()["position"]["seconds"] > 1.5)
    whole = submit(renders, take=station["id"])
    last = submit(renders, take=station["id"], last_minutes=0.02)
    document = renders.http.get(station["links"]["take"]).text
    later = submit(renders, take=document, **{"from": 0.5, "seconds": 1})
    made = music_of(renders, ended(renders, whole))
    num_blocks = -(-len(made) // BLOCK_FRAMES)
    played = renders.performed(station, open_sines(EngineConfig(max_slots=1)), num_blocks)
    sounding = len(made) - SAMPLE_RATE // 100  # the last moment is brought to zero
    assert len(made) == num_blocks * BLOCK_FRAMES >= 1.5 * SAMPLE_RATE
    assert np.abs(made - played)[:sounding].max() < 2**-23
    cut = music_of(renders, ended(renders, later))
    assert np.abs(cut - played[SAMPLE_RATE // 2 :][: len(cut)])[: SAMPLE_RATE * 9 // 10].max() < 2**-23
    assert len(music_of(renders, ended(renders, last))) == round(0.02 * 60 * SAMPLE_RATE)
    document = renders.http.get(station["links"]["self"] + "/take").text
    far = renders.http.post("/v1/renders", json={"take": document, "from": 599.5, "seconds": 1})
    assert_problem(far, 422, "out_of_range")
    renders.http.delete(station["links"]["self"])


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"mood": "heeling"}, 422, "unknown_mood"),
        ({"mood": "epic", "take": "x"}, 422, "bad_control"),
        ({"seconds": 601}, 422, "out_of_range"),
        ({"timeline": {"duration": 700}}, 422, "out_of_range"),
        ({"timeline": {"duration": 5, "hits": [7]}}, 422, "out_of_range"),
        ({"take": "nobody"}, 404, "unknown_station"),
        ({"take": "{}\n"}, 422, "bad_parameter"),
        ({"video": "0123456789abcdef"}, 404, "unknown_upload"),
        ({"formats": ["exe"]}, 422, "bad_control"),
        ({"formats": []}, 422, "bad_control"),
        ({"preset": "17s"}, 422, "unknown_preset"),
        ({"take": None}, 422, "bad_control"),
        ({"variations": 9}, 422, "bad_control"),
        ({"from": 3}, 422, "bad_control"),
        ([1], 422, "bad_control"),
    ],
)
def test_a_bad_request_is_named_and_nothing_is_begun(
    renders: Running, request_: object, status: int, code: str
) -> None:
    assert_problem(renders.http.post("/v1/renders", json=request_), status, code)
    assert renders.http.get("/v1/renders").json() == {"renders": []}


def test_what_is_not_there_is_not_found(renders: Running) -> None:
    for method, path in [("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/files/a"), ("GET", "/audition")]:
        assert_problem(renders.http.request(method, f"/v1/renders/nothing{path}"), 404, "unknown_render")


# --- events -----------------------------------------------------------------------------------------------------------


def test_events_tell_the_way_to_the_end_and_then_no_more(renders: Running) -> None:
    job = submit(renders, mood="epic", seconds=20)
    told = list(events(renders, job))
    shares = [each["progress"] for each in told]
    assert shares == sorted(shares) and len(set(shares)) >= 3
    assert [state for state, _ in itertools.groupby(each["state"] for each in told)][-2:] == ["running", "done"]
    assert told[-1] == renders.http.get(job["links"]["self"]).json()
    again = renders.http.get(job["links"]["events"], headers={"Last-Event-ID": "done"})
    assert (again.status_code, again.content) == (204, b"")


def test_a_follower_that_goes_away_is_nobodys_loss(renders: Running) -> None:
    job = submit(renders, mood="epic", seconds=8)
    with renders.http.stream("GET", job["links"]["events"]) as response:
        next(response.iter_lines())
    with renders.http.stream("GET", job["links"]["audition"]) as response:
        next(response.iter_bytes())
    assert ended(renders, job)["state"] == "done"


# --- the queue --------------------------------------------------------------------------------------------------------


def test_twenty_jobs_of_two_clients_are_done_one_after_another(renders: Running) -> None:
    with httpx.Client(base_url=renders.address, timeout=60) as other:
        submitted = [
            client.post("/v1/renders", json={"mood": "epic", "seconds": 1, "seed": number}).json()
            for number, client in enumerate([renders.http, other] * 10)
        ]
    assert any(job.get("ahead", 0) > 0 for job in submitted)
    done = [ended(renders, job) for job in submitted]
    assert all(job["state"] == "done" for job in done)
    assert [job["report"]["seed"] for job in done] == list(range(20))
    idle = {'undersong_renders_waiting{kind="render"} 0.0', "undersong_renders_running 0.0"}
    wait_until(lambda: idle <= set(renders.http.get("/metrics").text.splitlines()))


def test_a_cancelled_job_ends_wherever_it_is_and_leaves_nothing(renders: Running) -> None:
    running = submit(renders, mood="epic", seconds=600)
    queued = submit(renders, mood="epic", seconds=600)
    followed: list[dict[str, Any]] = []
    follower = threading.Thread(target=lambda: followed.extend(events(renders, running)))
    follower.start()
    with renders.http.stream("GET", running["links"]["audition"]) as audition:
        sound = audition.iter_bytes()
        next(sound)
        for job in (queued, running):
            assert renders.http.delete(job["links"]["self"]).status_code == 204
            assert_problem(renders.http.get(job["links"]["self"]), 404, "unknown_render")
        assert sum(map(len, sound)) < 600 * SAMPLE_RATE * 4  # it ends, and cleanly
    follower.join()
    assert followed[-1]["state"] == "cancelled"
    wait_until(lambda: kept(renders) == [])
    assert ended(renders, submit(renders, mood="epic", seconds=1))["state"] == "done"


def test_a_worker_that_dies_fails_its_job_alone(renders: Running) -> None:
    doomed = submit(renders, mood="epic", seconds=600)
    worker = renders.conductor.jobs._workers[0]
    wait_until(lambda: renders.http.get(doomed["links"]["self"]).json()["progress"] > 0)
    next_one = submit(renders, mood="epic", seconds=1)
    os.kill(worker.pid, signal.SIGKILL)
    failed = ended(renders, doomed)
    assert (failed["state"], failed["error"]["code"], failed["files"]) == ("failed", "worker_died", [])
    assert "signal 9" in failed["error"]["detail"]
    assert ended(renders, next_one)["state"] == "done"


def test_a_job_that_does_not_let_go_is_not_waited_for(renders: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.jobs.worker._PATIENCE_S", 0.2)
    stuck = submit(renders, mood="epic", seconds=600)
    worker = renders.conductor.jobs._workers[0]
    wait_until(lambda: renders.http.get(stuck["links"]["self"]).json()["progress"] > 0)
    os.kill(worker.pid, signal.SIGSTOP)
    renders.http.delete(stuck["links"]["self"])
    assert ended(renders, submit(renders, mood="epic", seconds=1))["state"] == "done"


def test_the_same_key_is_the_same_job_or_a_mistake(renders: Running) -> None:
    key = {"Idempotency-Key": "once"}
    one, again = (renders.http.post("/v1/renders", json={"seconds": 1}, headers=key) for _ in range(2))
    assert one.json()["id"] == again.json()["id"] and again.status_code == 202
    other = renders.http.post("/v1/renders", json={"seconds": 2}, headers=key)
    assert_problem(other, 422, "key_reused")
    assert len(renders.http.get("/v1/renders").json()["renders"]) == 1
    renders.http.delete(one.json()["links"]["self"])
    assert renders.http.post("/v1/renders", json={"seconds": 2}, headers=key).status_code == 202


# --- what outlasts a server -------------------------------------------------------------------------------------------


def a_job(**asked: Any) -> Job:
    return Job(os.urandom(8).hex(), "render", {"mood": "epic", "seconds": 1, "seed": 1} | asked)


def config_in(folder: Path, **settings: Any) -> Config:
    return Config(**SINES.model_dump() | {"renders": str(folder)} | settings)


async def test_the_queue_outlasts_a_restart_and_what_was_begun_is_made_again(tmp_path: Path) -> None:
    first = Jobs(config_in(tmp_path, **SLOW), Metrics())
    await first.start()
    done, running, waiting = a_job(), a_job(seconds=500), a_job()
    for job in (done, running, waiting):
        await first.submit(job)
    await done.end()
    while not running.progress:
        await running.change()
    with pytest.raises(BadConfig, match="another server"):
        Store(str(tmp_path))
    await first.stop()
    running.asked["seconds"] = 1
    music = soundfile.read(first_file(tmp_path, done))[0]
    assert (done.asked, set(running.asked)) == ({"seed": 1}, {"mood", "seconds", "seed"}), "the done need it no more"

    record = json.loads((tmp_path / "jobs" / running.id / "record.json").read_text())
    assert (record["state"], record["starts"]) == ("queued", 0)
    (tmp_path / "jobs" / running.id / "record.json").write_text(json.dumps(record | {"asked": running.asked}))
    second = Jobs(config_in(tmp_path), Metrics())
    await second.start()
    assert [job.id for job in second.all.values()] == [done.id, running.id, waiting.id]
    for job in second.all.values():
        await job.end()
        assert job.state == "done", job.error
        assert np.array_equal(soundfile.read(first_file(tmp_path, job))[0], music)
    await second.stop()
    second = Jobs(config_in(tmp_path), Metrics())
    await second.start()
    second.forget(second.job(done.id))
    await second.stop()
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == sorted([running.id, waiting.id])


def first_file(folder: Path, job: Job) -> Path:
    return folder / "jobs" / job.id / "files" / "music.wav"


async def test_a_job_that_ends_servers_is_given_up(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    job = a_job()
    store.save("jobs", job.id, job.record() | {"state": "running", "starts": 2})
    store.close()
    jobs = Jobs(config_in(tmp_path), Metrics())
    await jobs.start()
    assert jobs.job(job.id).error["code"] == "worker_died"
    await jobs.stop()


async def test_what_was_wanted_longest_ago_makes_room_and_what_is_old_goes(tmp_path: Path) -> None:
    jobs = Jobs(config_in(tmp_path, max_renders_mb=100), Metrics())
    await jobs.start()
    old, new = a_job(), a_job()
    for job in (old, new):
        await jobs.submit(job)
        await job.end()
    old.bytes = new.bytes = 60_000_000
    jobs.file(new, "music.wav")
    await jobs.submit(third := a_job())
    await third.end()
    assert set(jobs.all) == {new.id, third.id}
    new.wanted_s -= 2 * 86_400
    jobs._tasks.pop().cancel()
    tidying = jobs._tidy_now_and_then()
    tidying.send(None)
    tidying.close()
    assert set(jobs.all) == {third.id}
    await jobs.stop()
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == [third.id]


async def test_an_upload_counts_once_and_makes_no_room_for_its_own_job(tmp_path: Path) -> None:
    jobs = Jobs(config_in(tmp_path, max_renders_mb=100), Metrics())
    await jobs.start()
    await jobs.submit(finished := a_job())
    await finished.end()
    (tmp_path / "incoming" / "part").write_bytes(b"a clip")
    part = Part(tmp_path / "incoming" / "part", 90_000_000, "clip.mp4", 60_000_000)
    jobs.reserve(part.num_bytes)
    upload = await jobs.keep(part, 1.0)
    assert (part.kept_bytes, jobs.kept_bytes) == (60_000_000, 60_000_000 + finished.bytes)
    jobs.all[finished.id].bytes = 50_000_000
    upload.wanted_s = 0.0
    picture = Job(os.urandom(8).hex(), "analysis", {}, upload=upload.id)
    await jobs.submit(picture)
    assert set(jobs.uploads) == {upload.id} and set(jobs.all) == {picture.id}
    jobs.forget(picture)
    jobs._let_go(upload)
    assert jobs.kept_bytes == 0, "what makes room has made it at once"
    with pytest.raises(UnknownUpload):
        await jobs.submit(Job(os.urandom(8).hex(), "analysis", {}, upload=upload.id))
    await jobs.stop()


def test_what_is_wrong_with_the_servers_disk_is_told_without_its_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise CannotKeep(Path("/srv/jobs"), "Read-only file system")

    monkeypatch.setattr(process, "render", fail)
    jobs = cast(process._Jobs, SimpleNamespace(is_cancelled=lambda job: False))
    ended = process.perform(Work("1", "render", {}, Path(), None), Config(), cast(Pipe, None), jobs)
    assert isinstance(ended, Failed) and ended.error is not None
    assert ended.error["code"] == "cannot_keep" and "/srv" not in ended.error["detail"]


async def test_a_fault_at_the_end_of_a_job_fails_it_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(config_in(tmp_path), Metrics())
    await jobs.start()
    monkeypatch.setattr(jobs.store, "size", lambda shelf, name: 1 // 0)
    await jobs.submit(doomed := a_job())
    await doomed.end()
    assert (doomed.state, doomed.error["code"]) == ("failed", "internal_error")
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "jobs" / doomed.id)
    jobs.store.empty("jobs", doomed.id)  # somebody has removed its folder: that is no fault
    await jobs.submit(next_one := a_job())
    await next_one.end()
    assert next_one.state == "done"
    await jobs.stop()


async def test_a_job_forgotten_while_it_begins_is_not_made(tmp_path: Path) -> None:
    jobs = Jobs(config_in(tmp_path, **SLOW), Metrics())
    await jobs.start()
    worker = jobs._workers[0]
    for is_at_moment in (lambda: bool(jobs._working), lambda: worker._ended is not None):
        await jobs.submit(forgotten := a_job(seconds=500))
        while not is_at_moment():
            await asyncio.sleep(0)
        assert worker.pid is None, "its process has not been started"
        jobs.forget(forgotten)
        async with asyncio.timeout(30):  # not the minutes that it would take
            while jobs._working:
                await asyncio.sleep(0.02)
        await worker.stop()
    await jobs.stop()
    assert not list((tmp_path / "jobs").iterdir())


async def test_no_more_jobs_are_kept_than_memory_has_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_of_jobs, "_MOST_KEPT", 2)
    jobs = Jobs(config_in(tmp_path), Metrics())
    await jobs.start()
    made = [a_job() for _ in range(3)]
    for job in made:
        await jobs.submit(job)
        await job.end()
    await jobs.submit(waits := a_job(seconds=500))
    assert list(jobs.all) == [made[1].id, made[2].id, waits.id]
    await jobs.stop()


async def test_a_full_queue_and_a_full_disk_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(config_in(tmp_path, max_renders_waiting=1), Metrics())
    await jobs.start()
    await jobs.submit(running := a_job(seconds=500))
    await running.change()
    await jobs.submit(a_job())
    with pytest.raises(TooManyJobs):
        await jobs.submit(a_job())
    monkeypatch.setattr(queue_of_jobs, "free_bytes", lambda folder: 1000.0)
    for job in list(jobs.all.values()):
        jobs.forget(job)
    with pytest.raises(queue_of_jobs.NoRoomForJobs, match="disk"):
        await jobs.submit(a_job())
    assert not jobs.all
    await jobs.stop()
    assert not list((tmp_path / "jobs").iterdir())


# --- webhooks ---------------------------------------------------------------------------------------------------------


class Receiver:
    """Notes what is posted to it; answers `statuses` one after another, then 204."""

    def __init__(self, *statuses: int) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        answers = iter(statuses)
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(next(answers, 204))
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *words: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?job=1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_a_webhook_is_told_the_end_under_a_signature_and_again_until_it_hears(
    renders: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TRIES_AFTER_S", (0.0, 0.05, 0.05))
    with Receiver(500, 302) as receiver:
        job = submit(renders, mood="epic", seconds=1, webhook={"url": receiver.url})
        done = ended(renders, job)
        wait_until(lambda: renders.http.get(job["links"]["self"]).json()["webhook"]["state"] != "waiting")
    assert len(receiver.received) == 3
    headers, body = receiver.received[-1]
    signed = headers["x-undersong-timestamp"].encode() + b"." + body
    expected = hmac.new(HOOK_KEY.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["x-undersong-signature"] == f"sha256={expected}"
    assert abs(int(headers["x-undersong-timestamp"]) - time.time()) < 60
    assert json.loads(body) == {name: value for name, value in done.items() if name != "webhook"}
    told = renders.http.get(job["links"]["self"]).json()
    assert told["webhook"] == {"state": "delivered", "attempts": 3}
    assert HOOK_KEY not in json.dumps(told)


def test_a_webhook_that_nobody_hears_is_given_up(renders: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TRIES_AFTER_S", (0.0, 0.0))
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        job = submit(renders, mood="epic", seconds=1, webhook={"url": url, "secret": "of my own"})
        wait_until(lambda: renders.http.get(job["links"]["self"]).json().get("webhook", {}).get("state") == "failed")
    assert renders.http.get(job["links"]["self"]).json()["webhook"]["attempts"] == 2


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "100.64.0.1"),
        *("[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
    ],
)
def test_a_webhook_to_a_network_of_ours_is_refused(host: str) -> None:
    hooks = webhooks.Webhooks(Config(webhook_secret=HOOK_KEY))
    with pytest.raises(WebhookRefused, match="webhook_hosts"):
        hooks.check(Webhook(url=f"http://{host}/x"))
    hooks.check(Webhook(url="https://93.184.215.14/x"))


def test_a_webhooks_name_is_judged_by_what_it_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = webhooks.Webhooks(Config())
    hooks.check(Webhook(url="https://inside.example/x", secret=HOOK_KEY))
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("93.184.215.14", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *words, **options: found)
    with pytest.raises(WebhookRefused, match=r"10\.0\.0\.1"):
        hooks._post("https://inside.example/x", HOOK_KEY, "job", b"{}")


def test_a_webhook_needs_a_secret_and_an_allowed_host(renders: Running) -> None:
    with pytest.raises(WebhookRefused, match="secret"):
        webhooks.Webhooks(Config()).check(Webhook(url="https://example.org/"))
    for url in ("https://example.org/", "http://user@127.0.0.1/", "http://127.0.0.1:99999/"):
        refused = renders.http.post("/v1/renders", json={"webhook": {"url": url}})
        assert_problem(refused, 403, "webhook_refused")
    assert renders.http.get("/v1/renders").json() == {"renders": []}
