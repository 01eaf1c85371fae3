"""The clean data sets as labelled pieces.

In: a folder with NAME.tar.xz files or unpacked NAME/ folders; out: an iterator of `Piece`. Remembers nothing between
calls; any thread. Sources, licences and credits are in NOTICE; nothing of the data is part of the package.

Sets without notes (mcgill-billboard, free-midi-chords; see progressions.py) and projects (lmms-demos) are not read.
"""

from __future__ import annotations

import csv
import io
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.errors import EngineError
from engine.notes import TICKS_PER_BEAT
from engine.score.piece import CHORD, Bar, Piece
from engine.training import labels, midi_reader
from engine.training.labels import BAR_TICKS
from engine.training.midi_reader import Score, UnusableFile
from moods.harmony import Key
from moods.intent import BEATS_PER_BAR, LAYERS, STYLES

MIN_BARS, MAX_BARS, MIN_NOTES = 4, 64, 32
BLOCK_BARS = 8
"""Length of the blocks that are compared to tell section A from B."""
_MIN_GRID_SHARE = 0.6
_ORDINARY = {"not in 4/4", "shorter than 4 bars", "fewer than 32 notes"}
"""Good music that is of no use here; whatever else is wrong with a file is reported by its name."""


class NoCorpora(EngineError):
    """`folder` holds none of the sets asked for."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        super().__init__(
            f"no data set found in {str(folder)!r}; expected NAME.tar.xz or NAME/ with NAME one of: {', '.join(names)}"
        )


@dataclass(frozen=True)
class Source:
    """How one data set is read."""

    snap: bool = True  # pull onsets to the grid; human drumming keeps its timing
    has_pickups: bool = False  # files may begin with an incomplete bar that the metre does not tell
    has_endings: bool = False  # files end with a cadence, where game music loops
    bpm: float | None = None  # for sets without tempi of their own
    has_clock: bool = False  # ticks are a timer, not a metre: the beat is looked for
    layers_known: tuple[bool, ...] = (True,) * len(LAYERS)
    licence: str = "CC0-1.0"


_SCORE = Source(has_pickups=True, has_endings=True)
SOURCES: dict[str, Source] = {
    "freedoom": Source(licence="BSD-3-Clause"),
    "blasphemer": Source(has_clock=True, licence="BSD-3-Clause"),
    "easyrpg-rtp": Source(licence="CC-BY-4.0"),
    "groove": Source(snap=False, layers_known=(True, False, False, False, False), licence="CC-BY-4.0"),
    "openscore-orchestra-hauptstimme": _SCORE,
    "openscore-string-quartets": _SCORE,
    "openscore-lieder": _SCORE,
    "mutopia-pd-ccby": replace(_SCORE, licence="Public Domain, CC-BY-2.5, CC-BY-3.0, CC-BY-4.0"),
    "js-fake-chorales": replace(_SCORE, bpm=84.0, licence="CC-BY-4.0"),
}

TABLE_LICENCES = {"free-midi-chords": "MIT", "mcgill-billboard": "CC0-1.0", "groove": "CC-BY-4.0"}
"""Sets from which the arranger's tables of progressions and grooves are made."""


# --- folders and archives --------------------------------------------------------------------------------------------


def read_corpora(
    folder: Path | str, *, names: Iterable[str] | None = None, report: Callable[[str], None]
) -> Iterator[Piece]:
    """Read the sets `names` (default: all of `SOURCES` that are there), one piece after another.

    Files that give nothing are skipped; after each set `report` gets one line with files, pieces, bars and notes, and
    the skipped files and stretches by reason; a file that is broken, empty or has an unusable tempo map is reported by
    its name.
    Raises `NoCorpora` where none of the sets is in `folder`.
    """
    folder = Path(folder)
    wanted = list(SOURCES if names is None else names)
    unknown = [name for name in wanted if name not in SOURCES]
    present = [name for name in wanted if (folder / name).is_dir() or (folder / f"{name}.tar.xz").is_file()]
    if unknown or not present:
        raise NoCorpora(folder, SOURCES)
    return _read_present(folder, present, report)


