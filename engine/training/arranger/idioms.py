"""The thirteen idioms as data: what each style plays, in rows (see rhythm.py). Remembers nothing; any thread.

Tempo, scales, density and the energy at which layers enter are those of `moods.mood.styles()`, as in live music.

Bass tones: R root, 5 fifth, 3 third, 7 seventh, 8 octave, a approach to the next root, w a step of the scale towards it.
Rows of drums are followed by energy (hats by density too), all other rows by density and some energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.training.arranger.rhythm import STRAIGHT, SWUNG_EIGHTHS, SWUNG_SIXTEENTHS, Grid

Groove = Mapping[str, str]
"""Name of a drum sound to its row."""


@dataclass(frozen=True, slots=True)
class BassLine:
    row: str
    tones: str
    gate: float = 0.9
    """Share of the time to the next note that a note sounds."""


@dataclass(frozen=True, slots=True)
class Comp:
    """How the chords are struck."""

    row: str
    gate: float = 1.0
    strum_ticks: int = 0
    """Delay from one voice to the next above it."""


@dataclass(frozen=True, slots=True)
class Texture:
    """`kind` is a function of texture.py; `row` its rhythm; `order` the walk through the chord, lowest tone 0."""

    kind: str
    row: str
    order: str = "0123"
    gate: float = 1.0


@dataclass(frozen=True, slots=True)
class Lead:
    """`cells` are beats of four steps that motifs are made of; `shapes` say which cell is on which of eight beats.

    A dash in a shape is a beat in which no note begins. A space parts the cells, shapes, contours and figures.
    """

    cells: str
    shapes: str = "abacabc- aabaaab- ab-cabc- abcbabc- abacaba- aba-abc- abababc- abacacb-"
    hold_ticks: int = 48
    gate: float = 0.92
    rests: float = 0.15
    """Chance that an open ending stays silent."""
    register: int = 69
    contours: str = "arch arch fall wave rise"
    height: tuple[float, float] = (2.5, 5.0)
    """Steps from the lowest to the highest tone of a motif."""
    ornaments: float = 0.1
    """Share of the notes that may have a figure."""
    figures: str = "grace turn"
    """Grace note above, slide from two steps below, turn after, octave leap, arpeggio of the chord."""
    folk: bool = False
    """Only the five steps of the scale without half-tone neighbours."""
    approaches: bool = False
    """Leads into strong beats by a neighbour of their tone."""
    late_ticks: int = 0
    """How far behind the beat it plays."""


@dataclass(frozen=True, slots=True)
class Idiom:
    name: str
    feel: tuple[float, float, float]
    """Where its valence, energy and tension are at home."""
    colours: tuple[str, ...]
    """Chord colours, keys of harmony.COLOURS."""
    pools: tuple[str, ...]
    """Where its chords come from: keys of loops.PROGRESSIONS, "moods" and "songs"."""
    bass: tuple[BassLine, ...]
    comps: tuple[Comp, ...]
    textures: tuple[Texture, ...]
    lead: Lead
    grooves: tuple[Groove, ...] = ()
    hand: str = ""
    """Kind of playing in grooves.json that gives the drums their timing and accents; "" is a machine."""
    fill_kind: str = "rock"
    """Kind of playing whose fills it takes."""
    kit: Mapping[str, str] = field(default_factory=dict)
    """The style's sound for a sound of a fill."""
    hit: tuple[str, ...] = ("kick", "crash")
    """What strikes together on a hit."""
    grid: Grid = STRAIGHT
    chord_bars: tuple[float, ...] = (1,)
    """Bars that a chord lasts."""
    cadence: float = 0.6
    """How often a phrase closes with a cadence."""
    voices: int = 3
    voicings: tuple[str, ...] = ("close", "open")
    """Kinds of harmony.VOICINGS."""
    bass_varies: bool = False
    """A bass line is drawn for each bar, not for each section."""
    bass_runs: bool = True
    """Phrases of busy bars close with a run to the next root."""
    late_snare_ticks: int = 0
    crash: bool = True


SONG_CELLS = "0... 0.0. 0.3. 0.2. 0.57 0..3 0.24"
LONG_CELLS = "0... 0.0. 0.3. 2... 0.4."
SYNCOPATED_CELLS = "0..2 ..02 0.3. ..24 0.25 .2.4 0..."
PULSE_CELLS = "0.2. 0.3. 0.24 0..2 0.0. 0... 0425"

