"""Makes the arranger's table of chord progressions. In: two data folders; out: one JSON file. Run offline, by hand:

    python -m engine.training.progressions DATA_FOLDER

reads DATA_FOLDER/free-midi-chords and DATA_FOLDER/mcgill-billboard (SALAMI chord files) and writes
`engine/training/arranger/progressions.json`:

    moods   progressions with mood words (free-midi-chords), as {"loop", "valence", "tension"}: the means of
            `MOOD_VALENCE_TENSION` over the words
    songs   four-bar stretches of pop songs (McGill Billboard; Burgoyne, Wild & Fujinaga 2011) that at least
            `_FEWEST_SONGS` songs in 4/4 share, by kind of section: {kind: {loop: number of songs}}
    moves   how often a chord follows another in such songs, by kind of section: {kind: {chord: {chord: count}}}

A loop is written as chords parted by spaces. A chord is semitones above the tonic, a letter for its triad (M major,
m minor, d diminished, a augmented, s suspended, p power) and, in songs, ":" and its beats: "0M:4 9m:4 5M:4 7M:4".
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from moods.harmony import parse_key

OUT = Path(__file__).parent / "arranger" / "progressions.json"

MOOD_VALENCE_TENSION: dict[str, tuple[float, float]] = {
    "Joyful": (0.9, 0.1), "Triumphant": (0.7, 0.3), "Excited": (0.8, 0.3), "Playful": (0.7, 0.2),
    "Empowered": (0.6, 0.3), "Hopeful": (0.5, 0.15), "Peaceful": (0.5, 0.0), "Relaxed": (0.5, 0.05),
    "Romantic": (0.4, 0.15), "Tender": (0.3, 0.1), "Spiritual": (0.2, 0.15), "Surprised": (0.2, 0.6),
    "Nostalgic": (-0.1, 0.2), "Dramatic": (-0.3, 0.6), "Rebellious": (-0.2, 0.5), "Mysterious": (-0.4, 0.6),
    "Lonely": (-0.7, 0.3), "Sad": (-0.8, 0.3), "Dark": (-0.8, 0.7), "Anguished": (-0.9, 0.8), "Fearful": (-0.8, 0.9),
}  # fmt: skip
"""Each mood word as (valence, tension), after its place in the circumplex of Russell 1980, tension as tense arousal."""

_KINDS = {
    "verse": "verse", "pre-verse": "verse", "chorus": "chorus", "refrain": "chorus", "pre-chorus": "chorus",
    "prechorus": "chorus", "intro": "intro", "pre-intro": "intro", "bridge": "bridge", "solo": "bridge",
    "interlude": "bridge", "trans": "bridge", "outro": "intro", "coda": "intro",
}  # fmt: skip
_FEWEST_SONGS, _FEWEST_MOVES = 2, 6
_BARS = 4

_ROMAN = re.compile(r"([b#]?)(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)(.*)")
_MAJOR_STEPS = {"i": 0, "ii": 2, "iii": 4, "iv": 5, "v": 7, "vi": 9, "vii": 11}
_MINOR_STEPS = {"i": 0, "ii": 2, "iii": 3, "iv": 5, "v": 7, "vi": 8, "vii": 10}


# --- free-midi-chords ------------------------------------------------------------------------------------------------


def _roman_chord(text: str, is_minor: bool) -> str:
    """A roman numeral as a chord of a loop; the numerals of minor progressions are those of natural minor."""
    match = _ROMAN.fullmatch(text)
    assert match, text
    accidental, numeral, suffix = match.groups()
    steps = _MINOR_STEPS if is_minor else _MAJOR_STEPS
    interval = (steps[numeral.lower()] + {"": 0, "b": -1, "#": 1}[accidental]) % 12
    if "dim" in suffix or (not suffix and (is_minor, numeral) in ((True, "ii"), (False, "vii"))):
        triad = "d"
    elif "sus" in suffix:
        triad = "s"
    elif suffix.startswith("m") or (numeral.islower() and not suffix.startswith("M")):
        triad = "m"
    else:
        triad = "M"
    return f"{interval}{triad}"


def read_moods(folder: Path) -> list[dict[str, object]]:
    """All progressions that have mood words, without doubles."""
    families = json.loads((folder / "free-midi-chords-progressions.json").read_text(encoding="utf-8"))
    found: dict[str, dict[str, object]] = {}
    for family, progressions in families.items():
        for progression in progressions:
            feels = [MOOD_VALENCE_TENSION[word] for word in progression["moods"] if word in MOOD_VALENCE_TENSION]
            if feels:
                loop = " ".join(_roman_chord(text, family == "prog_min") for text in progression["roman"])
                valence, tension = (round(sum(values) / len(feels), 3) for values in zip(*feels, strict=True))
                found.setdefault(loop, {"loop": loop, "valence": valence, "tension": tension})
    return list(found.values())


# --- McGill Billboard ------------------------------------------------------------------------------------------------


def _song_chord(symbol: str, tonic: int) -> str | None:
    """A chord symbol ("A:min7/b3") as a chord of a loop; None for silence and bass lines alone."""
    root, _, shorthand = symbol.partition(":")
    shorthand = shorthand.split("/")[0]
    if root in ("N", "X", "*", "&pause") or not shorthand or shorthand == "1" or root[0] not in "ABCDEFG":
        return None
    triad = "M"
    for start, letter in (("min", "m"), ("dim", "d"), ("hdim", "d"), ("aug", "a"), ("sus", "s"), ("5", "p")):
        if shorthand.startswith(start):
            triad = letter
    return f"{(_pitch_class(root) - tonic) % 12}{triad}"


def _pitch_class(name: str) -> int:
    return ("C.D.EF.G.A.B".index(name[0]) + name.count("#") - name.count("b")) % 12


def _song_bars(text: str) -> Iterator[tuple[str, list[list[str | None]]]]:
    """Runs of successive 4/4 bars under one section: (kind of section, bars of chords a beat)."""
    tonic, kind, is_common = 0, "", True
    for line in text.splitlines():
        if line.startswith("# tonic:"):
            tonic = parse_key(line.split(":")[1].strip()).tonic
        elif line.startswith("# metre:"):
            is_common = line.split(":")[1].strip() == "4/4"
        elif "|" in line and "\t" in line:
            head, *cells = line.split("\t", 1)[1].split("|")
            labels = [label.strip() for label in head.split(",")]
            kind = next((_KINDS.get(label, "") for label in labels if label.islower()), kind)
            bars: list[list[str | None]] = []
            for cell in cells[:-1]:
                bars.append(_beats(cell.split(), tonic))
            if is_common and kind:
                yield kind, bars


def _beats(symbols: list[str], tonic: int) -> list[str | None]:
    """The chord of each beat of a bar; a dot repeats the chord before it."""
    chords: list[str | None] = []
    for symbol in symbols:
        chords.append(chords[-1] if symbol == "." and chords else _song_chord(symbol, tonic))
    return [chord for chord in chords for _ in range(4 // len(chords))] if len(chords) in (1, 2, 4) else [None] * 4


def _as_loop(beats: list[str | None]) -> str:
    runs: list[list] = []
    for chord in beats:
        if runs and runs[-1][0] == chord:
            runs[-1][1] += 1
        else:
            runs.append([chord, 1])
    return " ".join(f"{chord}:{length}" for chord, length in runs)


def read_songs(folder: Path) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, dict[str, int]]]]:
    """`songs` and `moves` of the table."""
    loops: dict[str, Counter[str]] = defaultdict(Counter)
    moves: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for path in sorted(folder.glob("billboard-2.0-salami_chords/*/salami_chords.txt")):
        in_song: dict[str, set[str]] = defaultdict(set)
        for kind, bars in _song_bars(path.read_text(encoding="utf-8")):
            for first in range(0, len(bars) - _BARS + 1, _BARS):
                beats = [chord for bar in bars[first : first + _BARS] for chord in bar]
                if None not in beats:
                    in_song[kind].add(_as_loop(beats))
        for kind, found in in_song.items():
            loops[kind].update(found)
            for loop in found:
                chords = [chord.split(":")[0] for chord in loop.split()]
                for chord, following in zip(chords, [*chords[1:], chords[0]], strict=True):
                    moves[kind][chord][following] += chord != following
    songs = {
        kind: {loop: n for loop, n in counts.most_common() if n >= _FEWEST_SONGS} for kind, counts in loops.items()
    }
    kept = {
        kind: {
            chord: likely
            for chord, following in table.items()
            if (likely := {name: n for name, n in following.most_common() if n >= _FEWEST_MOVES})
        }
        for kind, table in moves.items()
    }
    return songs, kept


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the arranger's table of chord progressions.")
    parser.add_argument("data", type=Path, help="folder that holds free-midi-chords and mcgill-billboard")
    folder = parser.parse_args().data
    songs, moves = read_songs(folder / "mcgill-billboard")
    table = {"moods": read_moods(folder / "free-midi-chords"), "songs": songs, "moves": moves}
    OUT.write_text(json.dumps(table, indent=0, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
