"""General MIDI's names for our instruments and drums: what plays them elsewhere. Remembers nothing."""

from __future__ import annotations

STANDARD_KIT = 0
PROGRAMS: dict[str, int] = {
    name: program
    for program, names in {
        0: "grand_piano", 1: "upright_piano dream_piano", 2: "felt_piano", 3: "tack_piano",
        4: "tine_piano dusty_piano reed_piano", 5: "glass_piano", 6: "harpsichord",
        8: "celesta toy_piano", 9: "glockenspiel", 10: "music_box", 11: "vibraphone bowed_metal_bars", 12: "marimba",
        13: "xylophone", 14: "tubular_bells church_bell", 15: "dulcimer yangqin",
        16: "drawbar_organ organ_stab", 17: "percussive_organ fm_organ", 19: "pipe_organ", 22: "harmonica",
        24: "nylon_guitar ukulele", 25: "steel_guitar mandolin", 27: "clean_guitar mellow_pluck", 28: "muted_guitar",
        32: "upright_bass", 33: "finger_bass", 34: "picked_bass", 35: "fretless_bass", 36: "slap_bass",
        38: "saw_bass square_bass pulse_bass acid_bass reese_bass growl_bass chip_pulse_bass chip_kick_bass chip_buzz",
        39: "sub_bass round_bass organ_bass bass_808 fm_bass fm_bass_bright fm_bass_hollow triangle_bass",
        40: "solo_violin", 42: "solo_cello", 43: "double_basses", 44: "tremolo_strings", 45: "pizzicato", 46: "harp",
        48: "string_ensemble violins low_strings cellos short_strings", 49: "slow_strings", 50: "string_machine",
        52: "choir_aah", 53: "choir_ooh vocal_pad", 56: "trumpet", 57: "low_brass", 59: "muted_trumpet",
        60: "horns solo_horn", 61: "brass_section", 62: "synth_brass", 65: "alto_sax", 68: "oboe",
        71: "clarinet soft_woodwinds", 72: "tin_whistle", 73: "flute", 77: "bamboo_flute xiao", 79: "ocarina",
        80: "square_lead chip_pulse_25 chip_pulse_50 chip_pulse_12 chip_octaves chip_pluck",
        81: "saw_lead supersaw mono_lead chip_saw house_stab pulse_stab", 82: "sine_lead soft_lead chip_flute",
        84: "poly_pluck digital_pluck", 85: "voice_lead", 88: "warm_pad tape_pad air_pad",
        89: "dark_pad drone_pad dark_drone", 92: "glass_pad glass_harp bowed_metal", 93: "metal_pad",
        95: "sweep_pad shimmer_pad", 98: "glass_bells digital_bells crotales", 99: "soft_bells",
        105: "banjo", 106: "pipa", 107: "koto guzheng", 108: "kalimba", 110: "erhu",
        112: "temple_bell singing_bowl bronze_bells pitched_gong", 114: "steel_drum handpan",
    }.items()
    for name in names.split()
}  # fmt: skip
"""By the patch's name; programs count from 0. A patch that is not here plays as `OTHERS` says."""
OTHERS = {"drums": STANDARD_KIT, "bass": 33, "harmony": 0, "texture": 88, "lead": 80}

KITS: dict[str, int] = {
    name: program
    for program, names in {
        STANDARD_KIT: "acoustic percussion guofeng", 8: "dusty", 16: "gated", 24: "909", 25: "808 chip",
        40: "brushes", 48: "cinema",
    }.items()
    for name in names.split()
}  # fmt: skip
"""The program of percussion nearest to each kit."""
ORCHESTRA_KIT = 48
ORCHESTRA_KEYS = {42: 27, 44: 28, 46: 29, 51: 30, 53: 30, 49: 59}
"""Where the orchestra's kit has hats and cymbals: it has kettledrums where the others have them."""