# What a fill's sounds become where the style has others; "" leaves a sound out.
HAND_KIT = {
    "snare": "high hand drum", "rim": "high hand drum", "high tom": "high hand drum", "mid tom": "low hand drum",
    "low tom": "low hand drum", "kick": "low hand drum", "closed hat": "shaker", "open hat": "shaker", "pedal hat": "", "ride": "",
    "ride bell": "",
}  # fmt: skip
TOM_KIT = {
    "snare": "mid tom", "rim": "mid tom", "kick": "low tom", "closed hat": "", "open hat": "", "pedal hat": "", "ride": "",
    "ride bell": "",
}  # fmt: skip
BAND_KIT = {"kick": "low tom", "closed hat": "", "open hat": "", "pedal hat": "", "ride": "", "ride bell": ""}
GONG_HIT, KIT_HIT, SOFT_HIT = ("low tom", "crash"), ("kick", "crash"), ("kick", "ride bell")

LOFI = Idiom(
    name="lofi", feel=(0.1, 0.38, 0.12), grid=SWUNG_SIXTEENTHS, late_snare_ticks=1, crash=False,
    colours=("seventh", "ninth", "ninth"), pools=("jazz", "modal", "moods", "songs"), chord_bars=(1, 1, 0.5, 2), voices=4,
    cadence=0.4, voicings=("close", "drop 2", "quartal"),
    hand="hiphop", fill_kind="funk", hit=SOFT_HIT,
    grooves=(
        {"kick": "0......5..0....8", "snare": "....0..8.7..0..9", "closed hat": "0.2.0.2.0.270.24", "open hat": "..............8."},
        {"kick": "0.....4...0.6...", "rim": "....0.......0..7", "closed hat": "0.1.0.160.1.0.15", "shaker": "...8...8...8...8"},
        {"kick": "0..6...3.0....5.", "snare": "....0....8..0.8.", "closed hat": "2.0.2.0.2.0.2.06"},
    ),
    bass=(
        BassLine("0......4..2...6.", "R......R..5...a.", 0.95), BassLine("0.....3...1..6..", "R.....8...5..a..", 0.8),
        BassLine("0...5...3..6..8.", "R...5...R..7..a.", 0.9),
        BassLine("0......4..2...6.", "R......R..w...w.", 0.95), BassLine("0..5....1....4..", "R..8....5....w..", 0.9),
    ),
    comps=(
        Comp("0.........5.....", 1.0, 1), Comp("0.....2....6....", 0.8), Comp("0..4....1...6...", 0.6, 1),
        Comp("7.0...8.3..5..69", 0.8),
    ),
    textures=(
        Texture("arpeggio", "0.7.4.8.2.6.4.9.", "02132032", 2.0), Texture("sparkle", "....1.....2...5. ......0.....4..6", gate=2.0),
        Texture("counter", "0.......3......."),
    ),
    lead=Lead("0... 0.0. ..0. 0..0 ..00 00.. 0.2.", "-ab-ab-- abc-ab-- -aba-ab- a-bca-b- -ab-abc- ab-cab--", hold_ticks=36, rests=0.3, register=68, contours="fall arch wave", height=(2, 4), ornaments=0.12, folk=True, late_ticks=2),
)  # fmt: skip

