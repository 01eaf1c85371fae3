"""Messages of the Lyria protocol are read as protobuf's JSON is, whoever writes them; what they mean in mood fields."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from moods.control import Steer
from moods.harmony import parse_key
from moods.intent import LAYERS
from streaming.errors import BadMessage
from streaming.lyria.protocol import (
    MusicConfig,
    Playback,
    Scale,
    Setup,
    WeightedPrompt,
    chunk,
    read,
)
from streaming.lyria.wishes import Wishes, moved


def asked(**message: Any) -> Any:
    (one,) = read(json.dumps(message))
    return one


def wishing(*prompts: tuple[str, float], context: MusicConfig | None = None, **config: Any) -> Wishes:
    texts = tuple(WeightedPrompt(text=text, weight=weight) for text, weight in prompts)
    return Wishes(texts, MusicConfig(**config), context or MusicConfig())


# --- the wire ---------------------------------------------------------------------------------------------------------


def test_both_casings_and_unknown_fields_are_read_alike() -> None:
    camel = asked(musicGenerationConfig={"topK": 12, "muteBass": True, "audioFormat": "pcm16", "sampleRateHz": 44100})
    snake = asked(music_generation_config={"top_k": 12, "mute_bass": True})
    assert camel == snake == MusicConfig(top_k=12, mute_bass=True)
    assert camel.told() == {"topK": 12, "muteBass": True}
    prompts = [{"text": "Piano", "weight": 2}, {"text": "drums"}]
    assert asked(clientContent={"weightedPrompts": prompts}) == asked(client_content={"weighted_prompts": prompts})
    assert asked(playback_control="PAUSE") is asked(playbackControl="PAUSE") is Playback.PAUSE


def test_a_config_replaces_all_of_the_one_before() -> None:
    assert asked(musicGenerationConfig={}) == MusicConfig()
    assert asked(musicGenerationConfig={"bpm": None, "scale": None}) == MusicConfig()


def test_numbers_may_be_texts_and_whole_ones_stay_whole() -> None:
    config = asked(musicGenerationConfig={"bpm": "90", "seed": -1, "topK": 40.0, "density": 1})
    assert json.dumps(config.told()) == '{"topK": 40, "seed": -1, "bpm": 90, "density": 1.0}'


def test_one_message_may_hold_several_things_in_the_order_in_which_they_are_done() -> None:
    text = '{"playbackControl":"PLAY","clientContent":{"weightedPrompts":[]},"setup":{"model":"m"}}'
    assert read(text) == [Setup(model="m"), (), Playback.PLAY]
    assert read(text.encode()) == read(text)


@pytest.mark.parametrize(
    "text, told",
    [
        ("null", "null is no object with one of setup, clientContent"),
        ("{}", '"" is not known; expected setup or'),
        ('{"playbackControl":"STOPP"}', 'playbackControl is "STOPP"; expected STOP'),
        ('{"musicGenerationConfig":{"scale":"C_MAJOR"}}', "expected C_MAJOR_A_MINOR"),
        ('{"musicGenerationConfig":{"bpm":true}}', "musicGenerationConfig.bpm is true"),
        ('{"musicGenerationConfig":{"density":NaN}}', "musicGenerationConfig.density"),
        ('{"clientContent":{"weightedPrompts":"Piano"}}', 'clientContent.weightedPrompts is "Piano"'),
        ('{"clientContent":{"weightedPrompts":[{"text":7}]}}', "clientContent.weightedPrompts.0.text is 7"),
        ('{"setup":"lyria"}', 'setup is "lyria"'),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(text: str, told: str) -> None:
    with pytest.raises(BadMessage) as refusal:
        read(text)
    assert told in str(refusal.value) and "\n" not in str(refusal.value)


_NAMES = some.sampled_from(
    ["setup", "model", "clientContent", "weightedPrompts", "text", "weight", "musicGenerationConfig", "bpm", "scale",
     "density", "seed", "muteBass", "playbackControl", "music_generation_config", "PLAY", "C_MAJOR_A_MINOR", "夜"]
)  # fmt: skip
_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=8) | _NAMES,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(_JSON.map(json.dumps) | some.text(max_size=40) | some.binary(max_size=40))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    try:
        found = read(text)
    except BadMessage:
        return
    for one in found:
        if isinstance(one, MusicConfig):
            json.dumps(one.told(), allow_nan=False)


def test_a_chunk_holds_samples_and_what_they_are_made_from() -> None:
    text = chunk(b"\1\2\3\4", (WeightedPrompt(text="雨", weight=-1.0),), MusicConfig(bpm=90), {"frame": 960})
    (one,) = json.loads(text)["serverContent"]["audioChunks"]
    assert base64.b64decode(one["data"]) == b"\1\2\3\4"
    assert one["sourceMetadata"] == {
        "clientContent": {"weightedPrompts": [{"text": "雨", "weight": -1.0}]},
        "musicGenerationConfig": {"bpm": 90},
    }
    assert one["undersong"] == {"frame": 960}


# --- what it means ----------------------------------------------------------------------------------------------------


def test_every_scale_is_a_key_of_ours() -> None:
    for scale in Scale:
        if scale is not Scale.UNSPECIFIED:
            major, minor = map(parse_key, scale.keys)
            assert (major.tonic - minor.tonic) % 12 == 3, scale


def test_dark_prompts_take_the_minor_of_a_scale() -> None:
    context = MusicConfig(scale=Scale.C)
    assert wishing(("sad", 1.0), context=context).fields()["key"] == "A minor"
    assert wishing(("happy", 1.0), context=context).fields()["key"] == "C major"


def test_tempo_and_scale_wait_for_a_new_context() -> None:
    wishes = wishing(("lofi", 1.0), bpm=90, scale=Scale.E_FLAT)
    assert (wishes.fields()["bpm"], wishes.fields()["key"]) == (None, None)
    assert (wishes.afresh().fields()["bpm"], wishes.afresh().fields()["key"]) == (90, "Eb major")


def test_numbers_beyond_their_range_are_the_nearest_allowed() -> None:
    wishes = wishing(bpm=999, density=7, brightness=-1, temperature=99, seed=-5).afresh()
    fields = wishes.fields()
    found = [fields[name] for name in ("bpm", "density", "brightness", "temperature")]
    assert found == [240, 1, 0, 2]
    assert wishes.opening(fields).seed == 2**53 - 5


def test_weights_of_any_size_are_shares() -> None:
    wishes = [wishing(("piano", weight), ("jazz", weight)) for weight in (1.0, 1e308)]
    assert wishes[0].fields() == wishes[1].fields()


def test_their_default_temperature_is_ours() -> None:
    assert wishing(temperature=1.1).fields()["temperature"] == wishing().fields()["temperature"] == 1
    found = [wishing(temperature=theirs).fields()["temperature"] for theirs in (0, 0.5, 1.1, 2, 3)]
    assert found == sorted(found) and found[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    "config, heard",
    [
        ({}, LAYERS),
        ({"mute_bass": True}, ("drums", "harmony", "texture", "lead")),
        ({"mute_drums": True}, ("bass", "harmony", "texture", "lead")),
        ({"only_bass_and_drums": True}, ("drums", "bass")),
        ({"only_bass_and_drums": True, "mute_drums": True}, ("bass",)),
        ({"only_bass_and_drums": True, "mute_drums": True, "mute_bass": True}, ("harmony", "texture", "lead")),
    ],
)
def test_mutes_leave_what_they_should(config: dict[str, bool], heard: tuple[str, ...]) -> None:
    fields = wishing(("lofi", 1.0), **config).fields()
    assert tuple(layer for layer in LAYERS if fields["layers"][layer] != "mute") == heard


def test_more_guidance_is_a_quicker_change() -> None:
    before = wishing(("sad", 1.0)).fields()

    def spans(guidance: float | None) -> list[float]:
        wishes = wishing(("epic", 1.0), guidance=guidance)
        steers: list[Steer] = list(wishes.controls(moved(wishes.fields(), before)))
        return [steer.span.length for steer in steers if steer.span is not None]

    for slow, quick in zip(spans(0), spans(None), strict=True):
        assert slow > quick > 0
    assert spans(None) == spans(4) and spans(6) == [0, 0]


def test_only_what_has_moved_is_asked_for() -> None:
    before = wishing(("lofi", 1.0), ("epic", 1.0)).fields()
    same = wishing(("lofi", 1.0), ("epic", 1.001)).fields()
    assert not moved(same, before)
    muted = wishing(("lofi", 1.0), ("epic", 1.0), mute_bass=True)
    (steer,) = muted.controls(moved(muted.fields(), before))
    assert steer.set.asked() == {"layers": {**before["layers"], "bass": "mute"}}
