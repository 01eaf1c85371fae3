"""The HTTP interface: what is answered, and what bad input gets."""

from __future__ import annotations

import io
import itertools
import json
import re
import socket
import struct
import time
import wave
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import av
import httpx
import numpy as np
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message
from starlette.websockets import WebSocket

from streaming.config import Config
from streaming.encoders.endless import coding_of
from streaming.transports import http_audio, websocket
from tests.streaming.conftest import SINES, Running, dial
from tests.streaming.test_engines import wait_until

JSON = {"Content-Type": "application/json"}


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert {"type", "title", "status", "detail"} <= set(problem)
    assert problem["status"] == status
    assert problem["code"] == code
    return problem


def test_station_lives_from_post_to_delete(server: Running) -> None:
    response = server.http.post("/v1/stations", json={"mood": "治愈", "seed": 7, "name": "desk"})
    station = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/stations/{station['id']}"
    assert (station["name"], station["seed"]) == ("desk", 7)
    assert [each["id"] for each in server.http.get("/v1/stations").json()["stations"]] == [station["id"]]
    path = station["links"]["self"]
    state = server.http.patch(path, json={"energy": 0.9, "name": "stage"}).json()
    assert state["name"] == "stage"
    assert server.http.delete(path).status_code == 204
    assert_problem(server.http.get(path), 404, "unknown_station")
    assert_problem(server.http.delete(path), 404, "unknown_station")


@pytest.mark.parametrize(
    ("opening", "code", "member"),
    [
        ({"mood": "heeling"}, "unknown_mood", "nearest"),
        ({"style": "lofy"}, "unknown_style", "nearest"),
        ({"key": "H major"}, "unknown_key", "nearest"),
        ({"energy": 1.5}, "out_of_range", "range"),
        ({"enrgy": 0.5}, "bad_control", "detail"),
        ([1], "bad_control", "detail"),
    ],
)
def test_bad_opening_is_named(server: Running, opening: object, code: str, member: str) -> None:
    problem = assert_problem(server.http.post("/v1/stations", json=opening), 422, code)
    assert problem[member]


def test_bodies_that_cannot_be_read_are_problems(server: Running) -> None:
    nan = server.http.post("/v1/stations", content='{"energy": NaN}', headers={"Content-Type": "application/json"})
    assert assert_problem(nan, 422, "out_of_range")["field"] == "energy"
    broken = server.http.post("/v1/stations", content="{", headers={"Content-Type": "application/json"})
    assert_problem(broken, 400, "bad_request")
    text = server.http.post("/v1/stations", content="epic", headers={"Content-Type": "text/plain"})
    assert_problem(text, 415, "wrong_content_type")
    assert_problem(server.http.get("/v1/nothing"), 404, "http_error")
    assert_problem(server.http.put("/v1/stations"), 405, "http_error")


SURROGATES = [{"name": "\ud800"}, {"prompt": "\udfff"}, {"style": {"\ud800": 1}}, {"\ud800": 1}]


@pytest.mark.parametrize("opening", SURROGATES, ids=ascii)
def test_half_a_surrogate_pair_is_refused_and_harms_nobody(server: Running, opening: object) -> None:
    station = server.open()["links"]
    for method, path in [("POST", "/v1/stations"), ("PATCH", station["self"]), ("POST", station["controls"])]:
        body = {"type": "steer", "set": opening} if path == station["controls"] else opening
        response = server.http.request(method, path, content=json.dumps(body), headers=JSON)
        assert_problem(response, 422, "bad_text")
    assert len(server.http.get("/v1/stations").json()["stations"]) == 1


@pytest.mark.parametrize(
    "change", [{"name": 1}, {"name": "x" * 65}, {"name": "my desk"}, {"name": ""}, {"name": "b", "energy": 2}, [1]]
)
def test_a_bad_change_is_named_as_at_the_opening_and_changes_nothing(server: Running, change: object) -> None:
    path = server.open(name="a")["links"]["self"]
    patched, posted = server.http.patch(path, json=change), server.http.post("/v1/stations", json=change)
    assert patched.json() == posted.json()
    assert (patched.status_code, server.http.get(path).json()["name"]) == (422, "a")