AMBIENT = Idiom(
    name="ambient", feel=(0.2, 0.18, 0.15), crash=False,
    colours=("ninth", "open", "seventh", "triad"), pools=("modal", "static", "moods", "songs", "songs"), chord_bars=(2, 2, 4, 1), voices=4,
    cadence=0.15, voicings=("open", "spread", "quartal"),
    hand="latin", fill_kind="latin", kit=HAND_KIT, hit=("low hand drum", "ride"),
    bass_runs=False,
    grooves=(
        {"shaker": "..0...0...0...0.", "low hand drum": "0.........6.....", "ride": "0.......5......."},
        {"kick": "0...............", "pedal hat": "....0.......0..."},
    ),
    bass=(
        BassLine("0...............", "R..............."), BassLine("0.......5.......", "R.......5......."),
        BassLine("0.............4.", "R.............5."),
        BassLine("0...........3...", "R...........8..."), BassLine("........0.......", "........R......."),
    ),
    comps=(Comp("0..............."), Comp("0.......7.......", 1.0), Comp("0.....8.5.....7.", 1.0, 3)),
    textures=(
        Texture("sparkle", "0.....4.....6... ......0...3..... ....1....5...... ..........0..6..", gate=4.0), Texture("arpeggio", "0...3...1...3.6.", "03124231", 3.0),
        Texture("pad", "0..............."), Texture("arpeggio", "0.5.3.5.2.5.3.58", "0213", 2.0), Texture("counter", "0.......5....... ....2.......6..."),
    ),
    lead=Lead(LONG_CELLS, "a-b-a-b- a-b-c--- ab--ab-- a-bca-b- ab-ca---", hold_ticks=84, rests=0.3, register=69, gate=1.0, contours="arch rise fall", height=(2, 4.5), ornaments=0.0),
)  # fmt: skip

CINEMATIC = Idiom(
    name="cinematic", feel=(-0.1, 0.55, 0.35),
    colours=("triad", "triad", "open", "power"), pools=("epic", "epic", "moods", "moods", "songs"), chord_bars=(1, 1, 2), voices=4,
    cadence=0.5, voicings=("open", "spread"),
    hand="rock", fill_kind="rock", kit=TOM_KIT, hit=GONG_HIT,
    grooves=(
        {"low tom": "0.....3.0.5.3.6.", "mid tom": "...7....4...7.85", "kick": "0.......2.......", "low hand drum": "..4...4...4...4."},
        {"kick": "0.......1.....5.", "snare": "....3.......3..7", "low tom": "..50..5...50..56"},
        {"low hand drum": "0.36..3.0.36.3.6", "low tom": "0.......1...4.4.", "tambourine": "..6...6...6...6."},
    ),
    bass=(
        BassLine("0.......3.......", "R.......R.......", 1.0), BassLine("0.4.3.4.2.4.3.4.", "R.R.R.R.R.R.R.R.", 0.8),
        BassLine("0.....3...4.2...", "R.....R...5.8...", 0.9),
        BassLine("0..0..0.0..0..0.", "R..R..R.R..R..R.", 0.7), BassLine("0.......2...4...", "R.......w...w...", 1.0), BassLine("0...............", "R...............", 1.0),
    ),
    comps=(Comp("0..............."), Comp("0.......4......."), Comp("0.7.5.7.3.7.5.76", 0.9)),
    textures=(
        Texture("ostinato", "0.1.2.1.0.1.2.15", "0010"), Texture("arpeggio", "0.2.1.2.0.2.1.28", "0121"),
        Texture("ostinato", "0..2..0..2..0.2.", "0102"), Texture("tremolo", "0829182908291829"),
        Texture("counter", "0.......2......."),
    ),
    lead=Lead(LONG_CELLS + " 0.3. 0..3", "a-b-acb- a-bca-b- ab-cab-- a-b-abc- abacab--", hold_ticks=66, rests=0.15, register=67, gate=1.0, contours="rise rise arch", height=(4, 7), ornaments=0.06),
)  # fmt: skip

