"""A patch file that cannot be used says where and what, with the allowed range."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from engine.audio import SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.notes import as_sounds
from engine.performance import Performance, step
from engine.synth.errors import PatchError
from engine.synth.patching.tables import SHIPPED, load_tables, shipped_tables
from engine.synth.synth import Synth
from moods.intent import LAYERS, STYLES
from moods.opening import Opening
from tests.synth.music import intent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for item in (files("engine.synth") / "patches").iterdir():
        shutil.copy(str(item), tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "old", "new", "text"),
    [
        ("bass.toml", 'kind = "pluck"', 'kind = "bowed"', "kind is 'bowed'; allowed is one of analog, fm"),
        ("synth_bass.toml", "sub_level = 0.2\n", "sub_level = 3\n", "sub_level is 3; allowed is 0 … 1"),
        ("synth_bass.toml", "sub_level = 0.2\n", "sub_level = nan\n", "sub_level is nan; allowed is 0 … 1"),
        ("synth_bass.toml", "sub_level = 0.2\n", "sublevel = 0.2\n", "sublevel is no field of kind 'analog'"),
        ("synth_bass.toml", "sub_level = 0.2\n", "sub_level = ", "not TOML"),
        ("mallets.toml", "ratios = [1, 3.93, 9.6, 17.2]", "ratios = [1]", "4 amplitudes for 1 partials"),
        ("styles.toml", '"kalimba", "vibraphone"', '"lute", "vibraphone"', "names 'lute'"),
        ("styles.toml", "[jazz]", "[jizz]", "the style 'jazz' is missing"),
        ("kits.toml", "shaker = ", "shakers = ", "the drum 'shaker' is missing"),
        ("synths.toml", "[supersaw]", "[sub_bass]", "defined twice"),
        ("pads.toml", 'spectrum = "warm"', 'spectrum = "hot"', "spectrum is 'hot'; allowed is one of strings"),
        ("spectra.toml", "slope_db = -6.5", "slope_db = 66", "slope_db is 66; allowed is -40 … 6"),
        ("spectra.toml", "[290, 3, 0.3]", "[290, 3]", "formants has an item that is not 3 numbers long"),
        ("spectra.toml", "even_db", "evens_db", "evens_db is no field of a spectrum"),
        ("chip.toml", "duty = [0.25]", "duty = [0.7]", "duty is 0.7; allowed is 0.05 … 0.5"),
    ],
)
def test_a_bad_patch_is_named(folder: Path, file: str, old: str, new: str, text: str) -> None:
    content = (folder / file).read_text()
    assert old in content
    (folder / file).write_text(content.replace(old, new, 1))
    with pytest.raises(PatchError) as caught:
        load_tables(folder)
    assert text in str(caught.value)
    assert caught.value.file == file


def test_the_line_is_right(folder: Path) -> None:
    text = (folder / "synth_bass.toml").read_text()
    (folder / "synth_bass.toml").write_text(text.replace("sub_level = 0.2\n", "sub_level = 3\n"))
    line = text[: text.index("sub_level = 0.2\n")].count("\n") + 1
    with pytest.raises(PatchError) as caught:
        load_tables(folder)
    assert caught.value.line == line


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "kits.toml").unlink()
    with pytest.raises(PatchError, match=r"kits\.toml:1: the file is missing"):
        load_tables(folder)


@pytest.mark.long
@pytest.mark.slow
def test_every_shipped_instrument_sounds_and_dies_away() -> None:
    """A note of a quarter of a second falls by 60 dB, the longest (a gong) within ten."""
    tables = shipped_tables()
    for index, name in enumerate(tables.names):
        kits = np.argwhere(tables.kits == index)
        layer, pitch = (LAYERS.index("drums"), int(kits[0, 1])) if len(kits) else (LAYERS.index("harmony"), 57)
        synth = Synth(1, tables=tables.alone(name))
        synth.open(0, 0)
        synth.play(0, as_sounds([(0, SAMPLE_RATE // 4, layer, pitch, 90)]))
        peaks = [0.01]
        while peaks[-1] > 1e-3 * max(peaks):
            _, stems = synth.render_stems([0], lambda slot, frame: intent("house"), SAMPLE_RATE)
            peaks.append(float(np.abs(stems).max()))
            assert 0.01 < max(peaks) < 1.5 and len(peaks) <= 11, (name, peaks)


def test_every_shipped_instrument_is_played_in_some_style() -> None:
    tables = shipped_tables()
    played = {*tables.choices[:, 1:].flat, *tables.kits.flat}
    assert [name for index, name in enumerate(tables.names) if index not in played] == []
    for style, choices in zip(STYLES, tables.choices, strict=True):
        assert all((layer >= 0).sum() >= 4 for layer in choices[1:]), style


def test_a_folder_of_ones_own_adds_and_replaces_instruments(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[my_lead]\nkind = "analog"\nwave = "triangle"\n')
    tables = load_tables(SHIPPED, tmp_path)
    assert set(tables.names) == {*shipped_tables().names, "my_lead"}


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[my_lead]\r\nkind = "analog"\r\n', encoding="utf-8-sig")
    assert "my_lead" in load_tables(SHIPPED, tmp_path).names


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[my_lead]\nkind = "analog"\n', encoding="utf-16")
    with pytest.raises(PatchError, match="mine.toml:1: not UTF-8"):
        load_tables(SHIPPED, tmp_path)
    (tmp_path / "mine.toml").unlink()
    (tmp_path / "mine.toml").mkdir()
    with pytest.raises(PatchError, match="mine.toml:1: cannot be read"):
        load_tables(SHIPPED, tmp_path)


@pytest.mark.parametrize("text", ['[my_lead]\nkind = "analogue"\n', None])
def test_a_bad_patch_of_ones_own_is_named_and_the_shipped_ones_play(tmp_path: Path, text: str | None, caplog) -> None:
    folder = tmp_path / "patches"
    if text is not None:
        folder.mkdir()
        (folder / "mine.toml").write_text(text)
    generator = open_generator(EngineConfig(max_slots=1, patches=folder))
    assert "mine.toml:2: [my_lead] kind is 'analogue'" in caplog.text if text else "cannot be read" in caplog.text
    performance = Performance(generator, 0, Opening(mood="epic"), 1)
    assert max(np.abs(step(generator, [performance])[0].pcm).max() for _ in range(50)) > 0.01
