"""The composer: intents in, notes out, for many slots in one batch.

Plans a bar ahead and hands over a beat at a time. Remembers, per slot, how far it is composed, what was composed
lately, the trunk's keys and values and, for every beat that may still be revised, what the row was like where the beat
began. One thread calls it. What is done for many slots is done in arrays; `slots` name none twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.notes import NOTE, TICKS_PER_BEAT
from engine.score import sampling
from engine.score.asked import ASKED, CUT, FILL, HIT, NEVER, NO_CUE, Asked, asked_of
from engine.score.chords import CADENCE_BEATS
from engine.score.columns import Bools, Column, Ints, declared, make_columns, reset_row
from engine.score.dynamics import played_velocities
from engine.score.lines import follow_lines
from engine.score.memory import Memory
from engine.score.novelty import Novelty, NoveltyFound
from engine.score.rules import Rules, write_rules
from engine.score.stinger import Chord, figure_seed, stinger_notes
from engine.score.theme import write_theme
from engine.score.timing import Ticks, ticks_late
from engine.score.tonic import note_chords, write_rivals
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
    NO_RECALL,
    NUM_CHORDS,
    NUM_FIELDS,
    NUM_QUALITIES,
    Tonic,
    conditions,
    hide,
    tonic_shift,
)
from engine.score.watchdog import NO_FAULT, find_faults, find_loops
from moods.controller import Controller
from moods.intent import BEATS_PER_BAR, LAYERS, MUTE_DB
from moods.opening import Opening

BEATS_AHEAD = BEATS_PER_BAR
"""How far the plan reaches beyond the beat that is handed over next."""
GUIDANCE = 1.5
"""How far beyond what is asked the mood is followed; 1: as the model has learnt it, without a second row."""
RECALL_PULL = 2.5
"""How much more than it has learnt to, in logits, the model leans towards what it is to repeat to the letter."""
MAX_ATTEMPTS = 4
"""How often a beat at fault is composed again before it is let go."""

_RETRY_TEMPERATURE = 0.3
"""By what share of the asked temperature each attempt is warmer than the one before."""
_FILLED_FROM = 2
"""The attempt from which somebody has to play: a drone that stands still is left by a fill."""
_PLACES = 8
"""Beats that a plan has room for: those ahead, the one before them and the one being composed; beat n lies in the place
n modulo 8."""
assert _PLACES >= BEATS_AHEAD + 2
_LEAD = LAYERS.index("lead")


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


class ComposedBeats(NamedTuple):
    """The next beat of each of N slots."""

    beat: Ints  # [N]
    notes: npt.NDArray[np.void]  # [M] NOTE, one slot's after another's, each slot's in order; ticks from their beat
    late: Ticks  # [M] ticks from where each note is written to where it is played
    num_notes: Ints  # [N]
    chord: Ints  # [N, 2] root, a pitch class, -1 where no chord has sounded yet, and quality
    is_hit: Bools  # [N] all strike together
    hit_offset: npt.NDArray[np.float64]  # [N] and where in the beat

    def of(self, k: int) -> ComposedBeat:
        """The k-th slot's."""
        first = int(self.num_notes[:k].sum())
        notes = self.notes[first : first + int(self.num_notes[k])]
        return ComposedBeat(int(self.beat[k]), notes, *self.chord[k].tolist())


class _Plan(NamedTuple):
    """How far each slot is composed."""

    next_beat: Annotated[Ints, Column()]  # to be handed over next
    num_ahead: Annotated[Ints, Column()]  # beats composed and not handed over
    is_composing: Annotated[Bools, Column()]  # the beat after these is begun
    attempts: Annotated[Ints, Column()]  # how often that beat has been begun again
    is_renewed: Annotated[Bools, Column()]  # because its tune was an old one
    resets: Annotated[Ints, Column()]
    chord: Annotated[Ints, Column(_PLACES, 2)]  # of each composed beat, as in `ComposedBeats`


_CARRIED = {name: kind for name, (column, kind) in declared(sampling.Rows).items() if column.is_carried}
"""What a row carries from one beat into the next."""