SUSPENSE = Idiom(
    name="suspense", feel=(-0.65, 0.4, 0.75), crash=False,
    colours=("triad", "open", "seventh"), pools=("static", "modal", "epic", "moods"), chord_bars=(2, 1, 2, 4), voices=3,
    cadence=0.15, voicings=("close", "open"),
    hand="latin", fill_kind="latin", kit=TOM_KIT, hit=GONG_HIT,
    bass_runs=False,
    grooves=(
        {"low tom": "0..........5..6.", "low hand drum": "......4...7....8", "rim": "....8.......7..."},
        {"low hand drum": "0..3..0..3..5.5.", "low tom": "0...............", "shaker": "..7...7...7...7."},
        {"kick": "00......4.......", "closed hat": "..3.5.3...3.5.37", "low tom": "............6.66"},
    ),
    bass=(
        BassLine("0.3.1.3.0.3.1.3.", "R.R.R.R.R.R.R.R.", 0.6), BassLine("0...............", "R...............", 1.0),
        BassLine("0..5..2...4.....", "R..R..R...a.....", 0.7), BassLine("00......33......", "RR......RR......", 0.6),
        BassLine("0...0...0...0...", "R...R...R...R...", 0.5), BassLine("0.......0..4..6.", "R.......R..8..R.", 0.9),
    ),
    comps=(Comp("0..............."), Comp("........0.......", 1.0), Comp("0.....5...4...67", 0.3)),
    textures=(
        Texture("ostinato", "0.2.0.2.0.2.0.25", "0001", 0.6), Texture("pulse", "0.2.0.2.0.2.0.27", gate=0.5),
        Texture("tremolo", "0717071707170757"), Texture("sparkle", "......0.......4. ................ ..........1..5..", gate=2.0),
        Texture("ostinato", "0..0..0.0..3..6.", "0102", 0.7),
    ),
    lead=Lead("0... ..0. 0..0 0.0. 00.. 0...", "a-b-ab-- ab--ab-- a-aba-b- ab-ca-b- --ab-ab- a--bab--", hold_ticks=42, rests=0.3, register=65, gate=1.0, contours="level fall level", height=(1, 2.5), ornaments=0.05),
)  # fmt: skip

SYNTHWAVE = Idiom(
    name="synthwave", feel=(-0.05, 0.65, 0.25),
    colours=("triad", "triad", "open", "seventh"), pools=("pop", "epic", "moods", "songs"), chord_bars=(1, 1, 2), voices=4,
    cadence=0.4, voicings=("close", "open"),
    fill_kind="rock",
    bass_runs=False,
    grooves=(
        {"kick": "0.....7.0.....8.", "snare": "....0.......0...", "closed hat": "0.2.0.2.0.2.0.28", "clap": "....6.......6..."},
        {"kick": "0...0...0...0...", "snare": "....1.......1...", "closed hat": "3.3.3.3.3.3.3.3.", "open hat": "..6...6...6...6."},
        {"kick": "0.....4...0..7..", "snare": "....0.......0..9", "closed hat": "0626062606260626", "tambourine": "..7...7...7...7."},
    ),
    bass=(
        BassLine("0.2.0.2.0.2.0.2.", "R.R.R.R.R.R.R.R.", 0.75), BassLine("0.3.1.3.0.3.1.3.", "R.8.R.8.R.8.R.8.", 0.7),
        BassLine("0.1.2.1.0.1.2.16", "R.R.R.R.R.R.8.5a", 0.75), BassLine("..0.0.0...0.0.05", "..R.R.R...R.R.RR", 0.8),
        BassLine("0.0.0.0.0.0.0.0.", "R.R.8.R.R.R.8.R.", 0.7), BassLine("0..0..0.0..0..0.", "R..R..8.R..R..5.", 0.75),
    ),
    comps=(Comp("0..............."), Comp("0.......5......."), Comp("0..3..1..75.4.68", 0.7)),
    textures=(
        Texture("arpeggio", "0627162706271627", "0123", 0.8), Texture("arpeggio", "0.3.1.3.0.3.1.37", "01232", 0.8),
        Texture("arpeggio", "0.40.4.00.40.4.0", "0321", 0.8), Texture("pulse", "..0...0...0...06", gate=0.6),
    ),
    lead=Lead(SONG_CELLS + " 0..3", hold_ticks=60, rests=0.15, register=69, gate=0.97, height=(3, 6), figures="turn octave"),
)  # fmt: skip

