"""What cannot be read is refused in one line that names the place and the way out; nothing hostile gets far."""

from __future__ import annotations

import ast
from fractions import Fraction
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import opentimelineio as otio
import pytest

from streaming.files import exchange
from streaming.files.exchange import BadExchange, fcp7, read_exchange
from streaming.files.exchange.reading import MAX_BYTES
from streaming.files.exchange.source import Source

DIALECTS = Path(__file__).parent / "dialects"
EVENT = "001  AX V C 00:00:00:00 00:00:04:00 01:00:00:00 01:00:04:00\n"
EMPTY = otio.adapters.write_to_string(otio.schema.Timeline("x"), "otio_json")
SPINE = (
    '<fcpxml version="1.9"><resources><format id="r1" frameDuration="1/25s"/></resources><project>'
    '<sequence format="r1" duration="{0}"><spine>{1}</spine></sequence></project></fcpxml>'
)

XMEML = (
    "<xmeml><sequence><name>s</name><duration>100</duration><rate><timebase>25</timebase></rate><media><video><track>"
    "{}</track></video></media></sequence></xmeml>"
)
ITEM = '<clipitem id="{}"><name>c</name><start>{}</start><end>{}</end><in>0</in><out>50</out><file id="f"/></clipitem>'
BOMB = '<!DOCTYPE fcpxml [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><fcpxml>&b;</fcpxml>'
OUTSIDE = '<!DOCTYPE xmeml [<!ENTITY x SYSTEM "file:///etc/passwd">]><xmeml>&x;</xmeml>'


def xmeml(*items: tuple[object, int]) -> str:
    return XMEML.format("".join(ITEM.format(f"c{i}", *item) for i, item in enumerate(items)))