class Composer:
    """Composes for up to `max_slots` stations on a trunk of `num_rows(max_slots)` rows."""

    def __init__(self, trunk: Trunk, heads: sampling.Heads, max_slots: int, guidance: float = GUIDANCE) -> None:
        assert guidance >= 1, guidance
        assert trunk.num_rows >= num_rows(max_slots), (trunk.num_rows, max_slots)
        self._trunk, self._heads, self._max_slots = trunk, heads, max_slots
        self._guidance = np.float32(guidance)
        self._rows = make_columns(sampling.Rows, max_slots)
        self._rules = make_columns(Rules, max_slots)
        self._plan = make_columns(_Plan, max_slots)
        self._scratch = sampling.new_scratch(heads, max_slots)
        self._conditions = np.zeros((2, max_slots, CONDITION), np.float32)  # as asked, and without a mood
        self._asked = np.zeros((max_slots, _PLACES), ASKED)  # of each composed beat and the one being composed
        # What the row carried where each of these beats began.
        self._starts = {
            name: np.zeros((max_slots, _PLACES, *getattr(self._rows, name).shape[1:]), kind)
            for name, kind in _CARRIED.items()
        }
        self._memory, self._novelty = Memory(max_slots), Novelty(max_slots)
        self._figures: dict[tuple[int, int], npt.NDArray[np.void]] = {}  # NOTE by slot and composed beat
        self._controllers: dict[int, Controller] = {}
        self.num_resets = 0  # of all slots, closed ones too
        self.num_renewals = 0

    def open(self, slot: int, controller: Controller) -> None:
        """Begin at beat 0 with the controller's seed."""
        assert slot not in self._controllers, slot
        self._controllers[slot] = controller
        self._memory.clear(slot)
        self._novelty.clear(slot)
        reset_row(self._rows, slot)
        reset_row(self._plan, slot)

    def warm_up(self) -> None:
        """Compose a beat in slot 0, which is empty, so that the kernels are compiled."""
        self.open(0, Controller(Opening(mood="focus"), seed=0))
        self.prepare((0,))
        find_loops(self._memory, np.array([0]), np.array([0]), BEATS_PER_BAR)
        self.close(0)

    def close(self, slot: int) -> None:
        del self._controllers[slot]
        self._drop_figures(slot, 0)

    def _drop_figures(self, slot: int, first_beat: int) -> None:
        for key in [key for key in self._figures if key[0] == slot and key[1] >= first_beat]:
            del self._figures[key]

    def revise(self, slot: int, beat: int) -> None:
        """Forget what is composed from `beat` on; it is composed anew when its turn comes."""
        plan = self._plan
        ahead = beat - int(plan.next_beat[slot])
        assert ahead >= 0, (beat, int(plan.next_beat[slot]))
        is_begun = plan.is_composing[slot] or plan.attempts[slot] > 0
        if ahead >= plan.num_ahead[slot] + is_begun:
            return  # not composed yet
        self._step_back(slot, beat)
        plan.num_ahead[slot], plan.is_composing[slot] = ahead, False
        plan.attempts[slot], plan.is_renewed[slot] = 0, False
        self._drop_figures(slot, beat)

    def compose(self, slots: Sequence[int] | Ints, max_steps: int) -> None:
        """Up to `max_steps` events for each of `slots` whose plan does not reach `BEATS_AHEAD` beats ahead."""
        for _ in range(max_steps):
            behind = slots = self.behind(slots)
            if not len(behind):
                return
            self._step(behind)

    def prepare(self, slots: Sequence[int] | Ints) -> None:
        """Compose until the next beat of every one of `slots` is there."""
        missing = np.asarray(slots, np.int64)
        while len(missing := missing[self._plan.num_ahead[missing] == 0]):
            self._step(missing)

    def behind(self, slots: Sequence[int] | Ints) -> Ints:
        """Those of `slots` whose plan does not reach `BEATS_AHEAD` beyond the next beat."""
        slots = np.asarray(slots, np.int64)
        return slots[self._plan.num_ahead[slots] <= BEATS_AHEAD]

    def num_ahead(self, slots: int | Ints) -> Ints:
        """Beats [N] that are there to be handed over."""
        return self._plan.num_ahead[slots]

    def take(self, slot: int) -> ComposedBeat:
        """Hand over the next beat of one slot."""
        return self.take_all(np.array([slot])).of(0)

    def take_all(self, slots: Ints) -> ComposedBeats:
        """Hand over the next beats of `slots` [N], which must be prepared. From now on they cannot be revised."""
        plan = self._plan
        assert (plan.num_ahead[slots] > 0).all(), slots[plan.num_ahead[slots] == 0]
        beats = plan.next_beat[slots]
        at = slots, beats % _PLACES
        asked = self._asked[at]
        events, counts = self._memory.events(slots, beats)
        is_note, owner = events[:, 0] >= FIRST_LAYER, np.repeat(np.arange(len(slots)), counts)
        events, owner = events[is_note], owner[is_note]
        notes = decode_notes(events, asked["tonic"].astype(np.int64)[owner])
        notes["velocity"] = played_velocities(notes, asked, owner)
        late = ticks_late(notes, asked, owner)
        if self._figures:
            notes, late, owner = self._with_figures(notes, late, owner, slots, beats)
        plan.next_beat[slots] += 1
        plan.num_ahead[slots] -= 1
        num_notes = np.bincount(owner, minlength=len(slots))
        return ComposedBeats(beats, notes, late, num_notes, plan.chord[at], asked["cue"] == HIT, asked["hit_offset"])

    def _with_figures(
        self, notes: npt.NDArray[np.void], late: Ticks, owner: Ints, slots: Ints, beats: Ints
    ) -> tuple[npt.NDArray[np.void], Ticks, Ints]:
        """Notes, how late and whose they are [M], with those of the stingers that are written into the beats."""
        found = [self._figures.pop(key, None) for key in zip(slots.tolist(), beats.tolist(), strict=True)]
        figures = [(index, figure) for index, figure in enumerate(found) if figure is not None]
        notes = np.concatenate([notes, *(figure for _, figure in figures)])
        owner = np.concatenate([owner, *(np.full(len(figure), index) for index, figure in figures)])
        late = np.concatenate([late, np.zeros(len(notes) - len(late))])
        order = np.lexsort((notes["tick"], owner))
        return notes[order], late[order], owner[order]

    def _step(self, slots: Ints) -> None:
        """One event for each of `slots`."""
        fresh = slots[~self._plan.is_composing[slots]]
        if len(fresh):
            self._begin_beats(fresh)
        hidden = self._advance(slots)
        sampling.choose_events(hidden, self._guidance, self._heads, self._rows, self._rules, slots, self._scratch)
        done = slots[self._rows.done[slots]]
        if len(done):
            self._finish_beats(done)

    def _advance(self, slots: Ints) -> npt.NDArray[np.float32]:
        """Hidden states [2, N, dim] of slots [N] after their pending events: as asked, and without a mood."""
        rows = self._rows
        position, since = rows.position[slots], rows.since[slots]
        pending, recalled = rows.pending[slots], rows.recalled[slots]
        if self._guidance == 1:
            hidden = self._trunk.advance(slots, position, since, pending, recalled, self._conditions[0, slots])
            return np.stack((hidden, hidden))
        hidden = self._trunk.advance(
            np.concatenate((slots, slots + self._max_slots)),
            np.tile(position, 2),
            np.tile(since, 2),
            np.tile(pending, (2, 1)),
            np.tile(recalled, (2, 1)),
            self._conditions[:, slots].reshape(-1, CONDITION),
        )
        return hidden.reshape(2, len(slots), -1)

    def _begin_beats(self, slots: Ints) -> None:
        rows, rules, attempts = self._rows, self._rules, self._plan.attempts[slots]
        beats = self._frontier(slots)
        asked = self._ask(slots, beats, attempts)
        self._save_starts(slots[attempts == 0], beats[attempts == 0])
        self._plan.is_composing[slots] = True
        begins_piece = asked["piece"] != rows.piece[slots]
        rows.since[slots] = np.where(begins_piece, rows.position[slots], rows.since[slots])
        rows.piece[slots] = asked["piece"]
        is_arrival = self._change_tonics(slots, asked["tonic"].astype(np.int64))
        asked["line_back"][rows.is_arriving[slots]] = 0  # where an octave of the new key may be far off
        write_rules(rules, slots, asked, is_arrival)
        write_rivals(rules, rows, slots, asked)
        strength = self._recall(slots, beats, asked)
        wanted = conditions(asked, strength)
        self._conditions[0, slots] = wanted
        hide(wanted, MOOD_GROUPS)
        self._conditions[1, slots] = wanted
        # A figure is heard as one as long as the harmony waits for it; a chord that the key has not any more is left.
        is_waiting = (asked["stinger_beats"] > 0) & (asked["beats_to_end"] == NEVER) & ~is_arrival
        is_waiting &= rules.chords[slots, rows.chord[slots]]
        waiting = slots[is_waiting]
        rules.may_change_chord[waiting] = False
        rules.chords[waiting] = np.arange(NUM_CHORDS) == rows.chord[waiting, None]
        for index in np.flatnonzero(asked["has_theme"]).tolist():
            slot, may_borrow = int(slots[index]), not is_arrival[index] and asked["beats_to_key"][index] == 0
            intent = self._controllers[slot].beat_intent(int(beats[index]))
            write_theme(rules, slot, intent, int(rows.chord[slot]), may_borrow=bool(may_borrow))
        rows.pending[slots] = 0
        rows.pending[slots, 0] = np.where(asked["beat"] == 0, BAR, BEAT)
        rows.num_events[slots], rows.num_notes[slots], rows.done[slots] = 0, 0, False
        drawn_by = zip(slots.tolist(), beats.tolist(), strict=True)
        rows.seed[slots] = [self._controllers[slot].seed_of(beat) for slot, beat in drawn_by]

    def _recall(self, slots: Ints, beats: Ints, asked: Asked) -> npt.NDArray[np.float64]:
        """Show rows of slots [N] what beats [N] return to, the lead's lines first; how closely each lane is to follow
        [N, lanes]."""
        rows, counts = self._rows, np.zeros(len(slots), np.int64)
        is_followed = follow_lines(self._memory.kept, self._rules, slots, beats, asked, rows.recalled_beat, counts)
        has_notes = counts > 0
        asked["recall_bars"][is_followed, 1 + _LEAD] = 0
        rows.num_recalled[slots], strength = self._memory.recall(slots, beats, asked, rows.recalled_beat, counts)
        strength[has_notes, 1 + _LEAD] = 1
        is_recalling = strength.any(axis=1)
        rows.is_recalling[slots], rows.strength[slots] = is_recalling, RECALL_PULL * strength**2
        nothing = np.zeros((len(slots), NUM_FIELDS), np.int64)
        nothing[:, 0] = np.where(is_recalling, BEAT, NO_RECALL)
        has_recalled = rows.num_recalled[slots, None] > 0
        rows.recalled[slots] = np.where(has_recalled, rows.recalled_beat[slots, 0], nothing)
        return strength

    def _frontier(self, slots: Ints) -> Ints:
        """The beats being composed, or to be composed next."""
        return self._plan.next_beat[slots] + self._plan.num_ahead[slots]

    def _ask(self, slots: Ints, beats: Ints, attempts: Ints) -> Asked:
        """What beats [N] of slots [N] are to be, rows ASKED. What was at fault is warmer and recalls nothing."""
        controllers = self._controllers
        asked = asked_of(
            [controllers[s].beat_intent(beat) for s, beat in zip(slots.tolist(), beats.tolist(), strict=True)]
        )
        cue, has_theme = asked["cue"], asked["has_theme"] > 0
        is_loop = self._close_loops(slots, beats, asked) & (attempts == 0)
        is_struck = (cue == HIT) | (cue == CUT)
        is_other = is_loop | ((attempts > 0) & ~self._plan.is_renewed[slots])
        asked["recall_bars"][is_other | is_struck] = 0
        asked["recall_bars"][has_theme, 1 + _LEAD] = 0  # it has its own notes
        is_bound = has_theme | is_struck | (asked["beats_to_end"] <= CADENCE_BEATS)
        asked["line_back"][is_bound | is_other] = 0
        asked["new_density"][is_bound] = asked["beats_to_breath"][is_bound] = NEVER
        asked["temperature"] *= 1 + _RETRY_TEMPERATURE * attempts
        cue[(attempts >= _FILLED_FROM) | is_loop] = FILL
        before = self._asked["tension"][slots, (beats - BEATS_PER_BAR) % _PLACES]
        asked["release"] = np.where(beats >= BEATS_PER_BAR, np.maximum(0, before - asked["tension"]), 0)
        self._asked[slots, beats % _PLACES] = asked
        return asked

    def _close_loops(self, slots: Ints, beats: Ints, asked: Asked) -> Bools:
        """[N]: is all of the bar but this last beat as in the bars before, so that it is time for something else?"""
        is_loop = (asked["beat"] == BEATS_PER_BAR - 1) & (asked["cue"] == NO_CUE) & (asked["beats_to_end"] == NEVER)
        is_loop[is_loop] = find_loops(self._memory, slots[is_loop], beats[is_loop] - 1, BEATS_PER_BAR - 1)
        return is_loop

    def _change_tonics(self, slots: Ints, tonics: Ints) -> Bools:
        """Count what rows remember of pitch from `tonics` [N], so that voices lead on; are they others than before?"""
        rows = self._rows
        before = rows.tonic[slots]
        rows.tonic[slots] = tonics
        is_changed = (before != tonics) & (before >= 0)
        if is_changed.any():
            slots, before, tonics = slots[is_changed], before[is_changed], tonics[is_changed]
            shift = tonic_shift(before) - tonic_shift(tonics)
            rows.voicing[slots] += shift[:, None] * (rows.voicing[slots] > 0)
            rows.last_lead[slots] += shift * (rows.last_lead[slots] > 0)
            root, quality = np.divmod(rows.chord[slots], NUM_QUALITIES)
            moved = (root + before - tonics) % 12 * NUM_QUALITIES + quality
            rows.chord[slots] = np.where(rows.chord[slots] >= 0, moved, rows.chord[slots])
            rows.root_beats[slots], rows.is_arriving[slots] = 0, True
        return is_changed

    def _finish_beats(self, slots: Ints) -> None:
        rows, plan, beats = self._rows, self._plan, self._frontier(slots)
        asked = self._asked[slots, beats % _PLACES]
        plan.is_composing[slots] = False
        self._memory.remember(slots, beats, rows.events[slots], rows.num_events[slots], asked)
        is_at_fault = find_faults(self._memory, slots, beats, asked) != NO_FAULT
        is_at_fault &= plan.attempts[slots] < MAX_ATTEMPTS
        rows.seconds[slots] += 60 / asked["bpm"]
        is_old = self._novelty.note(self._memory, slots, beats, asked, rows.num_figures, rows.seconds)
        is_old &= ~is_at_fault & (plan.attempts[slots] == 0) & (rows.strength[slots, 1 + _LEAD] == 0)
        is_old &= self._rules.num_theme[slots] < 0
        plan.is_renewed[slots] = is_old
        is_again = is_at_fault | is_old
        if is_again.any():
            for slot in slots[is_again].tolist():
                self._compose_again(slot)
            slots, beats, asked = slots[~is_again], beats[~is_again], asked[~is_again]
        plan.attempts[slots] = 0
        note_chords(rows, slots)
        rows.is_arriving[slots] &= rows.num_notes[slots, _LEAD] == 0
        root, quality = np.divmod(rows.chord[slots], NUM_QUALITIES)
        root = np.where(rows.chord[slots] >= 0, (root + asked["tonic"].astype(np.int64)) % 12, -1)
        plan.chord[slots, beats % _PLACES] = np.stack([root, quality], axis=1)
        for slot in slots[asked["has_stinger"] > 0].tolist():
            self._write_figure(slot)
        plan.num_ahead[slots] += 1
        rows.sounds_until[slots] = np.maximum(rows.sounds_until[slots] - TICKS_PER_BEAT, 0)

    def _compose_again(self, slot: int) -> None:
        """Begin the beat that has just been finished again, with other draws and recalling nothing."""
        plan = self._plan
        plan.attempts[slot] += 1
        if plan.is_renewed[slot]:
            self.num_renewals += 1
        elif plan.attempts[slot] == 1:
            plan.resets[slot] += 1
            self.num_resets += 1
        self._step_back(slot, int(plan.next_beat[slot] + plan.num_ahead[slot]))
        self._rows.attempt[slot] += np.uint64(plan.attempts[slot])

    def _save_starts(self, slots: Ints, beats: Ints) -> None:
        for name, starts in self._starts.items():
            starts[slots, beats % _PLACES] = getattr(self._rows, name)[slots]

    def _step_back(self, slot: int, beat: int) -> None:
        """Make the row what it was where `beat` began."""
        for name, starts in self._starts.items():
            getattr(self._rows, name)[slot] = starts[slot, beat % _PLACES]

    def novelty(self, slot: int) -> NoveltyFound:
        """How much of the slot's last hour had been heard before."""
        rows, beat = self._rows, int(self._frontier(np.array([slot]))[0])
        return self._novelty.found(self._memory, slot, beat, int(rows.num_figures[slot]), float(rows.seconds[slot]))

    def resets(self, slot: int) -> int:
        """How many beats the watchdog has had composed again since the slot was opened or restored."""
        return int(self._plan.resets[slot])

    def _write_figure(self, slot: int) -> None:
        """Write what the stinger under way plays over the beat just composed, unless it is laid over the music; the
        lead will go on from where the figure was."""
        beat = int(self._plan.next_beat[slot] + self._plan.num_ahead[slot])
        controller = self._controllers[slot]
        intent = controller.beat_intent(beat)
        assert intent.stinger is not None
        root, quality = self._plan.chord[slot, beat % _PLACES].tolist()
        chord: Chord = root, quality
        audible = [gain_db > MUTE_DB for gain_db in intent.layer_gains_db]
        name, since = intent.stinger
        stinger, seed = controller.find_stinger(name), figure_seed(controller.seed, beat - since)
        figure = stinger_notes(stinger, since, intent.key, chord, intent.energy, audible, seed)
        lead = figure[figure["layer"] == _LEAD]
        if len(lead):
            self._rows.last_lead[slot] = FIRST_PITCH + int(lead["pitch"][-1]) - tonic_shift(intent.key.tonic)
        if intent.stinger_over is None:
            self._figures[slot, beat] = figure

    def snapshot(self, slot: int) -> dict[str, Any]:
        """A copy of all that the slot remembers."""
        return {
            "trunk": [self._trunk.snapshot(row) for row in (slot, slot + self._max_slots)],
            "memory": self._memory.snapshot(slot),
            "novelty": self._novelty.snapshot(slot, int(self._rows.num_figures[slot])),
            "figures": {beat: notes for (owner, beat), notes in self._figures.items() if owner == slot},
            "arrays": [array[slot].copy() for array in self._arrays()],
        }

    def restore(self, slot: int, controller: Controller, snapshot: dict[str, Any]) -> None:
        """Continue a snapshot in an empty slot."""
        assert slot not in self._controllers, slot
        self._controllers[slot] = controller
        for row, keys_and_values in zip((slot, slot + self._max_slots), snapshot["trunk"], strict=True):
            self._trunk.restore(row, keys_and_values)
        self._memory.restore(slot, snapshot["memory"])
        self._novelty.restore(slot, snapshot["novelty"])
        self._figures |= {(slot, beat): notes for beat, notes in snapshot["figures"].items()}
        for array, saved in zip(self._arrays(), snapshot["arrays"], strict=True):
            array[slot] = saved
        self._plan.resets[slot] = 0

    def _arrays(self) -> list[npt.NDArray[Any]]:
        """All that is kept by slot [S, …]."""
        columns = [*self._rows, *self._rules, *self._plan, *self._starts.values()]
        return [*columns, self._asked, self._conditions.swapaxes(0, 1)]


def decode_notes(events: npt.NDArray[np.int16], tonic: Tonic) -> npt.NDArray[np.void]:
    """Events [N, 5] that are notes, each in the key of `tonic`, as [N] NOTE; ticks from their beat."""
    notes = np.zeros(len(events), NOTE)
    layer, value = events[:, 0] - FIRST_LAYER, events[:, 2]
    drum = np.array(DRUM_NOTES)[np.clip(value - FIRST_DRUM, 0, len(DRUM_NOTES) - 1)]
    notes["tick"], notes["layer"] = events[:, 1], layer
    notes["pitch"] = np.where(layer == 0, drum, value - FIRST_PITCH + tonic_shift(tonic))
    notes["length"] = DURATIONS[events[:, 3]]
    notes["velocity"] = 8 * events[:, 4] + 4
    return notes