HOUSE = Idiom(
    name="house", feel=(0.35, 0.72, 0.15),
    colours=("seventh", "ninth", "triad"), pools=("modal", "jazz", "moods", "songs"), chord_bars=(1, 1, 2, 0.5), voices=4,
    cadence=0.25, voicings=("close", "drop 2"),
    fill_kind="funk",
    grooves=(
        {"kick": "0...0...0...0...", "clap": "....2.......2...", "open hat": "..1...1...1...1.", "closed hat": "5..75..75..75..7"},
        {"kick": "0...0...0...0..9", "clap": "....1.......1..8", "closed hat": "..0...0...0...0.", "shaker": "3535353535353535"},
        {"kick": "0...0...0...0...", "snare": "....3.......3...", "open hat": "..2...2...2...2.", "ride": "6.6.6.6.6.6.6.6.", "rim": "...4..4....4...."},
    ),
    bass=(
        BassLine("..0...0...0...0.", "..R...R...R...R.", 0.7), BassLine("..0..5..0..4..2.", "..R..R..8..R..a.", 0.7),
        BassLine("0..2..1.0..2..36", "R..R..8.R..R..57", 0.6),
        BassLine("..0..0....0..2..", "..R..8....R..8..", 0.6), BassLine("0.....0...0.1...", "R.....R...8.5...", 0.6), BassLine("..02..02..02..02", "..R8..R8..R8..R8", 0.5),
    ),
    comps=(
        Comp("..0..3.70..4.86.", 0.35), Comp("0..1..3.7.2..6.8", 0.4), Comp("..0...2...0...3.", 0.4),
        Comp("0.....1.....3...", 0.5),
    ),
    textures=(
        Texture("stabs", "...0..2....0..4.", gate=0.5), Texture("arpeggio", "0727372717273725", "0213", 0.7),
        Texture("pad", "0..............."), Texture("arpeggio", "0..0..0..0..0.37", "0123", 0.6),
    ),
    lead=Lead(SYNCOPATED_CELLS, "ab-cabc- a-b-a-bc aba-aba- ab-cab-c aab-aab-", hold_ticks=30, rests=0.2, register=70, gate=0.85, contours="level wave fall", height=(1.5, 3.5), ornaments=0.05, folk=True),
)  # fmt: skip

CHIPTUNE = Idiom(
    name="chiptune", feel=(0.45, 0.7, 0.15),
    colours=("triad",), pools=("pop", "epic", "moods", "songs", "jazz"), chord_bars=(1, 1, 0.5, 2), voices=3,
    crash=False,
    cadence=0.7, voicings=("close",),
    fill_kind="rock", hit=("kick", "snare"),
    grooves=(
        {"kick": "0.....4.0.......", "snare": "....0.......0..6", "closed hat": "2.2.2.2.2.2.2.25"},
        {"kick": "0...3...0.4.....", "snare": "....0.......0.7.", "closed hat": "0606060606060606"},
        {"kick": "0..3..0.0..3..5.", "snare": "....0.......0.57"},
    ),
    bass=(
        BassLine("0.1.0.1.0.1.0.1.", "R.8.R.8.R.8.R.8.", 0.6), BassLine("0...2...0.3.2...", "R...5...R.R.5...", 0.6),
        BassLine("0.1.3.1.0.1.3.15", "R.R.8.R.5.5.8.5a", 0.6),
        BassLine("0.1.0.1.0.1.0.1.", "R.5.8.5.R.5.8.5.", 0.6), BassLine("0.2.0.2.0.2.0.2.", "R.R.w.w.w.w.w.w.", 0.6),
    ),
    comps=(Comp("0828173808281739", 0.5), Comp("..0...0...0...0.", 0.6), Comp("0..1..1.0.61.71.", 0.5)),
    textures=(
        Texture("arpeggio", "0739073907390739", "0123", 0.7), Texture("arpeggio", "0.54.06.0.54.06.", "02132", 0.7),
        Texture("arpeggio", "0.4.3.5.1.4.3.6.", "0212", 0.6), Texture("stabs", "..0...4...1...5.", gate=0.5),
    ),
    lead=Lead(PULSE_CELLS, "abacabac abacabdc ab-cabc- abcdabc- aabaacab", hold_ticks=36, rests=0.08, register=71, gate=0.9, contours="wave arch rise fall", height=(4, 7), ornaments=0.08, figures="arpeggio arpeggio octave grace"),
)  # fmt: skip

