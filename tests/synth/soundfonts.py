"""Small soundfonts made in code, as files."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import soundfile

from engine.audio import SAMPLE_RATE

SAMPLE, INSTRUMENT, SAMPLE_MODES, ROOT_KEY, KEYS, VELOCITIES = 53, 41, 54, 58, 43, 44
Generators = Mapping[int, int]


@dataclass
class Region:
    """A zone of an instrument with a recording of its own."""

    frames: npt.NDArray[np.int16]
    loop: tuple[int, int] = (0, 0)
    key: int = 69
    rate: int = SAMPLE_RATE
    generators: Generators = field(default_factory=dict)
    modulators: Sequence[tuple[int, int, int, int, int]] = ()


def span(low: int, high: int) -> int:
    """A range of keys or velocities as a generator has it."""
    amount = low | high << 8
    return amount - 65_536 if amount >= 32_768 else amount


def tone(num_frames: int, num_cycles: int, level: float = 0.5) -> npt.NDArray[np.int16]:
    """So many whole cycles of a sine."""
    turns = np.arange(num_frames) * (num_cycles / num_frames)
    return np.round(32_767 * level * np.sin(2 * np.pi * turns)).astype(np.int16)


def chunk(name: str, content: bytes) -> bytes:
    return name.encode() + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


MOVING = [
    Region(
        tone(4800, 44), (2400, 4800), generators={SAMPLE_MODES: 1, 6: 50, 8: 8000, 9: 60, 10: 600, 11: -2000, 38: -2400}
    ),
    Region(tone(4800, 88), generators={17: 300}),
]
"""A loop behind a filter that moves, with vibrato, and what ends beside it."""


def _vorbis(frames: npt.NDArray[np.int16], rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, frames, rate, format="OGG", subtype="VORBIS")
    return file.getvalue()


def _generators(of_zone: Generators, last: int, index: int) -> Iterable[bytes]:
    """Ranges come first, and what the zone plays last."""
    rows = [*sorted(of_zone.items(), key=lambda row: row[0] not in (KEYS, VELOCITIES)), (last, index)]
    return (struct.pack("<Hh", number, amount) for number, amount in rows)


def soundfont(presets: Mapping[tuple[int, int], Sequence[Region]], *, is_vorbis: bool = False) -> bytes:
    """A file in which each preset, by bank and program, is one instrument."""
    smpl, shdr, phdr, pbag, pgen = b"", b"", b"", b"", b""
    inst, ibag, imod, igen = b"", b"", b"", b""
    num_zones, num_samples = 0, 0
    for number, ((bank, program), regions) in enumerate(presets.items()):
        name = f"{bank}:{program}".encode()
        phdr += struct.pack("<20sHHH12x", name, program, bank, number)
        pbag += struct.pack("<HH", number, 0)
        pgen += struct.pack("<Hh", INSTRUMENT, number)
        inst += struct.pack("<20sH", name, num_zones)
        for region in regions:
            content = _vorbis(region.frames, region.rate) if is_vorbis else region.frames.tobytes()
            start = len(smpl) if is_vorbis else len(smpl) // 2
            end = start + (len(content) if is_vorbis else len(region.frames))
            smpl += content + (b"" if is_vorbis else bytes(92))
            first, last = (mark + (0 if is_vorbis else start) for mark in region.loop)
            shdr += struct.pack(
                "<20sIIIIIBbHH", f"tone {num_samples}".encode(), start, end, first, last, region.rate, region.key, 0, 0,
                0x11 if is_vorbis else 1,
            )  # fmt: skip
            ibag += struct.pack("<HH", len(igen) // 4, len(imod) // 10)
            igen += b"".join(_generators(region.generators, SAMPLE, num_samples))
            imod += b"".join(struct.pack("<HHhHH", *modulator) for modulator in region.modulators)
            num_zones, num_samples = num_zones + 1, num_samples + 1
    count = len(presets)
    phdr += struct.pack("<20sHHH12x", b"EOP", 0, 0, count)
    pbag += struct.pack("<HH", count, 0)
    inst += struct.pack("<20sH", b"EOI", num_zones)
    ibag += struct.pack("<HH", len(igen) // 4, len(imod) // 10)
    shdr += struct.pack("<20s26x", b"EOS")
    pdta = {
        "phdr": phdr, "pbag": pbag, "pmod": bytes(10), "pgen": pgen + bytes(4), "inst": inst, "ibag": ibag,
        "imod": imod + bytes(10), "igen": igen + bytes(4), "shdr": shdr,
    }  # fmt: skip
    content = b"sfbk" + chunk("LIST", b"INFO" + chunk("ifil", struct.pack("<HH", 3 if is_vorbis else 2, 4)))
    content += chunk("LIST", b"sdta" + chunk("smpl", smpl))
    content += chunk("LIST", b"pdta" + b"".join(chunk(name, part) for name, part in pdta.items()))
    return chunk("RIFF", content)
