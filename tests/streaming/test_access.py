"""Who may do what: no route without a role, no role without a token beyond this machine, and no page of others."""

from __future__ import annotations

import base64
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import Mount
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streaming import journal
from streaming.access import open_to_all
from streaming.app import create_app
from streaming.cli import main
from streaming.conductor import Conductor
from streaming.config import Config
from streaming.errors import TokenExpired, TokenInvalid, TokenRevoked
from streaming.lyria.routes import keyed
from streaming.roles import ROLES, Role
from streaming.tokens import Tokens, open_tokens
from tests.streaming.conftest import SINES, Running, dial
from tests.streaming.test_engines import wait_until
from tests.streaming.test_http import assert_problem
from tests.streaming.test_webrtc import make_offer

SECRET = "s" * 43
TOKENS = Tokens(SECRET)
LYRIA = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateMusic"
OUTSIDE = {"X-Forwarded-For": "192.0.2.1"}


def bearer(role: Role, station: str | None = None, tokens: Tokens = TOKENS) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.sign(role, station)[0]}"}


ADMIN = bearer(Role.ADMIN)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secret")


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Running], folder: Path) -> Running:
    """Open to this machine."""
    (folder / "secret").write_text(SECRET)
    settings = {"secret_file": str(folder / "secret"), "requests_per_s": 1000.0, "offers_per_s": 0.5}
    return make_server(SINES.model_copy(update=settings))


@pytest.fixture(scope="module")
def outside(server: Running) -> Iterator[httpx.Client]:
    """Somebody elsewhere, as a proxy tells."""
    with httpx.Client(base_url=server.address, timeout=60, headers=OUTSIDE) as client:
        yield client


@pytest.fixture
def station(server: Running) -> dict[str, Any]:
    return server.open(name="main")


def knock(server: Running, source: str = "127.0.0.1") -> socket.socket:
    """A connection that says nothing yet."""
    address = server.http.base_url.host, server.http.base_url.port
    return socket.create_connection(address, 30, (source, 0))


@pytest.fixture(scope="module")
def app(folder: Path) -> FastAPI:
    """Of a server elsewhere with few limits' room and more names."""
    (folder / "secret").write_text(SECRET)
    config = Config(
        host="0.0.0.0",
        secret_file=str(folder / "secret"),
        requests_per_s=1.0,
        hosts=("*.example.org",),
        origins=("https://page.example",),
        frame_ancestors=("https://a.b",),
        hsts_days=2,
    )
    return create_app(config, Conductor(config))


# --- every door ------------------------------------------------------------------------------------------------------


def routes_of(router: Any) -> Iterator[Any]:
    for route in router.routes:
        if (included := getattr(route, "original_router", None)) is not None:  # FastAPI looks into it when it is asked
            yield from routes_of(included)
        else:
            yield route


def test_every_route_asks_for_a_role_or_says_that_it_asks_for_none(app: FastAPI) -> None:
    asks = {}
    for route in routes_of(app.router):
        if isinstance(route, Mount):
            assert route.path in ("/web", "/client", "/docs/viewer")  # files of the package, which hold no secret
            continue
        assert isinstance(route, APIRoute | APIWebSocketRoute), route
        calls = [each.call for each in route.dependant.dependencies]
        name = f"{route.path} {route.methods if isinstance(route, APIRoute) else 'WebSocket'}"
        asks[name] = [call for call in calls if hasattr(call, "role") or call in (open_to_all, keyed)]
    assert len(asks) > 30
    assert [name for name, found in asks.items() if not found] == []
    for name in (name for name, found in asks.items() if open_to_all in found):
        assert name.startswith(("/healthz", "/readyz")) or name.endswith("BidiGenerateMusic {'GET'}")