ACOUSTIC = Idiom(
    name="acoustic", feel=(0.4, 0.4, 0.1),
    colours=("triad", "triad", "open", "seventh"), pools=("pop", "folk", "songs", "songs", "moods"), chord_bars=(1, 1, 0.5), voices=4,
    crash=False,
    cadence=0.7, voicings=("open", "drop 2", "close"),
    hand="latin", fill_kind="latin", kit=HAND_KIT, hit=("low hand drum", "tambourine"),
    grooves=(
        {"low hand drum": "0.....4...1....7", "high hand drum": "....0..8....0.8.", "shaker": "1.2.1.2.1.2.1.27"},
        {"kick": "0.......0.4.....", "rim": "....0.......0...", "shaker": "0426042604260426"},
        {"kick": "0.....5.0.......", "snare": "....2.......2...", "tambourine": "..3.0.3...3.0.3."},
    ),
    bass=(
        BassLine("0.......1.......", "R.......5......."), BassLine("0.....3.1...5...", "R.....5.R...a..."),
        BassLine("0...4...2...4...", "R...R...5...a..."),
        BassLine("0.......1...3...", "R.......5...w..."), BassLine("0.....2.0.....4.", "R.....R.5.....w.", 0.9), BassLine("0...3...1...3...", "R...w...w...w..."),
    ),
    comps=(
        Comp("0...3.4...2.3.5.", 0.9, 1), Comp("0.......2.....5.", 1.0, 2), Comp("0.74..2.583.2.68", 0.8, 1),
    ),
    textures=(
        Texture("arpeggio", "0.4.2.5.1.4.3.6.", "0213", 2.0), Texture("arpeggio", "0.5.3.5.1.5.3.58", "01323123", 2.0),
        Texture("arpeggio", "0..4..2.1..5..36", "0123", 2.0), Texture("counter", "0.......2......."),
    ),
    lead=Lead(SONG_CELLS, hold_ticks=42, rests=0.2, register=68, height=(2, 4), ornaments=0.12, figures="grace slide", folk=True),
)  # fmt: skip

ORCHESTRAL = Idiom(
    name="orchestral", feel=(0.15, 0.5, 0.25),
    colours=("triad", "triad", "triad", "seventh"), pools=("classical", "classical", "epic", "songs", "moods"), chord_bars=(1, 1, 0.5, 2),
    voices=4,
    cadence=0.85, voicings=("open", "spread", "close"),
    hand="rock", fill_kind="rock", kit=BAND_KIT, hit=GONG_HIT,
    grooves=(
        {"low tom": "0...............", "snare": "....4.46....4.4.", "tambourine": "..6...6...6...6."},
        {"kick": "0.......3.......", "snare": "0.3.2.330.3.2.33", "low tom": "0.......2...5..."},
        {"low tom": "0.......3...4.55", "ride bell": "....5.......5..."},
    ),
    bass=(
        BassLine("0.......2.......", "R.......5......."), BassLine("0...3...1...3...", "R...3...5...a...", 0.7),
        BassLine("0.......3...5...", "R.......3...a..."),
        BassLine("0...2...1...2...", "R...w...w...w...", 0.85), BassLine("0.......1...2...", "R.......8...5..."), BassLine("0..............."  , "R..............."),
    ),
    comps=(Comp("0.......3......."), Comp("0..............."), Comp("....0.......0...", 0.4), Comp("0.6.3.8.1.6.3.7.", 0.6)),
    textures=(
        Texture("arpeggio", "0.1.2.1.0.1.2.17", "0121", 0.9), Texture("tremolo", "0828072808280728"),
        Texture("counter", "0.......1...4..."), Texture("arpeggio", "0314031403140314", "01232101", 0.9),
        Texture("pulse", "..0...0...0...0.", gate=0.4), Texture("runs", "....4.....3...5. ........02133214 ................ ....2.4.02133214"),
    ),
    lead=Lead(SONG_CELLS + " 0... 0...", hold_ticks=66, rests=0.15, register=69, gate=0.98, height=(3, 6), ornaments=0.12),
)  # fmt: skip

