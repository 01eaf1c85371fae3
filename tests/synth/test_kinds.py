"""A kind of instrument is one file: nothing else in the engine knows its name, and a new one needs only that."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.synth.sources.kinds import KIND_NAMES, KINDS
from engine.synth.voices import VOICE

ROOT = Path(__file__).resolve().parents[2]
SYNTH = ROOT / "engine" / "synth"

HUM = """
import numpy as np

from engine.synth.compile import kernel
from engine.synth.sources.kind import Kind
from engine.synth.sources.oscillators import sine


@kernel
def start_hum(voice):
    voice.hum.phase = 0.25


@kernel
def render_hum(voice, patch, work, num_frames):
    own = voice.hum
    for i in range(num_frames):
        work[0, i] = work[1, i] = patch.depth * sine(own.phase)
        own.phase = (own.phase + voice.increment) % 1.0


KIND = Kind("hum", render_hum, start_hum, memory=(("phase", np.float64),), numbers={"depth": (0, 1, 0.5)})
"""
PLAY = """
import json
from pathlib import Path

import numpy as np

from engine.notes import as_sounds
from engine.synth.mixer import new_scratch, render_slot
from engine.synth.patching.tables import SHIPPED, Tables, load_tables
from engine.synth.state import SlotState, new_state, with_stem_effects
from engine.synth.targets import C_BPM, C_STYLES, NUM_COLOURS


def records(arrays):
    # Compiled kernels say a record's fields as attributes.
    return [array.view(np.dtype((np.record, array.dtype))) if array.dtype.names else array for array in arrays]


def play(depth):
    (notes,) = records([as_sounds([(0, 9000, 4, 69, 100)])])
    tables = Tables(*records(mine.alone("hum", depth=depth).flat()))
    state = SlotState(*records(with_stem_effects(new_state(1))))
    colours = np.zeros((2, NUM_COLOURS))
    colours[:, C_BPM], colours[:, C_STYLES] = 100, 1
    out, stems = np.zeros((2, 1920), np.float32), np.zeros((5, 2, 1920), np.float32)
    render_slot(state, tables, notes, colours, new_scratch(), out, stems, False)
    return stems[4, 0]


mine = load_tables(SHIPPED, Path("mine"))
loud, soft = play(1.0), play(0.5)
size = np.abs(np.fft.rfft(loud[960:] * np.hanning(960)))
print(json.dumps({"hz": 50 * int(size.argmax()), "ratio": float(np.abs(loud).max() / np.abs(soft).max())}))
"""


def names_of_kinds(tree: ast.AST) -> Iterator[ast.expr]:
    """Comparisons of anything's `kind`, and strings that name one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            for part in (node.left, *node.comparators):
                if isinstance(part, ast.Attribute) and part.attr == "kind":
                    yield part
                if isinstance(part, ast.Subscript) and ast.unparse(part.slice) == "'kind'":
                    yield part
        elif isinstance(node, ast.Constant) and node.value in KIND_NAMES:
            yield node


def test_what_one_kind_knows_stands_in_its_own_file() -> None:
    for file in SYNTH.rglob("*.py"):
        if not file.is_relative_to(SYNTH / "sources"):
            found = [ast.unparse(node) for node in names_of_kinds(ast.parse(file.read_text(encoding="utf-8")))]
            assert not found, (file, found)
    assert any(names_of_kinds(ast.parse("if patch.kind == 3: pass")))


def test_every_kind_remembers_under_its_own_name() -> None:
    for kind in KINDS:
        assert (kind.name in VOICE.names) == bool(kind.memory), kind.name
        if kind.memory:
            assert VOICE[kind.name] == np.dtype(list(kind.memory)), kind.name


@pytest.mark.slow
def test_a_new_kind_is_one_file_and_a_line(tmp_path: Path) -> None:
    """In a copy of the sources, run by Python itself: compiling all kernels anew would take half a minute."""
    for room in ("engine", "moods"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "training"))
    shutil.copy(ROOT / "undersong_launch.py", tmp_path)
    sources = tmp_path / "engine" / "synth" / "sources"
    (sources / "hum.py").write_text(HUM)
    registry = (sources / "kinds.py").read_text(encoding="utf-8")
    assert "KINDS = (\n" in registry
    registry = registry.replace("KINDS = (\n", "from engine.synth.sources import hum\n\nKINDS = (\n    hum.KIND,\n", 1)
    (sources / "kinds.py").write_text(registry, encoding="utf-8")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.toml").write_text('[hum]\nkind = "hum"\ncutoff_hz = 20000\n')
    (tmp_path / "play.py").write_text(PLAY)
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "play.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    heard = json.loads(done.stdout)
    assert heard["hz"] == 450 and 1.9 < heard["ratio"] < 2.1, heard
