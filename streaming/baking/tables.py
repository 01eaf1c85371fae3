"""What an engine is told of the files. In: what was made, and the matrix; out: a table in JSON, a script for FMOD
Studio, a list for Wwise. Remembers nothing; any thread.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from moods.fields import grid_beats, read_over
from moods.intent import BEATS_PER_BAR
from moods.states import Passage
from streaming.baking.asked import BakeRequest
from streaming.files.errors import naming
from streaming.files.target import Target

_WWISE_ROOT = "\\Interactive Music Hierarchy\\Default Work Unit\\<Music Switch Container>Undersong"


def write_tables(request: BakeRequest, table: dict[str, Any], folder: Path) -> None:
    """Complete `table` by the transitions, and write it in every form. Raises `CannotWrite`."""
    table["transitions"] = _transitions(request, table)
    script = (resources.files("streaming") / "baking" / "fmod.js").read_text(encoding="utf-8")
    texts = {
        "undersong.json": json.dumps(table, ensure_ascii=False, indent=1) + "\n",
        "fmod.js": script.replace("/* TABLE */ null", json.dumps(table)).replace(
            "/* FOLDER */ null", json.dumps(str(folder.resolve()))
        ),
        "wwise.txt": _wwise(table),
    }
    for name, text in texts.items():
        with naming(folder / name), Target(folder / name).open(folder) as file:
            file.write(text.encode())


def _transitions(request: BakeRequest, table: dict[str, Any]) -> list[dict[str, Any]]:
    """The way between every two states, in the words of Godot's AudioStreamInteractive."""
    bridges = {(bridge["from"], bridge["to"]): bridge["name"] for bridge in table["bridges"]}
    tempo = {loop["state"]: loop["bpm"] for loop in table["loops"]}
    rows = []
    for left in request.opening.states:
        for begun in request.opening.states:
            if left != begun:
                passage = request.opening.matrix.passage(left, begun)
                bridge = bridges.get((left, begun)) if passage.how == "bridge" else None
                rows.append({"from": left, "to": begun, **_way(passage, tempo[left], bridge)})
    return rows


def _way(passage: Passage, bpm: float, bridge: str | None) -> dict[str, Any]:
    is_faded = passage.how == "glide"
    dwell = passage.min_dwell
    return {
        "how": passage.how,
        "from_time": _from_time(passage.at),
        "to_time": "start",
        "fade_mode": "cross" if is_faded else "disabled",
        "fade_beats": _beats(passage.over, bpm) if is_faded else 0.0,
        "bridge": bridge,
        "stinger": passage.stinger,
        "hold_previous": passage.return_after is not None,
        "min_dwell_seconds": dwell.length * 60 / bpm if dwell.in_beats else dwell.length,
    }


def _from_time(at: str) -> str:
    beats = grid_beats(at)
    if at == "now":
        return "immediate"
    if beats is None:
        return "end"
    return "next_beat" if beats < BEATS_PER_BAR else "next_bar"


def _beats(over: float | str | None, bpm: float) -> float:
    span = read_over(0.0 if over is None else over)
    return span.length if span.in_beats else span.length * bpm / 60


def _wwise(table: dict[str, Any]) -> str:
    """A list in tabs, as Wwise imports it: each loop, bridge and stinger is a Music Segment with its tempo."""
    header = ["Audio File", "Object Path", "Property[OverrideClockSettings]", "Property[Tempo]",
              "Property[TimeSignatureUpper]", "Property[TimeSignatureLower]", "Notes"]  # fmt: skip
    lines = [header]
    for kind in ("loops", "bridges", "stingers"):
        for made in table[kind]:
            wav = next((file for file in made["files"] if file.endswith(".wav")), None)
            if wav is None:
                continue
            name = made["name"] if kind != "stingers" else f"{made['state']}--{made['name']}"
            segment = f"{_WWISE_ROOT}\\<Music Segment>{name.replace(chr(92), '-')}"
            notes = f"{made['key']}, {made['bpm']} bpm, {made['frames']} frames"
            lines.append(["", segment, "True", str(made["bpm"]), str(BEATS_PER_BAR), "4", notes])
            lines.append([wav.replace("/", "\\"), f"{segment}\\<Music Track>{name}", "", "", "", "", ""])
    return "".join("\t".join(line) + "\r\n" for line in lines)