JAZZ = Idiom(
    name="jazz", feel=(0.25, 0.5, 0.25), grid=SWUNG_EIGHTHS,
    colours=("seventh", "seventh", "ninth"), pools=("jazz", "jazz", "modal", "songs", "moods"), chord_bars=(1, 0.5, 1, 2), voices=4,
    bass_varies=True, crash=False,
    cadence=0.75, voicings=("drop 2", "quartal", "close"),
    hand="jazz", fill_kind="jazz", hit=("kick", "ride"),
    grooves=(
        {"ride": "0...0.2.0...0.2.", "pedal hat": "....0.......0...", "kick": "3.......7.......", "snare": "......6.......8."},
        {"closed hat": "0...0.3.0...0.3.", "rim": "............1...", "snare": "..7....5..7..6..", "kick": "2.........6....."},
        {"ride": "0...2.4.0...2.4.", "pedal hat": "....0.......0...", "ride bell": "7.......8.......", "snare": "....8.6.....5.8."},
    ),
    bass=(
        BassLine("0...2...1...2...", "R...3...5...a..."), BassLine("0...3...1...2...", "R...5...8...a..."),
        BassLine("0...2.6.1...2...", "R...R.5.7...a..."), BassLine("0.......1...4...", "R.......5...a..."),
        BassLine("0...0...0...0...", "R...w...w...a..."), BassLine("0...0...0...0.4.", "R...5...w...w.a."), BassLine("0...0...0...0...", "R...8...w...w..."), BassLine("0...0...0...0...", "R...3...5...a..."), BassLine("0.....4.1...2...", "R.....5.8...w..."),
    ),
    comps=(
        Comp("0.....1.........", 0.6), Comp("..0.........3...", 0.5), Comp("0...6...7.2...5.", 0.6), Comp("..7...0.5...4.6.", 0.5),
    ),
    textures=(
        Texture("counter", "0.......2......."), Texture("stabs", "......0.....3.5.", gate=0.6),
        Texture("arpeggio", "0...1.3.0...2.4.", "02134231", 1.2),
    ),
    lead=Lead("0.2. ..2. 0.3. 0..4 0.2. ..0. 2.4. 0.46", "-abcab-- abcbad-- -ab-cab- abc-abd- --abacb- abcbabc-", hold_ticks=30, rests=0.2, register=68, gate=0.9, contours="wave arch fall", height=(4, 7), ornaments=0.15, approaches=True, late_ticks=1),
)  # fmt: skip

UPBEAT = Idiom(
    name="upbeat", feel=(0.7, 0.75, 0.08),
    colours=("triad", "triad", "open"), pools=("pop", "folk", "songs", "songs", "moods"), chord_bars=(1, 1, 0.5), voices=4,
    cadence=0.6, voicings=("close", "open"),
    hand="rock", fill_kind="rock",
    grooves=(
        {"kick": "0...0...0...0...", "clap": "....0.......0...", "tambourine": "..2...2...2...2.", "closed hat": "4646464646464646"},
        {"kick": "0.....3.0.4.....", "snare": "....0.......0..8", "closed hat": "0.1.0.1.0.1.0.16", "clap": "....5.......5..."},
        {"kick": "0..5..0...0.4...", "snare": "....0.......0...", "open hat": "..5...5...5...5.", "shaker": "2525252525252525"},
    ),
    bass=(
        BassLine("0.2.1.2.0.2.1.2.", "R.R.R.R.R.R.5.a.", 0.7), BassLine("0.....1.0...3.4.", "R.....R.5...8.a.", 0.8),
        BassLine("0..2..1.0..2..4.", "R..R..8.R..5..a.", 0.7),
        BassLine("0.1.0.1.0.1.0.1.", "R.R.R.R.5.5.w.w.", 0.75), BassLine("0...2.1.0...2.1.", "R...8.R.R...8.w.", 0.7),
    ),
    comps=(Comp("0.4.2.5.1.4.3.58", 0.5), Comp("6.1.7.2.6.1.7.25", 0.5, 1), Comp("0..2.73.1..28.4.", 0.6), Comp("0.......3.....5.")),
    textures=(
        Texture("arpeggio", "0.1.0.1.0.1.0.16", "0123", 0.8), Texture("pulse", "0.1.0.1.0.1.0.1.", gate=0.6),
        Texture("stabs", "..0...0...0..2..", gate=0.4), Texture("arpeggio", "0..1..0..1..0.2.", "0213", 0.8),
    ),
    lead=Lead(SONG_CELLS + " 0.2. ..2.", hold_ticks=42, rests=0.12, register=70, gate=0.92, height=(2.5, 4.5), folk=True),
)  # fmt: skip