@pytest.mark.parametrize(
    "name, document, told",
    [
        ("a.aaf", "x", "its format is not known by its ending; end the name with one of json, otio,"),
        ("a.json", '{"duration": 3', "line 1: it is no JSON"),
        ("a.json", "[1]", "it holds no object; a timeline is, for example"),
        ("a.json", "[" * 100_000, "lie too deep"),
        ("a.json", '{"duration": 9, "fps": 25, "markers": [{"frame": 1}]}', "not as we write them"),
        ("a.otio", "{}", "it holds no timeline but AnyDictionary; export"),
        ("a.otio", '{"OTIO_SCHEMA": "Clip.2"}', "OpenTimelineIO cannot read it"),
        ("a.otio", EMPTY, "it counts 0 frames a second; export a timeline of a picture"),
        ("a.fcpxml", "", "it is no XML: no element found"),
        ("a.fcpxml", "<fcpxml><a></fcpxml>", "line 1: it is no XML: mismatched tag; export it anew"),
        ("a.fcpxml", "<html/>", 'its root is "html"; expected fcpxml or xmeml'),
        ("a.fcpxml", "<fcpxml/>", "it holds no project with a sequence"),
        ("a.fcpxml", BOMB, "it declares an entity, 'a'; write the text itself"),
        ("a.xml", '<?xml version="1.0" encoding="UTX-8"?><xmeml/>', "line 1: its encoding cannot be read"),
        ("a.xml", OUTSIDE, "it declares an entity, 'x'"),
        ("a.xml", "<xmeml>" + "<a>" * 300 + "</a>" * 300 + "</xmeml>", "elements lie 201 deep; allowed are 200"),
        ("a.fcpxml", SPINE.format("10s", '<gap duration="abc"/>'), 'gap: duration is "abc"; expected seconds such as'),
        ("a.fcpxml", SPINE.format("10s", '<gap duration="1/0s"/>'), 'duration is "1/0s"'),
        ("a.fcpxml", SPINE.format("10s", '<clip name="x"/>'), "clip x: it does not say how long it is"),
        ("a.fcpxml", SPINE.format("10s", "").replace("1/25s", "1/1000s"), 'fps is "1000"; allowed is 1 … 240'),
        ("a.fcpxml", SPINE.format("10s", "").replace("frameDuration", "x"), "has no frameDuration; give the picture"),
        ("a.fcpxml", SPINE.format("1/25s", ""), "it is 0.04 s long; allowed is 1 s or more"),
        ("a.fcpxml", SPINE.format("9999999s", ""), "allowed is 1 … 21600"),
        ("a.xml", "<xmeml/>", "it holds no sequence"),
        ("a.xml", "<!DOCTYPE xmeml SYSTEM 'x'><xmeml>&nope;</xmeml>", "it is no XML by itself: undefined entity"),
        ("a.xml", xmeml((0, 50), (40, 90)), "clipitem 'c1': it starts at frame 40, before the clip before"),
        ("a.xml", xmeml((50, 90), (0, 50)), "order the clips"),
        ("a.xml", xmeml((-1, 50)), "its place is left to a transition, and there is none"),
        ("a.xml", xmeml(("x", 50)), "not whole numbers in order"),
        ("a.edl", "", "it holds no event of a picture"),
        ("a.edl", EVENT.replace(" V ", " A "), "it holds no event of a picture"),
        ("a.edl", EVENT.replace("01:00:04:00", "00:59:00:00"), "line 1: it ends at 00:59:00:00, before 01:00:00:00"),
        ("a.edl", EVENT + "002 AX V C 00:00:00:00\n", "line 2: it begins like an event and is none: '002 AX V C 00:00"),
        ("a.edl", "* FPS: 24\n" + EVENT.replace("04:00", "04:24"), 'line 2: "01:00:04:24" has frame 24, which'),
        ("a.edl", "* FPS: 24\nFCM: DROP FRAME\n" + EVENT, "its timecode is drop-frame, at 24 fps"),
        ("a.edl", " |C:ResolveColorRed |M:x |D:1\n" + EVENT, "line 1: a marker stands before the first event"),
        ("a.csv", "", "it has no rows"),
        ("a.csv", "name,mood\nx,epic\n", "line 1: no column says where"),
        ("a.csv", "at\n1\n", "it does not say how long the piece is; say the seconds, or give the picture"),
        ("a.csv", "at,end\n9,3\n", "line 2: it ends at 3 s, before 9 s"),
        ("a.csv", "at,kind\n9,speech\n", "line 2: speech has no end"),
        ("a.csv", "at,kind\n,hit\n", "line 2: it does not say where"),
        ("a.csv", "at,name\n4,a,b\n", "line 2: it has 3 cells; the table has 2 columns"),
        ("a.csv", "at\nsoon\n", 'line 2: "soon" is no place; write 12.4, 0:12.4 or 00:00:12:10'),
        ("a.csv", "frame\n100\n", "it counts frames and does not say its fps"),
        ("a.csv", "1,4\n2,8\n", "its second column are bare numbers"),
        ("a.csv", "# fps: 900\nat\n1\n", "# fps: fps is"),
        ("a.csv", "at\n" + "1" * 200_000, "line 2: it is no table: field larger"),
        ("a.csv", "at\n" + "9" * 5000, "is no place"),
        ("a.json", '{"duration": "1e999999999", "fps": 25, "markers": []}', "not as we write them"),
        ("a.srt", "hello", "it has no line such as 00:00:01,000 --> 00:00:03,500"),
        ("a.srt", "1\n00:00:05,000 --> 00:00:01,000\nx\n", "line 2: 00:00:05,000 --> 00:00:01,000 ends before"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(name: str, document: str, told: str) -> None:
    with pytest.raises(BadExchange) as raised:
        read_exchange(document.encode(), name)
    text = str(raised.value)
    assert told in text and text.startswith(f'"{name}"') and "\n" not in text and len(text) < 400
    assert raised.value.status == 422


def test_a_file_too_large_is_refused() -> None:
    with pytest.raises(BadExchange, match=r"16.8 MB are too much; allowed are 16.8 MB"):
        read_exchange(bytes(MAX_BYTES + 1), "a.edl")


def test_a_compound_clip_within_itself_ends() -> None:
    clip = '<ref-clip ref="r2" duration="10s"/>'
    document = SPINE.format("10s", clip).replace(
        "</resources>",
        f'<media id="r2"><sequence duration="10s" format="r1"><spine>{clip * 2}</spine></sequence></media></resources>',
    )
    with pytest.raises(BadExchange, match="nested 31 deep"):
        read_exchange(document.encode(), "a.fcpxml")


@pytest.mark.parametrize("decoy", ["", "<bin>" + "".join(f"<name id='s{level}'/>" for level in range(13)) + "</bin>"])
def test_sequences_that_multiply_by_reference_are_refused(decoy: str) -> None:
    """Each holds the one before ten times: what a file says in a page would fill any memory."""
    inner = "<sequence id='s0'/>"
    for level in range(12):
        clips = f"<clipitem>{inner}</clipitem>" + f"<clipitem><sequence id='s{level}'/></clipitem>" * 9
        inner = f"<sequence id='s{level + 1}'><media><video><track>{clips}</track></video></media></sequence>"
    with pytest.raises(BadExchange, match="elements are more than 1000000, with those they refer to"):
        read_exchange(f"<xmeml>{decoy}{inner}</xmeml>".encode(), "a.xml")


def test_sequences_in_one_another_are_read_once_each() -> None:
    """Twelve deep; read twice at each depth, as the adapter looks in two places, they would be thousands."""
    times = "<start>0</start><end>100</end><in>0</in><out>100</out>"
    inner = f"<clipitem>{times}<file/></clipitem>"
    for level in range(12):
        rate = "<duration>100</duration><rate><timebase>25</timebase></rate>"
        media = f"<media><video><track>{inner}</track></video></media>"
        sequence = f"<sequence id='s{level}'>{rate}{media}</sequence>"
        inner = f"<clipitem>{times}{sequence}</clipitem>"
    document = f"<xmeml>{sequence}</xmeml>"
    root = ElementTree.fromstring(document)
    num_elements = len(list(root.iter()))
    fcp7._prepare(root, Source(b"", "a.xml"))
    assert len(list(root.iter())) == num_elements
    assert read_exchange(document.encode(), "a.xml").timeline.duration == 4


@pytest.mark.parametrize("path", sorted(DIALECTS.iterdir()), ids=lambda path: path.name)
def test_a_damaged_file_is_read_or_refused(path: Path) -> None:
    """Cut off, or with bytes changed: never anything but a timeline or the error."""
    whole, chance = path.read_bytes(), Random(path.name)
    for trial in range(30):
        damaged = bytearray(whole[: chance.randrange(len(whole))] if trial < 5 else whole)
        for _ in range(chance.choice([1, 4, 20]) if trial >= 5 else 0):
            damaged[chance.randrange(len(damaged))] = chance.choice(b'0159-;:,."<>/ax \n\xff')
        try:
            read_exchange(bytes(damaged), path.name, fps=Fraction(25), duration=Fraction(60))
        except BadExchange as error:
            assert "\n" not in str(error)


def test_opentimelineio_is_loaded_only_when_a_file_needs_it() -> None:
    """It takes a fifth of a second, which a start of the server and most files do without."""
    for file in Path(exchange.__file__).parent.glob("*.py"):
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            loads = ast.unparse(statement) if isinstance(statement, ast.Import | ast.ImportFrom) else ""
            assert "opentimelineio" not in loads, file.name
