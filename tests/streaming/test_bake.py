"""States baked into files: loops of one length, bars that lead between them, stingers, and tables that name all."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
import soundfile

from engine.config import EngineConfig
from moods.errors import BadControl
from streaming.baking.asked import read_states
from streaming.baking.baking import bake
from streaming.baking.planned import bridges, grounds, loops

GAME = """
seed = 7
[states.calm]
mood = "night"
bpm = 160
[states."boss fight"]
mood = "epic"
bpm = 150
[[transitions]]
from = "boss fight"
bridge = true
[[transitions]]
to = "boss fight"
at = "beat"
stinger = "reveal"
return_after = "4 bars"
[bake]
bars = 2
format = "wav"
"""


def written(folder: Path, text: str = GAME) -> Path:
    path = folder / "states.toml"
    path.write_text(text, encoding="utf-8")
    return path


def chunks(path: Path) -> dict[bytes, bytes]:
    """The chunks of a WAV."""
    content, out, at = path.read_bytes(), {}, 12
    while at < len(content):
        kind, size = struct.unpack_from("<4sI", content, at)
        out[kind] = content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return out


def test_states_become_files_and_the_tables_name_them(tmp_path: Path) -> None:
    out = tmp_path / "music"
    table = bake(read_states(written(tmp_path), {}), out, EngineConfig(max_slots=1))
    assert json.loads((out / "undersong.json").read_text())["loops"] == table["loops"]
    made: list[dict[str, Any]] = [*table["loops"], *table["bridges"], *table["stingers"]]
    assert [each["name"] for each in made] == [
        "calm", "boss-fight", "calm--boss-fight", "boss-fight--calm", "reveal", "reveal",
    ]  # fmt: skip
    for each in made:
        with soundfile.SoundFile(out / each["files"][0]) as sound:
            assert (sound.frames, sound.samplerate) == (each["frames"], 48_000)
            assert abs(sound.read(dtype="float32")).max() > 0.03
    calm = chunks(out / table["loops"][0]["files"][0])
    assert table["loops"][0]["frames"] == 8 * 18_000
    assert struct.unpack_from("<2I", calm[b"smpl"], 36 + 8) == (0, 8 * 18_000 - 1)
    assert struct.unpack("<I", calm[b"cue "][:4]) == (2,) and b"bar 2" in calm[b"LIST"]
    there, back = table["transitions"]
    assert (there["from_time"], there["stinger"], there["hold_previous"]) == ("next_beat", "reveal", True)
    assert (back["from_time"], back["bridge"], back["how"]) == ("next_bar", "boss-fight--calm", "bridge")
    rows = [line.split("\t") for line in (out / "wwise.txt").read_text().splitlines()]
    assert all(len(row) == len(rows[0]) for row in rows) and "160" in rows[1]
    assert all((out / row[0].replace("\\", "/")).is_file() for row in rows[1:] if row[0])
    script = (out / "fmod.js").read_text()
    assert "/* TABLE */" not in script and str(out) in script
    if node := shutil.which("node"):
        subprocess.run([node, "--check", out / "fmod.js"], check=True)


def test_the_same_file_asks_for_the_same_takes_and_all_loops_of_a_state_are_as_long(tmp_path: Path) -> None:
    path = written(tmp_path)
    one, other = (read_states(path, {"intensities": [0.3, 0.6, 0.9], "bars": 4}) for _ in range(2))
    pieces = [piece for ground in grounds(one).values() for piece in loops(one, ground)]
    assert pieces == [piece for ground in grounds(other).values() for piece in loops(other, ground)]
    assert [piece.num_frames for piece in pieces] == 3 * [16 * 18_000] + 3 * [16 * 19_200]
    assert (
        len({(piece.ground.key, piece.take.opening.timeline.bpm) for piece in pieces if piece.take.opening.timeline})
        == 2
    )
    assert list(bridges(one, grounds(one))) == list(bridges(other, grounds(other)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed = 7", "states is missing"),
        (GAME.replace("bars = 2", "bars = 1"), "bars is 1; allowed is 2 … 64"),
        (GAME.replace("bars = 2", "bar = 1"), "nearest: bars"),
        (GAME.replace('format = "wav"', "intensities = [0.9, 0.3]"), "from low to high"),
        (GAME.replace('format = "wav"', 'stingers = ["reveel"]'), "nearest: reveal"),
        (GAME.replace('mood = "epic"', 'mood = "epik"'), "nearest: epic"),
        ("[states", "cannot be read"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_the_file(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BadControl, match=r"states\.toml") as raised:
        read_states(written(tmp_path, text), {})
    assert told in str(raised.value)
