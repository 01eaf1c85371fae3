"""The composer: intents in, notes out, for many slots in one batch.

Plans a bar ahead and hands over a beat at a time. Remembers, per slot, the beats composed ahead, what was composed
lately, the trunk's keys and values and, for every beat that may still be revised, what the row was like where the beat
began. One thread calls it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.notes import NOTE, TICKS_PER_BEAT
from engine.score import sampling
from engine.score.memory import Memory
from engine.score.recall import add_lane, next_recalled
from engine.score.rules import beat_rules
from engine.score.stinger import Chord, figure_seed, stinger_notes
from engine.score.trunk import Trunk
from engine.score.vocabulary import (
    BAR,
    BEAT,
    CONDITION,
    DRUM_NOTES,
    DURATIONS,
    FIRST_DRUM,
    FIRST_LAYER,
    FIRST_PITCH,
    MOOD_GROUPS,
    NUM_QUALITIES,
    condition,
    hide,
    tonic_shift,
)
from engine.score.watchdog import find_fault, is_loop
from moods.control import Opening
from moods.controller import Controller
from moods.intent import BEATS_PER_BAR, LAYERS, MUTE_DB, NO_RECALL, Intent

BEATS_AHEAD = BEATS_PER_BAR
"""How far the plan reaches beyond the beat that is handed over next."""
GUIDANCE = 1.5
"""How far beyond what is asked the mood is followed; 1: as the model has learnt it, without a second row."""
FAITH = 2.5
"""How much more than it has learnt to, in logits, the model leans towards what it is to repeat to the letter."""
MAX_ATTEMPTS = 4
"""How often a beat at fault is composed again before it is let go."""

_WARMING = 0.3
"""By what share of the asked temperature each attempt is warmer than the one before."""
_FILLED_FROM = 2
"""The attempt from which somebody has to play: a drone that stands still is left by a fill."""


def num_rows(max_slots: int) -> int:
    """Rows of the trunk that a composer of `max_slots` uses: each slot as asked, then each as if no mood were asked."""
    return 2 * max_slots


@dataclass(frozen=True, slots=True)
class ComposedBeat:
    """What one beat contains. `notes` count their ticks from the beginning of the beat."""

    index: int
    notes: npt.NDArray[np.void]  # [N] NOTE
    chord_root: int  # pitch class, -1 where no chord has sounded yet
    chord_quality: int


_LEAD = LAYERS.index("lead")

_CARRIED = {
    "position": 0,
    "attempt": 0,
    "chord": -1,
    "sounds_until": 0,
    "voicing": 0,
    "last_lead": 0,
    "tonic": -1,
}
"""What a row carries from one beat into the next, by its name in `sampling.Rows`, and how it is at the opening."""

_Start = dict[str, npt.NDArray[np.int64]]
"""What a row carried where a beat began."""


@dataclass
class _Slot:
    controller: Controller
    next_beat: int = 0  # the beat to be handed over next
    composing: bool = False  # the beat after the last one in `ahead` is begun
    intent: Intent | None = None  # of the beat being composed
    attempts: int = 0  # how often the beat being composed has been begun again
    resets: int = 0
    ahead: deque[ComposedBeat] = field(default_factory=deque)
    starts: dict[int, _Start] = field(default_factory=dict)  # of every beat in `ahead` and the one being composed

    @property
    def frontier(self) -> int:
        """The beat being composed, or to be composed next."""
        return self.next_beat + len(self.ahead)


def _conditions(intent: Intent, recall: Sequence[float | None]) -> npt.NDArray[np.float32]:
    return condition(
        valence=intent.valence,
        energy=intent.energy,
        tension=intent.tension,
        density=intent.density,
        bpm=intent.bpm,
        style=intent.style,
        scale=intent.key.scale,
        layers=intent.active_layers,
        beat=intent.beat - 1,
        bar_in_section=intent.bar_in_section,
        section=intent.section,
        bars_to_change=intent.bars_to_change,
        beats_to_end=intent.beats_to_end,
        cue=intent.cue,
        recall=recall,
    )


class Composer:
    """Composes for up to `max_slots` stations on a trunk of `num_rows(max_slots)` rows."""

    def __init__(self, trunk: Trunk, heads: sampling.Heads, max_slots: int, guidance: float = GUIDANCE) -> None:
        assert guidance >= 1, guidance
        assert trunk.num_rows >= num_rows(max_slots), (trunk.num_rows, max_slots)
        self._trunk, self._heads, self._max_slots = trunk, heads, max_slots
        self._guidance = np.float32(guidance)
        self._rows = sampling.make_rows(max_slots)
        self._rules = sampling.make_rule_table(max_slots)
        self._scratch = sampling.new_scratch(heads, max_slots)
        self._conditions = np.zeros((2, max_slots, CONDITION), np.float32)  # as asked, and without a mood
        self._memory = Memory(max_slots)
        self._slots: dict[int, _Slot] = {}
        self.num_resets = 0  # of all slots, closed ones too

    def open(self, slot: int, controller: Controller) -> None:
        """Begin at beat 0 with the controller's seed."""
        assert slot not in self._slots, slot
        self._slots[slot] = _Slot(controller)
        self._memory.clear(slot)
        self._rows.seed[slot] = controller.seed
        for name, value in _CARRIED.items():
            getattr(self._rows, name)[slot] = value

    def warm_up(self) -> None:
        """Compose a beat in slot 0, which is empty, and recall it, so that the kernels are compiled."""
        self.open(0, Controller(Opening(mood="focus"), seed=0))
        self.prepare((0,))
        add_lane(self._rows.recalled_beat[0], 0, self._memory.events(0, 0).astype(np.int64), 0)
        self.close(0)

    def close(self, slot: int) -> None:
        del self._slots[slot]

    def revise(self, slot: int, beat: int) -> None:
        """Forget what is composed from `beat` on; it is composed anew when its turn comes."""
        state = self._slots[slot]
        assert beat >= state.next_beat, (beat, state.next_beat)
        if beat not in state.starts:
            return  # not composed yet
        self._step_back(slot, beat)
        state.composing, state.attempts = False, 0
        while state.frontier > beat:
            state.ahead.pop()
        state.starts = {index: start for index, start in state.starts.items() if index < beat}

    def compose(self, slots: Sequence[int], max_steps: int) -> None:
        """Up to `max_steps` events for each of `slots` whose plan does not reach `BEATS_AHEAD` beats ahead."""
        for _ in range(max_steps):
            behind = [slot for slot in slots if self.is_behind(slot)]
            if not behind:
                return
            self._step(behind)

    def prepare(self, slots: Sequence[int]) -> None:
        """Compose until the next beat of every one of `slots` is there."""
        while missing := [slot for slot in slots if not self._slots[slot].ahead]:
            self._step(missing)

    def take(self, slot: int) -> ComposedBeat:
        """Hand over the next beat, which must have been prepared. From now on it cannot be revised."""
        state = self._slots[slot]
        beat = state.ahead.popleft()
        state.next_beat += 1
        del state.starts[beat.index]
        return beat

    def next_beat(self, slot: int) -> int:
        return self._slots[slot].next_beat

    def frontier(self, slot: int) -> int:
        """The first beat that is not composed."""
        return self._slots[slot].frontier

    def is_behind(self, slot: int) -> bool:
        """Does the plan not reach `BEATS_AHEAD` beyond the next beat?"""
        return len(self._slots[slot].ahead) <= BEATS_AHEAD

    def is_ready(self, slot: int) -> bool:
        """Is the next beat there to be taken?"""
        return bool(self._slots[slot].ahead)

    def _step(self, slots: Sequence[int]) -> None:
        """One event for each of `slots`."""
        for slot in slots:
            if not self._slots[slot].composing:
                self._begin_beat(slot)
        index = np.asarray(slots, np.int64)
        hidden = self._advance(index)
        sampling.choose_events(hidden, self._guidance, self._heads, self._rows, self._rules, index, self._scratch)
        for slot in index[self._rows.done[index]].tolist():
            self._finish_beat(slot)

    def _advance(self, index: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Hidden states [2, B, dim] of slots [B] after their pending events: as asked, and without a mood."""
        rows = self._rows
        position, pending, recalled = rows.position[index], rows.pending[index], rows.recalled[index]
        asked, free = self._conditions[:, index]
        if self._guidance == 1:
            hidden = self._trunk.advance(index, position, pending, recalled, asked)
            return np.stack((hidden, hidden))
        hidden = self._trunk.advance(
            np.concatenate((index, index + self._max_slots)),
            np.tile(position, 2),
            np.tile(pending, (2, 1)),
            np.tile(recalled, (2, 1)),
            np.concatenate((asked, free)),
        )
        return hidden.reshape(2, len(index), -1)

    def _begin_beat(self, slot: int) -> None:
        state, rows, table = self._slots[slot], self._rows, self._rules
        beat = state.frontier
        intent = state.controller.beat_intent(beat)
        if not state.attempts:
            state.starts[beat] = {name: getattr(rows, name)[slot].copy() for name in _CARRIED}
        if state.attempts or intent.cue in ("hit", "cut"):
            warmer = intent.temperature * (1 + _WARMING * state.attempts)
            cue = "fill" if state.attempts >= _FILLED_FROM else intent.cue
            intent = replace(intent, recall=NO_RECALL, temperature=warmer, cue=cue)
        elif self._closes_a_loop(slot, beat, intent):
            intent = replace(intent, recall=NO_RECALL, cue="fill")
        state.composing, state.intent = True, intent
        rows.num_recalled[slot], closeness = self._memory.recall(slot, beat, intent, rows.recalled_beat[slot])
        rows.is_recalling[slot] = any(near is not None for near in closeness)
        rows.faith[slot] = [FAITH * (near or 0.0) ** 2 for near in closeness]
        self._conditions[:, slot] = _conditions(intent, closeness)
        hide(self._conditions[1, slot], MOOD_GROUPS)
        is_arrival = self._change_tonic(slot, intent.key.tonic)
        rules = beat_rules(intent, is_arrival)
        for name in table._fields:
            getattr(table, name)[slot] = getattr(rules, name)
        if intent.stinger is not None and intent.stinger[1] > 0 and intent.beats_to_end is None and not is_arrival:
            # A figure is heard as one as long as the harmony waits for it.
            table.may_change_chord[slot] = False
            table.chords[slot] = np.arange(len(table.chords[slot])) == rows.chord[slot]
        rows.pending[slot] = (BAR if intent.beat == 1 else BEAT, 0, 0, 0, 0)
        next_recalled(
            rows.recalled_beat[slot],
            rows.num_recalled[slot],
            rows.is_recalling[slot],
            rows.pending[slot],
            rows.recalled[slot],
        )
        rows.num_events[slot] = 0
        rows.num_notes[slot] = 0
        rows.done[slot] = False

    def _closes_a_loop(self, slot: int, beat: int, intent: Intent) -> bool:
        """Is all of the bar but this last beat as in the bars before, so that it is time for something else?"""
        if intent.beat < BEATS_PER_BAR or intent.cue != "none" or intent.beats_to_end is not None:
            return False
        return is_loop(self._memory, slot, beat - 1, beats=BEATS_PER_BAR - 1)

    def _change_tonic(self, slot: int, tonic: int) -> bool:
        """Count what the row remembers of pitch from `tonic`, so that voices lead on; is it another than before?"""
        rows = self._rows
        before = int(rows.tonic[slot])
        rows.tonic[slot] = tonic
        if before in (-1, tonic):
            return False
        shift = tonic_shift(before) - tonic_shift(tonic)
        for remembered in (rows.voicing[slot], rows.last_lead[slot : slot + 1]):
            remembered += shift * (remembered > 0)
        root, quality = divmod(int(rows.chord[slot]), NUM_QUALITIES)
        if rows.chord[slot] >= 0:
            rows.chord[slot] = (root + before - tonic) % 12 * NUM_QUALITIES + quality
        return True

    def _finish_beat(self, slot: int) -> None:
        state, rows = self._slots[slot], self._rows
        state.composing = False
        assert state.intent is not None
        beat, tonic = state.frontier, state.intent.key.tonic
        events = rows.events[slot, : rows.num_events[slot]]
        self._memory.remember(slot, beat, events, state.intent)
        if state.attempts < MAX_ATTEMPTS and find_fault(self._memory, slot, beat, state.intent) is not None:
            self._compose_again(slot)
            return
        state.attempts = 0
        chord = int(rows.chord[slot])
        root, quality = divmod(chord, NUM_QUALITIES)
        root = (root + tonic) % 12 if chord >= 0 else -1
        notes = _decode_notes(events, tonic)
        if state.intent.stinger is not None:
            figure = self._stinger(slot, state.intent, (root, quality))
            if state.intent.stinger_over is None:
                notes = np.concatenate([notes, figure])
                notes = notes[np.argsort(notes["tick"], kind="stable")]
        state.ahead.append(ComposedBeat(beat, notes, root, quality))
        rows.sounds_until[slot] = np.maximum(rows.sounds_until[slot] - TICKS_PER_BEAT, 0)

    def _compose_again(self, slot: int) -> None:
        """Begin the beat that has just been finished again, with other draws and recalling nothing."""
        state = self._slots[slot]
        state.attempts += 1
        if state.attempts == 1:
            state.resets += 1
            self.num_resets += 1
        self._step_back(slot, state.frontier)
        self._rows.attempt[slot] += np.uint64(state.attempts)

    def _step_back(self, slot: int, beat: int) -> None:
        """Make the row what it was where `beat` began."""
        for name, value in self._slots[slot].starts[beat].items():
            getattr(self._rows, name)[slot] = value

    def resets(self, slot: int) -> int:
        """How many beats the watchdog has had composed again since the slot was opened or restored."""
        return self._slots[slot].resets

    def _stinger(self, slot: int, intent: Intent, chord: Chord) -> npt.NDArray[np.void]:
        """What the stinger under way plays in this beat; the lead will go on from where the figure was."""
        assert intent.stinger is not None
        audible = [gain_db > MUTE_DB for gain_db in intent.layer_gains_db]
        seed = figure_seed(self._slots[slot].controller.seed, self._slots[slot].frontier - intent.stinger[1])
        figure = stinger_notes(intent.stinger, intent.key, chord, intent.energy, audible, seed)
        lead = figure[figure["layer"] == _LEAD]
        if len(lead):
            self._rows.last_lead[slot] = FIRST_PITCH + int(lead["pitch"][-1]) - tonic_shift(intent.key.tonic)
        return figure

    def snapshot(self, slot: int) -> dict[str, Any]:
        """A copy of all that the slot remembers."""
        state, rows = self._slots[slot], self._rows
        return {
            "trunk": [self._trunk.snapshot(row) for row in (slot, slot + self._max_slots)],
            "memory": self._memory.snapshot(slot),
            "rows": {name: getattr(rows, name)[slot].copy() for name in rows._fields},
            "rules": {name: getattr(self._rules, name)[slot].copy() for name in self._rules._fields},
            "conditions": self._conditions[:, slot].copy(),
            "beat": (state.next_beat, state.composing, state.intent, state.attempts),
            "ahead": (list(state.ahead), dict(state.starts)),
        }

    def restore(self, slot: int, controller: Controller, snapshot: dict[str, Any]) -> None:
        """Continue a snapshot in an empty slot."""
        assert slot not in self._slots, slot
        ahead, starts = snapshot["ahead"]
        self._slots[slot] = _Slot(controller, *snapshot["beat"], ahead=deque(ahead), starts=dict(starts))
        for row, keys_and_values in zip((slot, slot + self._max_slots), snapshot["trunk"], strict=True):
            self._trunk.restore(row, keys_and_values)
        self._memory.restore(slot, snapshot["memory"])
        self._conditions[:, slot] = snapshot["conditions"]
        for target, name in ((self._rows, "rows"), (self._rules, "rules")):
            for key, value in snapshot[name].items():
                getattr(target, key)[slot] = value


def _decode_notes(events: npt.NDArray[np.int64], tonic: int) -> npt.NDArray[np.void]:
    """Events of one beat to notes, sorted by tick."""
    events = events[events[:, 0] >= FIRST_LAYER]
    notes = np.zeros(len(events), NOTE)
    layer, value = events[:, 0] - FIRST_LAYER, events[:, 2]
    drum = np.array(DRUM_NOTES)[np.clip(value - FIRST_DRUM, 0, len(DRUM_NOTES) - 1)]
    notes["tick"], notes["layer"] = events[:, 1], layer
    notes["pitch"] = np.where(layer == 0, drum, value - FIRST_PITCH + tonic_shift(tonic))
    notes["length"] = DURATIONS[events[:, 3]]
    notes["velocity"] = 8 * events[:, 4] + 4
    return notes