@pytest.mark.parametrize("role", Role, ids=ROLES)
def test_a_role_opens_its_own_doors_and_those_before_it(
    outside: httpx.Client, station: dict[str, Any], role: Role
) -> None:
    headers, links = bearer(role), station["links"]
    answers = {
        Role.LISTEN: outside.get(links["self"], headers=headers),
        Role.CONTROL: outside.post(links["controls"], json={"type": "panic"}, headers=headers),
        Role.ADMIN: outside.get(links["take"], headers=headers),
    }
    for asked, answer in answers.items():
        if asked <= role:
            assert answer.status_code == 200
        else:
            assert str(asked) in str(assert_problem(answer, 403, "forbidden")["detail"])
    assert outside.get("/v1/token", headers=headers).json()["role"] == str(role)


def test_a_token_comes_as_a_header_a_parameter_or_a_cookie(outside: httpx.Client) -> None:
    token, _ = TOKENS.sign(Role.LISTEN)
    given = [
        {"headers": {"Authorization": f"bearer {token}"}},
        {"params": {"token": token}},
        {"headers": {"Cookie": f"{TOKENS.cookie}_listen={token}"}},
    ]
    assert [outside.get("/v1/moods", **each).status_code for each in given] == [200] * 3
    assert_problem(outside.get("/v1/moods"), 401, "token_missing")
    assert outside.get("/healthz").status_code == 200


def forged() -> Iterator[str]:
    claims = {"role": "admin", "station": None, "jti": "a", "exp": time.time() + 86_400}
    head, body, _ = TOKENS.sign(Role.ADMIN)[0].split(".")
    yield from ("", "x", "a.b.c", "é", "x" * 5000, "null", f"{head}.{body}.", f"{head}.{body}.AAAA")
    yield Tokens("t" * 43).sign(Role.ADMIN)[0]
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    yield f"{none}.{body}."
    for wrong in ({"role": "root"}, {"role": None}, {"role": ["admin"]}, {"jti": None}, {"exp": "never"}):
        yield jwt.encode(claims | wrong, SECRET, "HS256")
    for missing in ("role", "jti", "exp"):
        yield jwt.encode({name: value for name, value in claims.items() if name != missing}, SECRET, "HS256")


@pytest.mark.parametrize("token", [*forged()], ids=range(len([*forged()])))
def test_what_is_no_token_of_ours_is_none(token: str) -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.read(token)


def test_tokens_expire_and_are_taken_back(outside: httpx.Client, folder: Path) -> None:
    old = TOKENS.sign(Role.ADMIN, days=-1)[0]
    with pytest.raises(TokenExpired):
        TOKENS.read(old)
    assert_problem(outside.get("/v1/moods", params={"token": old}), 401, "token_expired")
    asked = {"role": "listen", "station": "main", "days": 1, "note": "the left screen"}
    made = outside.post("/v1/tokens", json=asked, headers=ADMIN).json()
    assert made["links"]["overlay"] == f"{str(outside.base_url).rstrip(chr(47))}/overlay/main?token={made['token']}"
    told = outside.get("/v1/token", params={"token": made["token"]}).json()
    assert (told["role"], told["station"], told["note"]) == ("listen", "main", "the left screen")
    assert outside.delete(f"/v1/tokens/{made['id']}", headers=ADMIN).status_code == 204
    assert_problem(outside.get("/v1/moods", params={"token": made["token"]}), 401, "token_revoked")
    later = Tokens(SECRET, revoked_file=folder / "secret.revoked")  # as the next server has them
    with pytest.raises(TokenRevoked):
        later.read(made["token"])


