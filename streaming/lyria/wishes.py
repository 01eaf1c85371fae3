"""What a client of the Lyria protocol has asked for, as mood fields. In: prompts, a config; out: openings, controls.

Tempo and scale of the config are heard only from a context's beginning on, as the protocol has it: an opening says
them, controls do not. Remembers nothing; any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from moods.control import Steer, parse_control
from moods.fields import LAYER_GAIN_DB
from moods.intent import LAYERS
from moods.mood import style_thresholds, style_weights
from moods.opening import Opening, parse_opening
from moods.prompt import AUDIBLE, resolve_prompt
from moods.weighted import Weighted, weigh
from streaming.lyria.protocol import Mode, MusicConfig, Prompts, Scale, clamped

DEFAULT_GUIDANCE = 4.0
_GUIDANCE = (0.0, 6.0)
_TEMPERATURE = (0.0, 3.0)
_DEFAULT_TEMPERATURE = 1.1
_BPM = (40.0, 240.0)
_MAX_SEED = 2**53
_LONGEST_GLIDE_S = 4.0
_LONGEST_CROSSFADE_BEATS = 36.0
"""How long a change takes without any guidance: of what is heard at once, and of styles."""
_DIVERSITY = 1.3
_RHYTHM = ("drums", "bass")
_STEPS = {"valence": 0.01, "energy": 0.005, "tension": 0.01, "density": 0.01, "brightness": 0.01, "temperature": 0.01}
_STYLE_STEP = 0.01
_MAX_WEIGHT = 1e6
_GAIN_STEP_DB = 0.5
"""A smaller change is not asked for yet, so that a stream of weights is not one of controls without end."""
_ON_BARS = ("style", "key", "bpm")

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wishes:
    """All that a client asks for. `context` is the config that the context began with."""

    prompts: Prompts = ()
    config: MusicConfig = field(default_factory=MusicConfig)
    context: MusicConfig = field(default_factory=MusicConfig)

    def afresh(self) -> Wishes:
        """The same in a new context, which takes up tempo and scale."""
        return replace(self, context=self.config)

    def fields(self) -> Fields:
        """The mood fields, all of them: what nothing is said of is None. It may take a second to read prompts."""
        config = self.config
        weights = [
            (each.text, 1.0 if each.weight is None else clamped(each.weight, -_MAX_WEIGHT, _MAX_WEIGHT))
            for each in self.prompts
        ]
        led = weigh([(resolve_prompt(text), weight) for text, weight in weights if text.strip() and weight])
        bpm, scale = self.context.bpm, self.context.scale
        return {
            "valence": led.valence,
            "energy": self._audible_energy(led),
            "tension": led.tension,
            "style": dict(led.style),
            "density": led.density if config.density is None else clamped(config.density, 0, 1),
            "brightness": led.brightness if config.brightness is None else clamped(config.brightness, 0, 1),
            "temperature": clamped((led.temperature or 1.0) * _temperature(config), 0.1, 2),
            "layers": {layer: self._gain(layer, led) for layer in LAYERS},
            "bpm": led.bpm if bpm is None else clamped(bpm, *_BPM),
            "key": led.key if scale in (None, Scale.UNSPECIFIED) else scale.keys[led.valence < 0],
        }

    def _is_muted(self, layer: str) -> bool:
        config, is_rhythm = self.config, layer in _RHYTHM
        muted = {"drums": config.mute_drums, "bass": config.mute_bass}
        if all(muted.values()):  # the rest is to be heard then, whatever else is said
            return is_rhythm
        return bool(muted.get(layer)) or bool(config.only_bass_and_drums) and not is_rhythm

    def _gain(self, layer: str, led: Weighted) -> float | str:
        gain = led.layers[layer]
        if self._is_muted(layer):
            return "mute"
        if self.config.only_bass_and_drums and gain == "mute":
            return 0.0
        return gain if isinstance(gain, str) else clamped(gain, *LAYER_GAIN_DB)

    def _audible_energy(self, led: Weighted) -> float:
        """As much as those need to play that are to be heard alone."""
        energy = led.energy
        if self.config.only_bass_and_drums:
            for layer, threshold in zip(LAYERS, style_thresholds(style_weights(led.style)), strict=True):
                if not self._is_muted(layer) and threshold + AUDIBLE <= 1:
                    energy = max(energy, threshold + AUDIBLE)
        return energy

    def opening(self, fields: Fields) -> Opening:
        """A station that begins with `fields`."""
        seed = self.config.seed
        return parse_opening({**fields, "seed": None if seed is None else seed % _MAX_SEED})

    def controls(self, moved: Fields) -> Iterator[Steer]:
        """What leads to the fields that have moved: first what is heard at once, then what changes on bars."""
        guidance = DEFAULT_GUIDANCE if self.config.guidance is None else clamped(self.config.guidance, *_GUIDANCE)
        patience = (1 - guidance / _GUIDANCE[1]) ** 2
        at_once = {name: value for name, value in moved.items() if name not in _ON_BARS}
        on_bars = {name: value for name, value in moved.items() if name in _ON_BARS}
        if at_once:
            yield _steer(at_once, over=_LONGEST_GLIDE_S * patience)
        if on_bars:
            yield _steer(on_bars, over=f"{_LONGEST_CROSSFADE_BEATS * patience:.3f} beats", at="bar")


def moved(fields: Fields, before: Fields) -> Fields:
    """Of `fields` those that are otherwise than before, by as much as can be heard."""
    return {name: value for name, value in fields.items() if _has_moved(name, before[name], value)}


def _steer(fields: Fields, **how: Any) -> Steer:
    steer = parse_control({"type": "steer", "set": dict(fields), **how})
    assert isinstance(steer, Steer)
    return steer


def _temperature(config: MusicConfig) -> float:
    """Ours where theirs is so: 0 is 0.1, their default is 1, 3 is 2."""
    given = _DEFAULT_TEMPERATURE if config.temperature is None else clamped(config.temperature, *_TEMPERATURE)
    if given < _DEFAULT_TEMPERATURE:
        ours = 0.1 + 0.9 * given / _DEFAULT_TEMPERATURE
    else:
        ours = 1.0 + (given - _DEFAULT_TEMPERATURE) / (_TEMPERATURE[1] - _DEFAULT_TEMPERATURE)
    return ours * (_DIVERSITY if config.music_generation_mode is Mode.DIVERSITY else 1.0)


def _has_moved(name: str, before: Any, value: Any) -> bool:
    if name in _STEPS and before is not None and value is not None:
        return abs(value - before) >= _STEPS[name]
    if name == "style":
        names = before.keys() | value.keys()
        return max(abs(value.get(each, 0.0) - before.get(each, 0.0)) for each in names) >= _STYLE_STEP
    if name == "layers":
        return any(_has_gain_moved(before[layer], value[layer]) for layer in value)
    return before != value


def _has_gain_moved(before: float | str, gain: float | str) -> bool:
    if isinstance(before, str) or isinstance(gain, str):
        return before != gain
    return abs(gain - before) >= _GAIN_STEP_DB