def test_a_name_given_back_is_the_id(server: Running) -> None:
    station = server.open(name="a")
    assert server.http.patch("/v1/stations/a", json={"name": None}).json()["name"] == station["id"]
    assert_problem(server.http.get("/v1/stations/a"), 404, "unknown_station")


def test_a_name_stands_for_the_id_in_every_address(server: Running) -> None:
    station = server.open(name="desk")
    by_name = {link: path.replace(station["id"], "desk") for link, path in station["links"].items()}
    assert server.http.get(by_name["self"]).json()["id"] == station["id"]
    assert server.http.post(by_name["controls"], json={"type": "panic"}).status_code == 200
    assert json.loads(server.http.get(by_name["take"]).text.split("\n")[0])["station"] == station["id"]
    assert [server.http.head(by_name[kind]).status_code for kind in ("ogg", "mp3", "wav")] == [200] * 3
    assert server.http.options(by_name["whep"]).status_code == 204
    with dial(server.ws(by_name["live"])) as live, dial(server.ws(by_name["audio"])) as audio:
        assert json.loads(live.recv(10))["id"] == station["id"]
        assert json.loads(audio.recv(10))["format"] == "pcm_s16le"
    assert server.http.delete(by_name["self"]).status_code == 204
    server.open(name="desk")


def test_no_two_stations_have_one_name(server: Running) -> None:
    first, second = server.open(name="desk"), server.open(energy=0.2)
    for name in ("desk", first["id"]):
        problem = assert_problem(server.http.post("/v1/stations", json={"name": name}), 409, "name_taken")
        assert problem["value"] == name
        changes = {"name": name, "energy": 0.9}
        assert_problem(server.http.patch(second["links"]["self"], json=changes), 409, "name_taken")
    for name in ("desk", first["id"], None, "desk"):  # its own, and its own again
        assert server.http.patch(first["links"]["self"], json={"name": name}).status_code == 200
    after = server.http.get(second["links"]["self"]).json()
    assert (after["name"], after["heading"]["energy"]) == (second["id"], second["heading"]["energy"])


