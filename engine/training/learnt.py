"""The runs of melody that the model was taught, as the filter that `engine/score/likeness.py` asks. Offline.

    python -m engine.training.learnt --data DATA [--pieces 6500] [--out FILE]

In: the arranger's practice pieces and the data sets, what is held out left aside; out: `learnt.safetensors` beside the
checkpoint. Says how many runs there are and how often the filter takes another for one of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from rich.progress import track
from safetensors.numpy import save_file

from engine.score.likeness import LEARNT_NAME, NUM_PROBES, put_lines
from engine.score.piece import Piece
from engine.training.corpora import read_corpora
from engine.training.dataset import is_held_out, practice_pieces
from engine.training.evaluation.recurrence import lead_of
from engine.weights import read_manifest, shipped_checkpoint

NUM_BYTES = 2_000_000


def learnt_filter(pieces: Iterable[Piece], num_bytes: int = NUM_BYTES) -> tuple[np.ndarray, int]:
    """The filter [bytes] of all runs of the pieces' leads, and how many notes these have."""
    bits, num_notes = np.zeros(num_bytes, np.uint8), 0
    for piece in pieces:
        lead = lead_of(piece)
        put_lines(bits, lead.ticks, lead.pitches)
        num_notes += len(lead.ticks)
    return bits, num_notes


def false_share(bits: np.ndarray) -> float:
    """How often a filter takes a run for one of its own that is none."""
    return float(np.unpackbits(bits).mean() ** NUM_PROBES)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.training.learnt", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the data sets, unpacked")
    parser.add_argument("--pieces", type=int, default=read_manifest(shipped_checkpoint())["data"]["arranger"])
    parser.add_argument("--out", type=Path, default=shipped_checkpoint() / LEARNT_NAME)
    options = parser.parse_args(arguments)
    real = (piece for piece in read_corpora(options.data, report=print) if not is_held_out(piece.source))
    pieces = chain(track(practice_pieces(options.pieces), "practice pieces", total=options.pieces), real)
    bits, num_notes = learnt_filter(pieces)
    save_file({"bits": bits}, options.out)
    options.out.chmod(0o644)
    print(f"{num_notes} notes; {100 * false_share(bits):.2g} % of other runs are taken for one of these")


if __name__ == "__main__":
    main()