HIPHOP = Idiom(
    name="hiphop", feel=(-0.15, 0.55, 0.25), grid=SWUNG_SIXTEENTHS, late_snare_ticks=1, crash=False,
    colours=("seventh", "triad", "ninth"), pools=("modal", "jazz", "static", "moods", "songs"), chord_bars=(1, 2, 2), voices=3,
    cadence=0.25, voicings=("close", "drop 2"),
    hand="hiphop", fill_kind="hiphop",
    grooves=(
        {"kick": "0..5...4..0..7..", "snare": "....0..9.8..0...", "closed hat": "0.1.0.1.0.1.0.16", "open hat": "..............7."},
        {"kick": "0......20.3.....", "clap": "....0.......0...", "closed hat": "0.2.0.250.2.0.55"},
        {"kick": "0.4.......0..5..", "snare": "....0.......0..8", "closed hat": "0515051605150577", "rim": "......6......8.."},
    ),
    bass=(
        BassLine("0......3..1.....", "R......R..R.....", 0.95), BassLine("0..5......1..4..", "R..R......5..a..", 0.9),
        BassLine("0.....2.3.....6.", "R.....R.8.....a.", 0.9),
        BassLine("0..........2....", "R..........8....", 0.95), BassLine("0.....1......3..", "R.....5......w..", 0.9),
    ),
    comps=(Comp("0.........4.....", 0.6), Comp("..0..2....0..5..", 0.4), Comp("0..2..3...6..5.8", 0.5), Comp("0...............")),
    textures=(
        Texture("stabs", "......0.......3.", gate=0.6), Texture("arpeggio", "0.2.1.2.0.3.2.5.", "0212", 0.9),
        Texture("ostinato", "0..1..2...0..3..", "0120", 0.7), Texture("sparkle", "..0.......3...5. ......2.......6.", gate=2.0),
    ),
    lead=Lead(SYNCOPATED_CELLS, "ab-cab-- a-bca-b- -ab--abc ab-ca-b- a-bca-c-", hold_ticks=30, rests=0.3, register=67, gate=0.9, contours="level fall wave", height=(1.5, 3.5), folk=True, late_ticks=1),
)  # fmt: skip

GUOFENG = Idiom(
    name="guofeng", feel=(0.1, 0.4, 0.15), crash=False,
    colours=("open", "open", "triad"), pools=("folk", "modal", "moods", "songs"), chord_bars=(1, 2, 1), voices=3,
    cadence=0.6, voicings=("open", "spread", "quartal"),
    hand="latin", fill_kind="latin", kit=TOM_KIT | {"snare": "high hand drum"}, hit=("low tom", "ride bell"),
    bass_runs=False,
    grooves=(
        {"low hand drum": "0.....3.0...5...", "high hand drum": "....2..6....2.67", "rim": "..8...8...8...8."},
        {"low tom": "0.......3.....6.", "high hand drum": "...4..2....4..25", "shaker": "1.3.1.3.1.3.1.3."},
        {"low tom": "0...............", "low hand drum": "....3.......3.66", "ride bell": "........5......."},
    ),
    bass=(BassLine("0...............", "R..............."), BassLine("0.......4.......", "R.......5......."), BassLine("0.........3.....", "R.........8....."),
        BassLine("0.....3.....4...", "R.....5.....8..."), BassLine("0.......2...4...", "R.......5...w..."),
    ),
    comps=(Comp("0...............", 1.0, 2), Comp("0.......4.......", 1.0, 2), Comp("0...7.4...5...6.", 0.9, 1)),
    textures=(
        Texture("arpeggio", "0.1.2.1.0.2.1.26", "01234321", 2.0), Texture("runs", "................ ........01122334 ....5....4..3.6. ....0.2.01121324", gate=1.5),
        Texture("arpeggio", "0...1.2.0.2.1.3.", "02143", 2.0), Texture("sparkle", "0.....2...4...5. ....1...3....6..", gate=3.0),
    ),
    lead=Lead("0... 0.3. 0..3 0.35 ..2. 0... 03.5", hold_ticks=60, rests=0.15, register=70, gate=1.0, height=(2.5, 5), ornaments=0.12, figures="grace slide slide turn", folk=True),
)  # fmt: skip

IDIOMS: dict[str, Idiom] = {
    idiom.name: idiom
    for idiom in (
        LOFI, AMBIENT, CINEMATIC, SUSPENSE, SYNTHWAVE, HOUSE, CHIPTUNE, ACOUSTIC, ORCHESTRAL, JAZZ, UPBEAT, HIPHOP, GUOFENG,
    )
}  # fmt: skip
