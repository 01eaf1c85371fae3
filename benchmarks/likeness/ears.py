"""Two networks that were taught to tag music, as independent ears. In: excerpts; out: embeddings of their windows.

    pip install --no-deps musicnn vibenet && pip install onnx onnxruntime

The weights lie inside these packages; neither is imported, so that TensorFlow is not needed. Remembers the networks;
one thread. The nets hear 16 kHz mono: what is above 8 kHz, and where it is in the room, they cannot judge.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from benchmarks.likeness.checkpoint import read_checkpoint

Float = npt.NDArray[np.float32]
EAR_RATE = 16_000
_TAGGER_WINDOW_FRAMES, _TAGGER_HOP, _TAGGER_FFT, _TAGGER_MELS = 187, 256, 512, 96
_VIBE_WINDOW_S, _VIBE_HOP, _VIBE_WINDOW, _VIBE_FFT, _VIBE_MELS = 6, 320, 640, 1024, 128
_EMBEDDING = "gelu"
"""In the graph of vibenet: the 256 values from which every judgement is a weighted sum."""


TAGS = (
    "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano", "ambient",
    "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing", "vocals", "no vocals",
    "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop", "soft", "sitar", "solo", "man",
    "classic", "choir", "voice", "new age", "dance", "male voice", "female vocal", "beats", "harp", "cello", "no voice",
    "weird", "country", "metal", "female voice", "choral",
)  # fmt: skip
"""MagnaTagATune's tags of the model MTT_musicnn, in its order (https://github.com/jordipons/musicnn)."""
JUDGED = ("acousticness", "danceability", "energy", "instrumentalness", "liveness", "speechiness", "valence")


class NoEars(Exception):
    """A package with weights is not installed."""


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise NoEars(f"{name} is not installed: pip install --no-deps musicnn vibenet && pip install onnx onnxruntime")
    return Path(found.submodule_search_locations[0])


class Tagger:
    """musicnn (Pons and Serra 2019), three seconds at a time: timbral and temporal filters, convolutions, pooling."""

    def __init__(self, model: str) -> None:
        tensors = read_checkpoint(_package("musicnn") / model)
        self._tensors = {name: torch.from_numpy(value.copy()) for name, value in tensors.items()}

    def _norm(self, number: int, x: torch.Tensor) -> torch.Tensor:
        """Batch normalisation along axis 1, as learnt."""
        name = "batch_normalization" + (f"_{number}" if number else "")
        mean, variance, gamma, beta = (
            self._tensors[f"{name}/{part}"] for part in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return functional.batch_norm(x, mean, variance, gamma, beta, eps=1e-3)

    def _kernel(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        name = "conv2d" + (f"_{number}" if number else "")
        return self._tensors[f"{name}/kernel"], self._tensors[f"{name}/bias"]

    def _front(self, x: torch.Tensor, number: int, padding: tuple[int, int]) -> torch.Tensor:
        """A convolution over time and mel bands, its greatest value over the bands: [B, filters, T]."""
        kernel, bias = self._kernel(number)
        x = functional.conv2d(functional.pad(x, (0, 0, *padding)), kernel.permute(3, 2, 0, 1), bias)
        return self._norm(number + 1, functional.relu(x)).amax(3)

    def _middle(self, x: torch.Tensor, number: int) -> torch.Tensor:
        kernel, bias = self._kernel(number)
        x = functional.conv1d(functional.pad(x, (3, 3)), kernel[:, :, 0].permute(2, 1, 0), bias)
        return self._norm(number + 1, functional.relu(x))

    def embed(self, excerpt: Float) -> Float:
        """The 200 values of the last hidden layer, of every window of `excerpt` [T] at EAR_RATE: [windows, 200].

        What is shorter than a window is one by itself.
        """
        mel = librosa.feature.melspectrogram(
            y=excerpt, sr=EAR_RATE, n_fft=_TAGGER_FFT, hop_length=_TAGGER_HOP, n_mels=_TAGGER_MELS
        )
        log_mel = np.log10(10_000 * mel.T.astype(np.float32) + 1)
        length = min(_TAGGER_WINDOW_FRAMES, len(log_mel))
        count = len(log_mel) // length
        windows = log_mel[: count * length].reshape(count, 1, length, _TAGGER_MELS)
        with torch.inference_mode():
            return self._embed(torch.from_numpy(windows)).numpy()

    def _embed(self, windows: torch.Tensor) -> torch.Tensor:
        x = self._norm(0, windows)
        paddings = ((3, 3), (3, 3), (63, 64), (31, 32), (15, 16))
        front = torch.cat([self._front(x, number, padding) for number, padding in enumerate(paddings)], 1)
        first = self._middle(front, 5)
        second = first + self._middle(first, 6)
        third = second + self._middle(second, 7)
        features = torch.cat([front, first, second, third], 1)
        pooled = torch.stack([features.amax(2), features.mean(2)], 2).flatten(1)
        return functional.relu(self._norm(9, pooled) @ self._tensors["dense/kernel"] + self._tensors["dense/bias"])

    def logits(self, embeddings: Float) -> Float:
        """Of each of the model's 50 tags: [windows, 50]."""
        level = self._norm(10, torch.from_numpy(embeddings))
        return (level @ self._tensors["dense_1/kernel"] + self._tensors["dense_1/bias"]).numpy()

    def tags(self, embeddings: Float) -> Float:
        """Probability of each of the model's 50 tags: [windows, 50]."""
        return 1 / (1 + np.exp(-self.logits(embeddings)))


class Vibe:
    """vibenet: an EfficientNet taught to hear energy, valence, acousticness …, six seconds at a time."""

    def __init__(self) -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise NoEars(f"{error.name} is not installed: pip install onnx onnxruntime") from error
        graph = onnx.load(str(_package("vibenet") / "artifacts" / "efficientnet_model.onnx"))
        self._judgements = graph.graph.output[0].name
        graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(_EMBEDDING))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(graph.SerializeToString(), options)

    def embed(self, excerpt: Float) -> Float:
        """[windows, 256] of `excerpt` [T] at EAR_RATE; what is shorter than a window is one by itself."""
        return self._hear(excerpt, _EMBEDDING)

    def judge(self, excerpt: Float) -> Float:
        """What it was taught to hear, each of JUDGED: [windows, 7]."""
        return self._hear(excerpt, self._judgements)

    def _hear(self, excerpt: Float, output: str) -> Float:
        size = min(_VIBE_WINDOW_S * EAR_RATE, len(excerpt))
        starts = range(0, len(excerpt) - size + 1, size)
        return np.concatenate([self._run(excerpt[first : first + size], output) for first in starts])

    def _run(self, window: Float, output: str) -> Float:
        power = np.abs(
            librosa.stft(
                window, n_fft=_VIBE_FFT, hop_length=_VIBE_HOP, win_length=_VIBE_WINDOW, window="hann", center=False
            )
        )
        filters = librosa.filters.mel(sr=EAR_RATE, n_fft=_VIBE_FFT, n_mels=_VIBE_MELS, fmin=0, fmax=EAR_RATE / 2)
        mel_db = librosa.power_to_db(filters @ power**2, amin=1e-10, top_db=80).astype(np.float32)
        return self._session.run([output], {"x": mel_db[None]})[0]


@cache
def tagger() -> Tagger:
    """The one that knows TAGS. Raises `NoEars`."""
    return Tagger("MTT_musicnn")


@cache
def ears() -> dict[str, Callable[[Float], Float]]:
    """Every ear's `embed`. Raises `NoEars`."""
    return {"musicnn": tagger().embed, "vibenet": Vibe().embed}