def _read_present(folder: Path, names: list[str], report: Callable[[str], None]) -> Iterator[Piece]:
    for name in names:
        counts: Counter[str] = Counter()
        skipped: Counter[str] = Counter()
        groove_styles: dict[str, str] = {}
        for path, content in _files(folder, name):
            if path.endswith("info.csv"):
                rows = csv.DictReader(io.StringIO(content.decode()))
                groove_styles = {row["midi_filename"]: row["style"] for row in rows}
                continue
            counts["files"] += 1
            before = skipped.copy()
            try:
                for piece in read_pieces(content, name, path, groove_styles.get(path, ""), skipped):
                    counts["pieces"] += 1
                    counts["bars"] += len(piece.bars)
                    counts["notes"] += len(piece.notes)
                    yield piece
            except UnusableFile as reason:
                skipped[str(reason)] += 1
            for reason in (skipped - before).keys() - _ORDINARY:
                report(f"{name}: {path}: {reason}; skipped")
        found = ", ".join(f"{counts[what]} {what}" for what in ("files", "pieces", "bars", "notes"))
        reasons = ", ".join(f"{reason} {count}" for reason, count in skipped.most_common())
        report(f"{name}: {found}; skipped: {reasons or 'none'}")


def _files(folder: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """Path inside the set and content of `info.csv` (first) and of every MIDI file, in the order of their paths."""
    root = folder / name
    if root.is_dir():
        for path in sorted(root.glob("**/info.csv")) + sorted(root.glob("**/*.mid")):
            yield path.relative_to(root).as_posix(), path.read_bytes()
        return
    # An xz stream cannot be sought cheaply: read it once in its own order, then sort.
    contents: dict[str, bytes] = {}
    with tarfile.open(folder / f"{name}.tar.xz") as archive:
        for member in archive:
            path = member.name.removeprefix("./").removeprefix(f"{name}/")
            extracted = archive.extractfile(member) if path.endswith((".mid", "info.csv")) else None
            if extracted is not None:
                contents[path] = extracted.read()
    for path in sorted(contents, key=lambda path: (not path.endswith("info.csv"), Path(path))):
        yield path, contents[path]


# --- one file --------------------------------------------------------------------------------------------------------


def read_pieces(
    content: bytes, source_name: str, path: str, groove_style: str = "", skipped: Counter[str] | None = None
) -> Iterator[Piece]:
    """All pieces of one MIDI file. Counts unused stretches in `skipped`; raises `UnusableFile` where there are none."""
    source = SOURCES[source_name]
    skipped = Counter() if skipped is None else skipped
    score = midi_reader.read_score(content)
    if source.has_clock:
        _find_beat(score)
    midi_reader.assign_layers(score)
    stretches = _stretches(score, source)
    for index, (start, end, bpm) in enumerate(stretches):
        if not 40 <= bpm <= 240:
            skipped["tempo outside 40 … 240"] += 1
            continue
        if source.snap and _grid_share(score, start, end) < _MIN_GRID_SHARE:
            skipped["off the grid"] += 1
            continue
        notes = midi_reader.to_grid(score.notes, start, end, snap=source.snap)
        is_end = source.has_endings and index == len(stretches) - 1
        style = style_weights(source_name, path, groove_style, bpm, notes)
        yield from _cut(notes, bpm, source, style, is_end, f"{source_name}/{path}", skipped)


def _find_beat(score: Score) -> None:
    """Rescale a score whose ticks are a timer so that a beat is a beat.

    The sixteenth pulse is a peak in the spectrum of the onsets; among the beats of 70 … 160 bpm the one is taken whose
    quarter, eighth and sixteenth pulses together are strongest, less its distance from 110 bpm in octaves.
    """
    rate = 70.0  # timer ticks in the beat that the file claims
    seconds_a_tick = 60.0 / (score.tempos[0, 1] * rate)
    ticks = np.round(score.notes["start"] * rate).astype(np.int64)
    impulses = np.bincount(ticks)
    size = 1 << int(len(impulses) * 4).bit_length()
    spectrum = np.abs(np.fft.rfft(impulses, size)) / max(1, len(ticks))
    bpms = np.arange(70.0, 160.0, 0.02)
    pulses = bpms[:, None] / 60.0 * np.array([1, 2, 4]) * seconds_a_tick * size
    strength = spectrum[np.minimum(np.round(pulses).astype(np.int64), len(spectrum) - 1)] @ np.array([0.5, 0.75, 1.0])
    best = int((strength - 0.5 * np.abs(np.log2(bpms / 110.0))).argmax())
    scale = seconds_a_tick * rate * bpms[best] / 60.0
    first = score.notes["start"][0]
    for edge in ("start", "end"):
        score.notes[edge] = (score.notes[edge] - first) * scale
    score.tempos = np.array([[0.0, bpms[best]]])
    score.bars = [(0.0, float(BEATS_PER_BAR))]


def _stretches(score: Score, source: Source) -> list[tuple[float, float, float]]:
    """(first beat, beat after the last, bpm) of every stretch that can be barred in fours: 4/4, 2/2, 2/4, 4/2, 4/8.

    Raises `UnusableFile` where there is none of four bars.
    """
    end = float(np.ceil(score.notes["end"].max()))
    changes = [at for at in score.bars if at[0] < end]
    stretches: list[list[float]] = []
    last_length = 0.0
    for index, (start, length) in enumerate(changes):
        stop = changes[index + 1][0] if index + 1 < len(changes) else end
        if length in (2.0, 4.0, 8.0):
            follows = bool(stretches) and stretches[-1][1] == start
            if follows and (length == last_length or (start - stretches[-1][0]) % BEATS_PER_BAR == 0):
                stretches[-1][1] = stop
            else:
                stretches.append([start, stop])
            last_length = length
    found = []
    for start, stop in stretches:
        if source.has_pickups:
            start += _pickup(score, start, stop)
        if stop - start >= MIN_BARS * BEATS_PER_BAR:
            found.append((start, stop, source.bpm or _median_tempo(score.tempos, start, stop)))
    if not stretches:
        raise UnusableFile("not in 4/4")
    if not found:
        raise UnusableFile("shorter than 4 bars")
    return found


def _pickup(score: Score, start: float, stop: float) -> float:
    """Where the bar begins that a pickup at `start` falls into, in beats from `start`: -3.5 … 0 in half beats.

    Downbeats are where long and low notes begin. The file's own barring stays unless another clearly beats it.
    """
    inside = (score.notes["start"] >= start) & (score.notes["start"] < stop)
    notes = score.notes[inside & (score.notes["layer"] > midi_reader.DRUMS)]
    place = np.round((notes["start"] - start) * 2)
    on_half = np.abs(place - (notes["start"] - start) * 2) < 0.05
    weight = np.minimum(notes["end"] - notes["start"], BEATS_PER_BAR) * (1 + (notes["layer"] == midi_reader.BASS))
    profile = np.bincount(place[on_half].astype(np.int64) % 8, weights=weight[on_half], minlength=8)
    # A bar that begins at p has its accents on beats 1, 3, 2 and 4, in this order of strength.
    accents = sum(share * np.roll(profile, -2 * beat) for beat, share in ((0, 1.0), (2, 0.5), (1, 0.25), (3, 0.25)))
    best = int(accents.argmax())
    return best / 2 - BEATS_PER_BAR if best and accents[best] > 1.15 * accents[0] else 0.0


def _median_tempo(tempos: npt.NDArray[np.float64], start: float, stop: float) -> float:
    """The tempo that holds at half of the stretch's beats."""
    begins = np.clip(tempos[:, 0], start, stop)
    begins[tempos[:, 0] <= start] = start
    lengths = np.diff(np.append(begins, stop))
    order = np.argsort(tempos[:, 1])
    middle = np.searchsorted(np.cumsum(lengths[order]), lengths.sum() / 2)
    return float(tempos[order, 1][min(middle, len(tempos) - 1)])


def _grid_share(score: Score, start: float, end: float) -> float:
    """Share of onsets within 1/16 of a sixteenth's or a triplet eighth's place (1.5 ticks)."""
    notes = score.notes[(score.notes["start"] >= start) & (score.notes["start"] < end) & (score.notes["layer"] >= 0)]
    if not len(notes):
        return 1.0
    near = [np.abs(np.round(notes["start"] * k) / k - notes["start"]) <= 1.5 / TICKS_PER_BEAT for k in (3, 4)]
    return float((near[0] | near[1]).mean())


# --- stretches to pieces ---------------------------------------------------------------------------------------------


def _cut(
    notes: npt.NDArray[np.void],
    bpm: float,
    source: Source,
    style: npt.NDArray[np.float32],
    is_end: bool,
    name: str,
    skipped: Counter[str],
) -> Iterator[Piece]:
    """Cut silence, changes of key and overlong stretches; label what is left."""
    spans = list(_sounding_spans(notes))
    for last_span, (first_bar, stop_bar) in zip([False] * (len(spans) - 1) + [True], spans, strict=True):
        part = _bars_of(notes, first_bar, stop_bar)
        num_bars = stop_bar - first_bar
        has_harmony = any(source.layers_known[1:])
        keyed = labels.key_stretches(part, num_bars) if has_harmony else [(0, num_bars, Key(0, "major"))]
        for start, stop, key in keyed:
            for first in range(start, stop, MAX_BARS):
                last = min(first + MAX_BARS, stop)
                piece_notes = _bars_of(part, first, last)
                if last - first < MIN_BARS:
                    skipped["shorter than 4 bars"] += 1
                elif len(piece_notes) < MIN_NOTES:
                    skipped["fewer than 32 notes"] += 1
                else:
                    chords = labels.find_chords(piece_notes, last - first) if has_harmony else np.zeros(0, CHORD)
                    ends = is_end and last_span and last == num_bars
                    bars = _bars(piece_notes, chords, key, bpm, last - first, source, style, ends)
                    yield Piece(piece_notes, chords, bars, key, bpm, f"{name}#{first_bar + first}", source.layers_known)


def _bars_of(notes: npt.NDArray[np.void], first: int, stop: int) -> npt.NDArray[np.void]:
    """Notes that begin in the bars, ticks from the first one; nothing sounds past the end."""
    inside = notes[(notes["tick"] >= first * BAR_TICKS) & (notes["tick"] < stop * BAR_TICKS)].copy()
    inside["tick"] -= first * BAR_TICKS
    inside["length"] = np.minimum(inside["length"], (stop - first) * BAR_TICKS - inside["tick"])
    return inside


def _sounding_spans(notes: npt.NDArray[np.void]) -> Iterator[tuple[int, int]]:
    """(first bar, bar after the last) of every span without two silent bars in a row."""
    if not len(notes):
        return
    first = notes["tick"] // BAR_TICKS
    last = np.maximum.accumulate((notes["tick"] + notes["length"] - 1) // BAR_TICKS)
    breaks = np.flatnonzero(first[1:] - last[:-1] > 2)
    starts, stops = np.append(0, breaks + 1), np.append(breaks, len(notes) - 1)
    for start, stop in zip(starts, stops, strict=True):
        yield int(first[start]), int(last[stop]) + 1


def _bars(
    notes: npt.NDArray[np.void],
    chords: npt.NDArray[np.void],
    key: Key,
    bpm: float,
    num_bars: int,
    source: Source,
    style: npt.NDArray[np.float32],
    ends: bool,
) -> list[Bar]:
    mood = labels.label_bars(notes, chords, key, bpm, num_bars, source.layers_known)
    sections = _sections(notes, num_bars)
    last_chord_beat = int(notes["tick"][-1]) // TICKS_PER_BEAT
    bars = []
    for bar, (section, bar_in_section) in enumerate(sections):
        left = last_chord_beat - bar * BEATS_PER_BAR
        is_outro = ends and left < 4 * BEATS_PER_BAR
        if is_outro and (not bars or bars[-1].section != "outro"):
            outro_from = bar
        bars.append(
            Bar(
                valence=float(mood.valence[bar]),
                energy=float(mood.energy[bar]),
                tension=float(mood.tension[bar]),
                density=float(mood.density[bar]),
                style=style,
                section="outro" if is_outro else section,
                bar_in_section=bar - outro_from if is_outro else bar_in_section,
                beats_to_end=left if is_outro else None,
            )
        )
    return bars


def _sections(notes: npt.NDArray[np.void], num_bars: int) -> list[tuple[str, int]]:
    """Section and place in it of every bar: blocks of eight bars unlike the first (layers, pitch classes) are B."""
    block = np.minimum(notes["tick"] // BAR_TICKS, num_bars - 1) // BLOCK_BARS
    features = np.zeros(((num_bars - 1) // BLOCK_BARS + 1, len(LAYERS) + 12))
    np.add.at(features, (block, notes["layer"]), 1)
    pitched = notes["layer"] != midi_reader.DRUMS
    np.add.at(features, (block[pitched], len(LAYERS) + notes["pitch"][pitched] % 12), 1)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
    is_b = features @ features[0] < 0.8
    sections: list[tuple[str, int]] = []
    for bar in range(num_bars):
        name = "B" if is_b[bar // BLOCK_BARS] else "A"
        place = sections[-1][1] + 1 if sections and sections[-1][0] == name else 0
        sections.append((name, place))
    return sections


# --- styles ----------------------------------------------------------------------------------------------------------

_BY_SOURCE: dict[str, dict[str, float]] = {
    "blasphemer": {"suspense": 0.8, "cinematic": 0.2},
    "openscore-orchestra-hauptstimme": {"orchestral": 0.7, "cinematic": 0.3},
    "openscore-string-quartets": {"orchestral": 0.5, "acoustic": 0.5},
    "openscore-lieder": {"acoustic": 1.0},
    "mutopia-pd-ccby": {"acoustic": 1.0},
    "js-fake-chorales": {"acoustic": 0.7, "orchestral": 0.3},
}
# What a file of EasyRPG begins with; the J of its jingles is left out.
_BY_SCENE: dict[str, dict[str, float]] = {
    "battle": {"cinematic": 0.6, "orchestral": 0.4},
    "boss": {"cinematic": 0.6, "suspense": 0.4},
    "castle": {"orchestral": 1.0},
    "church": {"orchestral": 0.5, "ambient": 0.5},
    "dungeon": {"suspense": 0.7, "ambient": 0.3},
    "doubt": {"suspense": 1.0},
    "mystery": {"suspense": 0.6, "ambient": 0.4},
    "game over": {"cinematic": 0.5, "acoustic": 0.5},
    "sorrow": {"acoustic": 0.6, "cinematic": 0.4},
    "inn": {"acoustic": 1.0},
    "town": {"acoustic": 0.6, "upbeat": 0.4},
    "joke": {"upbeat": 1.0},
    "vehicle": {"upbeat": 0.7, "orchestral": 0.3},
    "field": {"orchestral": 0.6, "upbeat": 0.4},
}
_OTHER_SCENE = {"orchestral": 0.6, "upbeat": 0.4}
# The word before the slash in Groove's style column.
_BY_GROOVE: dict[str, dict[str, float]] = {
    "jazz": {"jazz": 1.0},
    "blues": {"jazz": 1.0},
    "neworleans": {"jazz": 0.6, "upbeat": 0.4},
    "hiphop": {"hiphop": 0.7, "lofi": 0.3},
    "soul": {"lofi": 0.4, "jazz": 0.3, "upbeat": 0.3},
    "gospel": {"jazz": 0.5, "upbeat": 0.5},
    "dance": {"house": 1.0},
    "rock": {"upbeat": 0.6, "synthwave": 0.4},
    "punk": {"upbeat": 1.0},
    "country": {"acoustic": 0.5, "upbeat": 0.5},
}


def style_weights(
    source: str, path: str, groove_style: str, bpm: float, notes: npt.NDArray[np.void]
) -> npt.NDArray[np.float32]:
    """Style weights [13], sum 1: by set, by scene or style name, for freedoom by tempo and drums."""
    if source == "groove":
        weights = _BY_GROOVE.get(groove_style.split("/")[0], {"upbeat": 1.0})
    elif source == "easyrpg-rtp":
        scene = re.sub(r"^J(?=[A-Z])", "", Path(path).stem).lower()
        weights = next((w for word, w in _BY_SCENE.items() if scene.startswith(word)), _OTHER_SCENE)
    elif source == "freedoom":
        weights = _shooter_style(bpm, notes)
    else:
        weights = _BY_SOURCE[source]
    out = np.zeros(len(STYLES), np.float32)
    for name, weight in weights.items():
        out[STYLES.index(name)] = weight
    return out / out.sum()


def _shooter_style(bpm: float, notes: npt.NDArray[np.void]) -> dict[str, float]:
    """Freedoom's music, from dark drones to metal, by drum hits a second."""
    if not len(notes):
        return {"suspense": 1.0}
    beats = (int(notes["tick"][-1]) + 1) / TICKS_PER_BEAT
    hits_a_second = float((notes["layer"] == midi_reader.DRUMS).sum()) / beats * bpm / 60
    if hits_a_second < 1.0:
        return {"suspense": 0.6, "ambient": 0.2, "cinematic": 0.2}
    if hits_a_second < 4.5:
        return {"suspense": 0.4, "cinematic": 0.4, "synthwave": 0.2}
    return {"cinematic": 0.5, "upbeat": 0.3, "synthwave": 0.2}