def test_a_name_is_free_again_where_its_station_could_not_be_opened(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(server.engine, "is_ready", False)
        assert_problem(server.http.post("/v1/stations", json={"name": "desk"}), 503, "engine_unavailable")
    server.open(name="desk")


def test_only_a_station_without_a_name_is_closed_when_nobody_listens(server: Running) -> None:
    named, nameless = server.open(name="desk"), server.open()

    async def wait_for_ever() -> None:
        conductor = server.conductor
        conductor._close_what_is_left_alone(time.monotonic() + conductor.config.idle_close_s + 1.0)

    server.call(wait_for_ever())
    assert [each["id"] for each in server.http.get("/v1/stations").json()["stations"]] == [named["id"]]
    assert server.http.patch("/v1/stations/desk", json={"name": None}).json()["id"] == named["id"]
    assert nameless["id"] != named["id"]


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size", [64 * 1024 + 1, 3_000_000])
def test_long_bodies_are_refused(server: Running, size: int, is_chunked: bool) -> None:
    def parts() -> Iterator[bytes]:
        for begin in range(0, size, 16_384):
            yield b" " * min(16_384, size - begin)

    links = server.open()["links"]
    for method, path, kind in [
        ("POST", "/v1/stations", "application/json"),
        ("PATCH", links["self"], "application/json"),
        ("POST", links["controls"], "application/json"),
        ("POST", links["whep"], "application/sdp"),
    ]:
        content = parts() if is_chunked else b" " * size
        response = server.http.request(method, path, content=content, headers={"Content-Type": kind})
        assert assert_problem(response, 413, "too_large")["limit"] == 65_536


def test_a_body_as_long_as_allowed_is_read(server: Running) -> None:
    assert server.http.post("/v1/stations", content=b"{}".ljust(65_536), headers=JSON).status_code == 201


def test_a_long_list_of_controls_is_refused(server: Running) -> None:
    path = server.open()["links"]["controls"]
    panic = {"type": "panic"}
    assert assert_problem(server.http.post(path, json=[panic] * 101), 422, "too_many_controls")["limit"] == 100
    assert len(server.http.post(path, json=[panic] * 100).json()) == 100


def test_controls_are_acknowledged_with_the_place_of_their_effect(server: Running) -> None:
    path = server.open()["links"]["controls"]
    ack = server.http.post(path, json={"type": "steer", "set": {"energy": 0.2}, "at": "bar", "id": "a"}).json()
    assert (ack["type"], ack["id"]) == ("ack", "a")
    assert ack["effective_at"]["beat"] == 1
    assert ack["effective_at"]["seconds"] == ack["effective_at"]["frame"] / 48_000
    problem = assert_problem(server.http.post(path, json={"type": "steer", "set": {"energy": 2}}), 422, "out_of_range")
    assert problem["range"] == [0, 1]
    assert_problem(server.http.post(path, json={"type": "state", "name": "combat"}), 409, "unknown_state")
    answers = server.http.post(path, json=[{"type": "panic"}, {"type": "what", "id": "b"}, 3]).json()
    assert [answer["type"] for answer in answers] == ["ack", "error", "error"]
    assert answers[1]["id"] == "b"


def test_take_holds_opening_seed_and_controls(server: Running) -> None:
    station = server.open(seed=5)
    steer = {"type": "steer", "set": {"energy": 0.25}, "id": "c"}
    server.http.post(station["links"]["controls"], json=steer)
    opening, control = map(json.loads, server.http.get(station["links"]["take"]).text.splitlines())
    assert (opening["type"], opening["seed"], opening["opening"], opening["is_complete"]) == (
        "opening",
        5,
        {"mood": "epic"},
        True,
    )
    assert control == {"frame": control["frame"], **steer}
    assert control["frame"] % 960 == 0


def test_full_server_says_when_to_come_back(make_server: object) -> None:
    small = make_server(Config(port=0, generator=SINES.generator, max_stations=1, max_sessions=0 + 1))
    station = small.open()
    full = small.http.post("/v1/stations", json={})
    assert_problem(full, 503, "too_many_stations")
    assert int(full.headers["retry-after"]) > 0
    with small.http.stream("GET", station["links"]["wav"]) as listening:
        assert listening.status_code == 200
        assert_problem(small.http.get(station["links"]["ogg"]), 503, "too_many_sessions")


def read_stream(server: Running, path: str, num_bytes: int) -> bytes:
    received = b""
    with server.http.stream("GET", path) as response:
        assert response.status_code == 200
        for part in response.iter_bytes():
            received += part
            if len(received) >= num_bytes:
                break
    return received


def test_wav_stream_is_the_station_in_16_bits(server: Running) -> None:
    received = read_stream(server, server.open()["links"]["wav"], 44 + 48_000)
    with wave.open(io.BytesIO(received)) as header:
        assert (header.getframerate(), header.getnchannels(), header.getsampwidth()) == (48_000, 2, 2)
    pcm = np.frombuffer(received[44 : 44 + 48_000], "<i2").reshape(-1, 2) / 32_768
    assert np.abs(pcm).max() > 0.1
    assert np.abs(np.diff(pcm, axis=0)).max() < 0.1


@pytest.mark.parametrize(("kind", "codec"), [("ogg", "opus"), ("mp3", "mp3"), ("aac", "aac")])
def test_compressed_streams_decode(server: Running, kind: str, codec: str) -> None:
    received = read_stream(server, server.open()["links"][kind], 20_000)
    with av.open(io.BytesIO(received)) as container:
        assert container.streams.audio[0].codec_context.name.startswith(codec)
        frames = []
        try:
            frames.extend(frame.to_ndarray() for frame in container.decode(audio=0))
        except av.error.InvalidDataError:
            assert kind != "ogg"  # cut within a frame
    assert np.abs(np.concatenate(frames, axis=1)).max() > 0.1


def test_unknown_audio_format_names_those_there_are(server: Running) -> None:
    station = server.open()
    problem = assert_problem(server.http.get(f"/v1/stations/{station['id']}/audio.flac"), 422, "unknown_format")
    assert "wav" in str(problem["detail"])


def test_what_a_generator_counts_of_itself_is_in_the_metrics(server: Running) -> None:
    server.open()
    wait_until(lambda: 'undersong_generator_events_total{name="blocks"}' in server.http.get("/metrics").text)


def test_operation_endpoints(server: Running) -> None:
    server.open()
    assert server.http.get("/healthz").json() == {"alive": True}
    assert server.http.get("/readyz").json() == {"ready": True}
    assert "undersong_stations 1.0" in server.http.get("/metrics").text
    assert server.http.get("/docs").status_code == 200
    assert "/v1/stations" in server.http.get("/openapi.json").json()["paths"]
    moods = server.http.get("/v1/moods").json()
    assert {"name", "zh", "valence", "energy"} <= set(moods["moods"][0])
    assert {"name", "zh"} <= set(moods["styles"][0])
    assert {"name", "zh", "beats"} <= set(moods["stingers"][0])
    assert [clip["timeline"]["duration"] for clip in moods["clips"]] == [15, 30, 60]


def test_head_is_answered_where_get_is(server: Running) -> None:
    links = server.open()["links"]
    pages = ["/", "/score", "/client/live.js", "/healthz", "/readyz", "/metrics", "/v1/moods", "/v1/stations"]
    streams = [links[each] for each in ("take", "wav", "ogg", "aac", "mp3")]
    for path in [*pages, links["self"], *streams]:
        head = server.http.head(path)
        assert (head.status_code, head.content) == (200, b""), path
        if path in streams:
            assert "content-length" not in head.headers
    assert head.headers["content-type"] == "audio/mpeg"
    assert head.headers["accept-ranges"] == "none"
    assert server.http.get(links["self"]).json()["listeners"] == 0


@pytest.mark.parametrize("kind", ["wav", "ogg", "mp3", "aac"])
def test_a_look_at_the_first_bytes_of_a_stream_ends_and_is_no_listener(server: Running, kind: str) -> None:
    links = server.open()["links"]
    looked = server.http.get(links[kind], headers={"Range": "bytes=0-1"})
    assert (looked.status_code, looked.headers["content-range"]) == (206, "bytes 0-1/*")
    assert looked.headers["content-length"] == "2"
    assert server.http.get(links["self"]).json()["listeners"] == 0
    assert read_stream(server, links[kind], 2).startswith(looked.content)


@pytest.mark.parametrize(
    "asked", ["bytes=0-", "bytes=100-200", "bytes=-5", "bytes=0-1,4-5", "bytes=0-9999", "lines=1-2"]
)
def test_other_ranges_of_a_stream_are_answered_with_the_stream(server: Running, asked: str) -> None:
    with server.http.stream("GET", server.open()["links"]["wav"], headers={"Range": asked}) as response:
        assert response.status_code == 200
        assert "content-range" not in response.headers
        assert next(response.iter_bytes()).startswith(b"RIFF")


def test_a_page_elsewhere_may_reach_a_private_network_and_read_what_it_needs(make_server: object) -> None:
    server = make_server(SINES.model_copy(update={"origins": ("https://page.example",)}))
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "PATCH"}
    asked |= {
        "Access-Control-Request-Headers": "authorization, if-match",
        "Access-Control-Request-Private-Network": "true",
    }
    allowed = server.http.options(server.open()["links"]["whep"], headers=asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-private-network"] == "true"
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    exposed = server.http.get("/healthz", headers=asked).headers["access-control-expose-headers"].split(", ")
    assert {"Location", "ETag", "Link", "Retry-After", "Accept-Patch", "Undersong-Began-Frame"} <= set(exposed)


def assert_lies_under(server: Running, prefix: str, headers: dict[str, str]) -> None:
    opened = server.http.post("/v1/stations", json={}, headers=headers)
    links = opened.json()["links"]
    assert all(link.startswith((f"{prefix}/v1/", f"{prefix}/whep/")) for link in links.values())
    assert opened.headers["location"] == links["self"] == f"{prefix}/v1/stations/{opened.json()['id']}"
    path = links["self"].removeprefix(prefix)
    assert server.http.get(path, headers=headers).json()["links"] == links
    schema = server.http.get("/openapi.json", headers=headers).json()
    (place,) = (urljoin(f"{prefix}/openapi.json", place["url"]) for place in schema["servers"])
    assert place == f"{prefix}/"
    assert server.http.delete(path, headers=headers).status_code == 204


@pytest.mark.parametrize("said", ["/music", "/music/", "/a/b-c.d_e~f"])
def test_addresses_lie_under_the_prefix_that_a_proxy_names(server: Running, said: str) -> None:
    assert_lies_under(server, said.rstrip("/"), {"X-Forwarded-Prefix": said})


@pytest.mark.parametrize(
    "said", ["//evil.example", "/../x", "music", "/a b", "/x?y", "/\u00e9".encode(), "/" + 99 * "a/"]
)
def test_a_prefix_that_is_no_path_is_ignored(server: Running, said: str | bytes) -> None:
    assert_lies_under(server, "", {"X-Forwarded-Prefix": said})


def test_addresses_lie_under_the_public_url(make_server: object) -> None:
    server = make_server(
        Config(port=0, generator=SINES.generator, public_url="https://example.org/v1/", tokens="never")
    )
    assert_lies_under(server, "/v1", {"X-Forwarded-Prefix": "/other"})


def granules(ogg: bytes) -> list[float]:
    """Where each page of an Ogg stream ends, seconds."""
    places = [match.start() for match in re.finditer(b"OggS", ogg) if len(ogg) >= match.start() + 14]
    return [struct.unpack_from("<q", ogg, place + 6)[0] / 48_000 for place in places]


def test_a_slow_reader_of_a_stream_hears_what_is_new_when_it_reads_again(server: Running) -> None:
    station = server.open()
    address = urlsplit(server.address)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((address.hostname, address.port))
        slow.sendall(f"GET {station['links']['ogg']} HTTP/1.0\r\n\r\n".encode())
        received = slow.recv(1024)
        (session,) = server.conductor.stations[station["id"]].sessions.values()
        until = time.monotonic() + 15
        while not session.mailbox.num_dropped and time.monotonic() < until:
            time.sleep(0.1)
        assert session.mailbox.num_dropped
        slow.settimeout(10)
        while not any(later - earlier > 1 for earlier, later in itertools.pairwise(granules(received))):
            received += slow.recv(65_536)
    ogg = received.partition(b"\r\n\r\n")[2]
    heard = list(itertools.pairwise(granules(ogg)))
    (jump,) = [(earlier, later) for earlier, later in heard if later - earlier > 1]
    assert jump[0] < 5
    with av.open(io.BytesIO(ogg)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) >= 0.9 * 48_000 * jump[0]


def test_studio_page_is_served(server: Running) -> None:
    assert "text/html" in server.http.get("/").headers["content-type"]
    assert server.http.get("/client/live.js").status_code == 200


def test_a_listener_who_is_gone_before_anything_is_sent_leaves_no_session(server: Running) -> None:
    station = server.conductor.stations[server.open()["id"]]

    async def connect() -> Message:
        return {"type": "websocket.connect"}

    async def fail(message: Message) -> None:
        raise OSError("the listener has gone")

    async def listen() -> None:
        socket = WebSocket({"type": "websocket"}, connect, fail)
        with pytest.raises(OSError, match="has gone"):
            await websocket.serve_audio(station, station.add_session("websocket", 1), socket, "opus")
        outlet = station.outlet(coding_of("wav"))
        response = http_audio.AudioResponse(station, station.add_session("wav", 1, 0, outlet), outlet, {})
        with pytest.raises(ClientDisconnect):
            await response({"type": "http", "asgi": {"spec_version": "2.4"}}, connect, fail)

    server.call(listen())
    assert not station.sessions


def test_a_station_that_ends_with_its_server_is_not_said_to_be_gone(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_problem(server.http.get("/v1/stations/main"), 404, "unknown_station")
    monkeypatch.setattr(server.conductor, "_is_ending", True)
    assert_problem(server.http.get("/v1/stations/main"), 503, "server_ends")
