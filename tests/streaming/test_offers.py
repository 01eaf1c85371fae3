"""Offers as browsers write them: every section is answered in its place, whatever it holds."""

from __future__ import annotations

import pytest

from streaming.errors import BadOffer
from streaming.transports.offers import Offer, read_lines
from tests.streaming.conftest import Running

SDP = {"Content-Type": "application/sdp"}
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)


def transport(name: str = "abcd") -> tuple[str, ...]:
    return f"a=ice-ufrag:{name}", "a=ice-pwd:0123456789012345678901", FINGERPRINT, "a=setup:actpass"


OPUS = ("a=recvonly", "a=rtcp-mux", "a=rtpmap:111 opus/48000/2")
AUDIO = ("m=audio 9 UDP/TLS/RTP/SAVPF 111", *OPUS)
G722_FIRST = ("m=audio 9 UDP/TLS/RTP/SAVPF 9 111 63", "a=rtpmap:9 G722/8000", *OPUS, "a=fmtp:63 111/111")
DATA = ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:5000")
AV1, H265, VP9 = (
    ("m=video 9 UDP/TLS/RTP/SAVPF 45", "a=recvonly", "a=rtcp-mux", f"a=rtpmap:45 {codec}/90000")
    for codec in ("AV1", "H265", "VP9")
)
TEXT = ("m=text 9 UDP/TLS/RTP/SAVPF 98 99", "a=rtpmap:98 t140/1000")
UNKNOWN = ("m=message 2855 TCP/TLS/MSRP *", "a=path:msrps://192.0.2.1:2855/x;tcp", "a=crypto")


def write_offer(*sections: tuple[str, ...], group: str | None = None) -> str:
    mids = " ".join(map(str, range(len(sections)))) if group is None else group
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", *([f"a=group:BUNDLE {mids}"] if mids else [])]
    for mid, (media, *attributes) in enumerate(sections):
        lines += [media, "c=IN IP4 0.0.0.0", f"a=mid:{mid}", *attributes]
    return "\r\n".join(lines) + "\r\n"


def waiting(section: tuple[str, ...]) -> tuple[str, ...]:
    """The section as one that has its bundle's transport only."""
    media, *attributes = section
    return media.replace(" 9 ", " 0 ", 1), *attributes, "a=bundle-only"


def answered(server: Running, offer: str) -> tuple[list[str], list[list[str]]]:
    """The answer's session part and its sections."""
    response = server.http.post(server.open()["links"]["whep"], content=offer, headers=SDP)
    assert response.status_code == 201, response.text
    session, *sections = response.text.split("m=")
    return session.splitlines(), [f"m={section}".splitlines() for section in sections]


def port(section: list[str]) -> int:
    return int(section[0].split()[1])


@pytest.mark.parametrize("other", [AV1, H265, VP9, TEXT, UNKNOWN, AUDIO], ids=lambda section: section[-1])
@pytest.mark.parametrize("is_first", [True, False])
def test_what_is_not_served_is_answered_with_port_0_in_its_place(
    server: Running, other: tuple[str, ...], is_first: bool
) -> None:
    audio = (*G722_FIRST, *transport("audio"))
    sections = (
        ((*other, *transport("other")), audio) if is_first and other is not AUDIO else (audio, (*other, *transport()))
    )
    session, answers = answered(server, write_offer(*sections))
    assert [answer[0].split()[0] for answer in answers] == [section[0].split()[0] for section in sections]
    assert [answer[0].split()[2] for answer in answers] == [section[0].split()[2] for section in sections]
    served = sections.index(audio)
    assert port(answers[served]) and not port(answers[1 - served])
    assert answers[served][0].endswith(" 111") and "a=sendonly" in answers[served]
    assert f"a=mid:{1 - served}" in answers[1 - served]
    assert f"a=group:BUNDLE {served}" in session


@pytest.mark.parametrize("first", [AV1, DATA, TEXT], ids=lambda section: section[0].split()[0])
def test_a_section_that_waits_for_its_bundle_has_the_transport_of_the_first(
    server: Running, first: tuple[str, ...]
) -> None:
    session, (carrier, audio) = answered(server, write_offer((*first, *transport()), waiting(AUDIO)))
    assert port(carrier) and port(audio) and "a=sendonly" in audio
    assert "a=group:BUNDLE 0 1" in session
    ufrags = [line for section in (carrier, audio) for line in section if line.startswith("a=ice-ufrag:")]
    assert len(ufrags) == 2 and len(set(ufrags)) == 1
    assert ("a=inactive" in carrier) is (first is not DATA)


def test_a_shared_transport_outlives_the_section_that_it_was_made_for(server: Running) -> None:
    _, (video, audio) = answered(server, write_offer((*VP9, *transport("same")), (*AUDIO, *transport("same"))))
    assert port(video) and port(audio) and "a=inactive" in video


def test_a_disabled_section_is_answered_with_port_0(server: Running) -> None:
    disabled = AUDIO[0].replace(" 9 ", " 0 ", 1), *OPUS, *transport("off")
    data_without_port = DATA[0], *transport("data")
    session, answers = answered(server, write_offer(disabled, (*AUDIO, *transport("on")), data_without_port))
    assert [bool(port(answer)) for answer in answers] == [False, True, False]
    assert "a=group:BUNDLE 1" in session


@pytest.mark.parametrize("group", ["", "0"])
def test_sections_without_a_bundle_have_transports_of_their_own(server: Running, group: str) -> None:
    offer = write_offer((*AUDIO, *transport("audio")), (*DATA, *transport("data")), group=group)
    session, answers = answered(server, offer)
    assert all(map(port, answers))
    assert [line for line in session if "BUNDLE" in line] == ([f"a=group:BUNDLE {group}"] if group else [])
    assert len({line for answer in answers for line in answer if line.startswith("a=candidate:")}) >= 2


def test_an_offer_from_before_mids_is_answered_without(server: Running) -> None:
    offer = write_offer((*AUDIO, *transport()), group="").replace("a=mid:0\r\n", "").replace("\r\n", "\n")
    _, (audio,) = answered(server, offer)
    assert port(audio) and not [line for line in audio if line.startswith("a=mid:")]


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ([(*AV1, *transport())], "no audio section"),
        ([(*AUDIO[:-1], "a=rtpmap:111 speex/8000", *transport())], "no Opus"),
        ([waiting(AUDIO)], "lacks a=ice-ufrag, a=ice-pwd"),
        ([(*AUDIO, *transport()[:2], FINGERPRINT)], "lacks a=setup"),
        ([("m=audio 9",)], "m=audio 9"),
    ],
)
def test_only_an_offer_without_audio_to_serve_is_refused(sections: list[tuple[str, ...]], words: str) -> None:
    with pytest.raises(BadOffer, match=words):
        Offer(write_offer(*sections))


def test_names_that_cost_a_second_are_left_out_and_so_is_the_end_of_the_list() -> None:
    kept = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host"
    assert read_lines(f"v=0\r\na=candidate:2 1 udp 1 7f.local 9 typ host\n{kept}\ra=end-of-candidates\r\n") == [
        "v=0",
        kept,
    ]