def test_what_a_token_has_opened_ends_with_it(
    server: Running, outside: httpx.Client, station: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.access._LOOK_S", 0.02)
    token, grant = TOKENS.sign(Role.LISTEN)
    query = f"?token={token}"
    with (
        dial(server.ws(station["links"]["live"]) + query, additional_headers=OUTSIDE) as live,
        dial(server.ws(station["links"]["audio"]) + query, additional_headers=OUTSIDE) as audio,
        outside.stream("GET", station["links"]["ogg"] + query) as stream,
    ):
        sound = stream.iter_bytes()
        assert live.recv(10) and audio.recv(10) and next(sound)
        assert outside.delete(f"/v1/tokens/{grant.id}", headers=ADMIN).status_code == 204
        for each in (live, audio):
            with pytest.raises(ConnectionClosed) as closed:
                while each.recv(10):
                    pass
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
        assert isinstance(b"".join(sound), bytes)  # it ends, and as it should
    wait_until(lambda: not server.http.get(station["links"]["self"]).json()["listeners"])


@pytest.mark.parametrize(
    ("address", "how"),
    [("192.0.2.66", {"Authorization": "Bearer x"}), ("192.0.2.68", {"Cookie": f"{TOKENS.cookie}_listen=x"})],
)
def test_who_tries_many_tokens_is_told_to_wait(outside: httpx.Client, address: str, how: dict[str, str]) -> None:
    client = {"X-Forwarded-For": address} | how
    codes = [outside.get("/v1/moods", headers=client).status_code for _ in range(40)]
    assert set(codes) == {401, 429} and codes[0] == 401
    last = outside.get("/v1/moods", headers=client)
    assert_problem(last, 429, "too_many_failures")
    assert int(last.headers["Retry-After"]) >= 1
    others = {"X-Forwarded-For": "192.0.2.67"} | ADMIN
    assert outside.get("/v1/moods", headers=others).status_code == 200
    assert outside.get("/v1/moods", headers=client | ADMIN).status_code == 200  # a good one is one


async def test_a_token_makes_so_many_requests_a_second(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        one, other = bearer(Role.LISTEN), bearer(Role.LISTEN)
        answers = [await http.get("/v1/token", headers=one) for _ in range(40)]
        assert answers[0].status_code == 200
        assert_problem(next(each for each in answers if each.status_code != 200), 429, "too_many_requests")
        assert (await http.get("/v1/token", headers=other)).status_code == 200


def test_who_may_only_steer_gives_no_name(outside: httpx.Client, station: dict[str, Any]) -> None:
    path, hand = station["links"]["self"], bearer(Role.CONTROL)
    assert_problem(outside.patch(path, json={"name": "mine"}, headers=hand), 403, "forbidden")
    assert outside.patch(path, json={"energy": 0.5}, headers=hand).status_code == 200
    assert outside.get(path, headers=hand).json()["name"] == station["name"]


async def test_a_listener_ends_no_session_of_anothers(outside: httpx.Client, station: dict[str, Any]) -> None:
    own, other, hand = bearer(Role.LISTEN), bearer(Role.LISTEN), bearer(Role.CONTROL)
    listener = await make_offer()
    headers = {"Content-Type": "application/sdp", "X-Forwarded-For": "192.0.2.70"} | own
    begun = outside.post(station["links"]["whep"], content=listener.peer.localDescription.sdp, headers=headers)
    assert begun.status_code == 201, begun.text
    session = begun.headers["Location"]
    assert_problem(outside.delete(session, headers=other), 403, "forbidden")
    assert outside.get(session, headers=own).status_code == 204
    assert outside.delete(session, headers=hand).status_code == 200
    assert outside.get(session, headers=own).status_code == 404
    await listener.peer.close()


def test_an_address_makes_so_many_offers_a_second(outside: httpx.Client, station: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/sdp"} | bearer(Role.LISTEN)
    offers = [outside.post(station["links"]["whep"], content="v=0", headers=headers) for _ in range(9)]
    assert offers[0].status_code == 400
    assert_problem(next(each for each in offers if each.status_code != 400), 429, "too_many_offers")


def test_an_address_has_so_many_connections(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = server._server.config
    monkeypatch.setattr(limits, "uncounted", ())
    monkeypatch.setattr(limits, "max_per_address", 2)
    with closing(knock(server, "127.0.0.9")), closing(knock(server, "127.0.0.9")):
        wait_until(lambda: sum(each.client[0] == "127.0.0.9" for each in server._server.server_state.connections) == 2)
        with closing(knock(server, "127.0.0.9")) as one_too_many:
            answer = one_too_many.makefile("rb").read()
        with closing(knock(server, "127.0.0.8")) as another:
            another.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert another.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ") and b"retry-after: 5" in head.lower()
    assert json.loads(body)["code"] == "too_many_connections"


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nX: y"])
def test_who_does_not_say_what_is_asked_is_given_up(
    server: Running, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.server._HEAD_S", 0.1)
    with closing(knock(server)) as asker:
        asker.sendall(begun)
        asker.settimeout(30)
        with suppress(ConnectionResetError):
            assert asker.recv(1) == b""


def test_a_body_that_does_not_come_is_not_waited_for(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.reading._BODY_S", 0.1)
    with closing(knock(server)) as asker:
        asker.sendall(b"POST /v1/stations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        answer = asker.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 408 ") and b'"too_slow"' in answer
    assert not server.http.get("/v1/stations").json()["stations"]


# --- one station -----------------------------------------------------------------------------------------------------


def test_a_token_for_one_station_is_for_no_other_and_not_for_the_server(
    server: Running, outside: httpx.Client, station: dict[str, Any]
) -> None:
    headers = bearer(Role.ADMIN, "main")
    assert outside.get("/v1/stations/main", headers=headers).status_code == 200
    assert outside.get(station["links"]["self"], headers=headers).status_code == 200
    assert [each["name"] for each in outside.get("/v1/stations", headers=headers).json()["stations"]] == ["main"]
    other = server.open(name="other")
    refused = [
        outside.get("/v1/stations/other", headers=headers),
        outside.get("/v1/stations/none", headers=headers),
        outside.delete(other["links"]["self"], headers=headers),
        outside.post("/v1/stations", json={}, headers=headers),
        outside.post("/v1/tokens", json={"role": "admin"}, headers=headers),
        outside.post("/v1/renders", json={"mood": "epic", "seconds": 5}, headers=headers),
        outside.get("/metrics", headers=headers),
    ]
    for answer in refused:
        assert "main" in str(assert_problem(answer, 403, "forbidden")["detail"])


def test_a_listener_on_the_live_channel_hears_events_and_steers_nothing(
    server: Running, station: dict[str, Any]
) -> None:
    token = TOKENS.sign(Role.LISTEN, "main")[0]
    address = server.ws(station["links"]["live"])
    with dial(f"{address}?token={token}", additional_headers=OUTSIDE) as live:
        assert json.loads(live.recv(10))["type"] == "status"
        live.send(json.dumps({"type": "panic", "id": "p"}))
        while (event := json.loads(live.recv(10)))["type"] != "error":
            pass
        assert (event["id"], event["code"]) == ("p", "forbidden")
    for refused in ("", "?token=x", f"?token={TOKENS.sign(Role.ADMIN, 'another')[0]}"):
        with pytest.raises(InvalidStatus) as refusal:
            dial(address + refused, additional_headers=OUTSIDE)
        assert refusal.value.response.status_code == (403 if len(refused) > 10 else 401)


@pytest.mark.parametrize("sent", [{"query": "?key="}, {"header": "x-goog-api-key"}], ids=str)
def test_the_key_of_a_lyria_client_may_be_a_token(server: Running, sent: dict[str, str]) -> None:
    def knock_with(token: str) -> None:
        headers = OUTSIDE | ({sent["header"]: token} if "header" in sent else {})
        address = server.ws(LYRIA) + (sent["query"] + token if "query" in sent else "")
        with dial(address, additional_headers=headers) as socket:
            socket.send('{"setup": {"model": "models/lyria-realtime-exp"}}')
            assert "setupComplete" in json.loads(socket.recv(10))

    knock_with(TOKENS.sign(Role.ADMIN)[0])
    for token, status in ((TOKENS.sign(Role.CONTROL)[0], 403), ("x", 401)):
        with pytest.raises(InvalidStatus) as refusal:
            knock_with(token)
        assert refusal.value.response.status_code == status


# --- browsers --------------------------------------------------------------------------------------------------------

ELSEWHERE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "http://localhost.evil.example:8400"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
]


@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
def test_the_page_of_another_site_does_not_steer_an_open_server(server: Running, headers: dict[str, str]) -> None:
    links = server.open()["links"]
    asked = [
        ("POST", "/v1/stations", {}),
        ("POST", links["controls"], {"type": "panic"}),
        ("PATCH", links["self"], {"energy": 1}),
        ("DELETE", links["self"], None),
        ("GET", links["take"], None),
    ]
    for method, path, body in asked:
        answer = server.http.request(method, path, json=body, headers=headers)
        assert "origins" in str(assert_problem(answer, 403, "origin_refused")["detail"])
    for link in ("live", "audio"):
        with pytest.raises(InvalidStatus) as refusal:
            dial(server.ws(links[link]), additional_headers=headers)
        assert refusal.value.response.status_code == 403
    assert server.http.get(links["self"], headers=headers).headers.get("access-control-allow-origin") is None


@pytest.mark.parametrize("origin", ["http://localhost:5173", "http://127.0.0.1:1", "https://[::1]:80", None])
def test_pages_of_this_machine_and_the_servers_own_steer(server: Running, origin: str | None) -> None:
    links = server.open()["links"]
    headers = {"Origin": origin or server.address, "Sec-Fetch-Site": "same-origin"}
    assert server.http.post(links["controls"], json={"type": "panic"}, headers=headers).status_code == 200
    with dial(server.ws(links["live"]), additional_headers=headers) as live:
        assert live.recv(10)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *[(host, 200) for host in ("localhost:1", "127.0.0.1", "[::1]:8400", "192.0.2.7:8400", "a.localhost")],
        *[(host, 421) for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8400", "[")],
    ],
)
def test_the_server_is_called_by_its_own_names(server: Running, host: str, status: int) -> None:
    answer = server.http.get("/v1/moods", headers={"Host": host})
    assert answer.status_code == status
    if status == 421:
        assert "hosts" in str(assert_problem(answer, 421, "host_refused")["detail"])


async def test_more_names_and_origins_are_a_setting(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://music.example.org") as http:
        headers = bearer(Role.ADMIN) | {"Origin": "https://page.example"}
        made = await http.post("/v1/tokens", json={}, headers=headers)
        assert made.status_code == 201
        assert made.headers["access-control-allow-origin"] == "https://page.example"
        assert made.headers["strict-transport-security"] == "max-age=172800"
        assert (await http.get("/v1/moods", headers={"Host": "example.org"})).status_code == 421
        page = await http.get("/", headers=bearer(Role.LISTEN))
        assert "frame-ancestors 'self' https://a.b" in page.headers["content-security-policy"]


def test_who_comes_through_a_proxy_is_not_on_this_machine(server: Running, outside: httpx.Client) -> None:
    assert server.http.get("/v1/moods").status_code == 200
    assert_problem(outside.get("/v1/moods"), 401, "token_missing")


def test_a_page_takes_its_token_into_a_cookie_and_out_of_its_address(outside: httpx.Client) -> None:
    token, _ = TOKENS.sign(Role.ADMIN)
    browser = {"Accept": "text/html,*/*", "X-Forwarded-Proto": "https"}
    answer = outside.get("/?mood=epic&token=" + token, headers=browser)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?mood=epic")
    name, _, cookie = answer.headers["set-cookie"].partition("=")
    assert name == f"{TOKENS.cookie}_admin" and cookie.startswith(token)
    assert all(each in cookie for each in ("HttpOnly", "SameSite=strict", "Secure", "Path=/;"))
    framed = browser | {"Sec-Fetch-Dest": "iframe"}
    assert outside.get("/?token=" + token, headers=framed).status_code == 200
    assert outside.get("/v1/moods?token=" + token, headers=browser).status_code == 200
    asked = outside.get("//evil.example/?token=" + token, headers=browser)
    assert not asked.headers.get("location", "").startswith("//")


def test_a_browser_without_a_token_is_asked_for_one(outside: httpx.Client) -> None:
    outside.cookies.clear()
    page = outside.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 401 and 'name="token"' in page.text
    linked = outside.get("/", headers={"Accept": "text/html", "Sec-Fetch-Site": "cross-site"})
    assert linked.headers["refresh"] == "0"  # the cookie comes with what the page itself asks


def test_the_most_that_cookies_give_counts(outside: httpx.Client, station: dict[str, Any]) -> None:
    kinds = [(Role.LISTEN, "main"), (Role.CONTROL, "main"), (Role.ADMIN, "another")]
    texts = [f"{TOKENS.cookie}_{number}={TOKENS.sign(*kind)[0]}" for number, kind in enumerate(kinds)]
    headers = {"Cookie": "; ".join([*texts, f"{TOKENS.cookie}_old=x"])}
    control = outside.post("/v1/stations/main/controls", json={"type": "panic"}, headers=headers)
    assert control.status_code == 200
    assert_problem(outside.delete("/v1/stations/main", headers=headers), 403, "forbidden")


@pytest.mark.parametrize("path", ["/", "/score", "/docs", "/web/studio.js", "/v1/moods", "/v1/nothing"])
def test_answers_tell_browsers_what_they_are_not_for(server: Running, path: str) -> None:
    answer = server.http.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy and "frame-ancestors" in policy
    if "html" in answer.headers["content-type"]:
        assert "default-src 'self'" in policy
        assert "<script>" not in answer.text and "<style" not in answer.text and "style=" not in answer.text


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    config = Config(port=0, stations=str(tmp_path / "deep" / "stations"))
    first, second = open_tokens(config), open_tokens(config)
    assert second.read(first.sign(Role.LISTEN)[0]).role is Role.LISTEN
    files = {each.name: each.stat().st_mode & 0o777 for each in (tmp_path / "deep").iterdir()}
    assert files == {"stations.secret": 0o600, "stations.secret.revoked": 0o600}


def test_the_command_makes_tokens_and_takes_them_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "undersong.toml"
    settings.write_text(f'stations = "{tmp_path / "stations"}"')
    words = ["token", "--config", str(settings)]
    assert main([*words, "--role", "control", "--station", "main", "--days", "2", "--note", "阿明", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    tokens = open_tokens(Config(port=0, stations=str(tmp_path / "stations")))
    grant = tokens.read(made["token"])
    assert (grant.role, grant.station, grant.note, grant.id) == (Role.CONTROL, "main", "阿明", made["id"])
    assert grant.expires is not None and abs(grant.expires - time.time() - 2 * 86_400) < 60
    assert main([*words, "--revoke", made["id"]]) == 0
    later = open_tokens(Config(port=0, stations=str(tmp_path / "stations")))
    with pytest.raises(TokenRevoked):
        later.read(made["token"])


@pytest.mark.parametrize("body", ["1", "[]", "null", '"listen"', '{"role": "root"}', '{"days": 1e999}'])
def test_a_body_that_asks_for_no_token_gets_none(server: Running, body: str) -> None:
    answer = server.http.post("/v1/tokens", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422) and answer.json()["detail"], answer.text


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--role", "root"], ["root", "listen"]),
        (["--days", "0"], ["days", "0"]),
        (["--station", "a b"], ["a b"]),
        (["--port", "0"], ["secret_file"]),
    ],
)
def test_a_bad_wish_for_a_token_is_one_line(
    words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", *words]) != 0
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and all(part in err for part in parts)


@pytest.mark.parametrize("form", [journal.Text(), journal.Json()])
def test_the_log_holds_no_token(form: logging.Formatter) -> None:
    token, _ = TOKENS.sign(Role.ADMIN)
    record = logging.LogRecord("streaming", logging.INFO, "", 0, f"GET /?token={token}&x=1 and {token}", (), None)
    vars(record).update(journal.about(path=f"/ws?key=secret-key&token={token}", detail="x"))
    line = form.format(record)
    assert token not in line and token[-20:] not in line and "secret-key" not in line
    assert "x=1" in line
