"""How far apart are two sets of embeddings? In: embeddings by track; out: Fréchet distance, MMD, intervals.

Sets are compared as clouds, no piece with its like. Tracks, not windows, are drawn anew for the intervals: windows of
one track are no independent witnesses. Remembers nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf_shrinkage

Array = npt.NDArray[np.float64]
NUM_DRAWS = 100


@dataclass(frozen=True)
class Cloud:
    """Embeddings of a set of tracks."""

    points: Array  # [N, D]
    tracks: npt.NDArray[np.int64]  # [N] which track a point is of

    @property
    def num_tracks(self) -> int:
        return int(self.tracks[-1]) + 1

    def weights(self, draws: Array) -> Array:
        """How often each point counts where its track was drawn `draws` times; sum 1."""
        weights = draws[self.tracks]
        return weights / weights.sum()


def cloud(embeddings: Sequence[npt.NDArray[np.float32]]) -> Cloud:
    """Of embeddings [windows, D] by track."""
    return Cloud(
        np.concatenate(embeddings).astype(np.float64),
        np.repeat(np.arange(len(embeddings)), [len(e) for e in embeddings]),
    )


class Frechet:
    """Distance of two Gaussians (Fréchet 1957; Dowson and Landau 1982), as in the Fréchet audio distance.

    Covariances are drawn towards a multiple of the identity (Ledoit and Wolf 2004), all by the reference's share, so
    that fewer windows than dimensions still make a cloud.
    """

    def __init__(self, reference: Cloud) -> None:
        self._reference = reference
        self._share = ledoit_wolf_shrinkage(reference.points)

    def __call__(self, other: Cloud, reference_draws: Array, other_draws: Array) -> float:
        mean, root = self._gaussian(self._reference, reference_draws)
        other_mean, other_root = self._gaussian(other, other_draws)
        # tr (A B)^½ is the sum of the singular values of the product of their roots.
        shared = np.linalg.svd(root.T @ other_root, compute_uv=False).sum()
        return float(((mean - other_mean) ** 2).sum() + (root**2).sum() + (other_root**2).sum() - 2 * shared)

    def _gaussian(self, points: Cloud, draws: Array) -> tuple[Array, Array]:
        """Mean, and a root R of the covariance R Rᵀ."""
        weights = points.weights(draws)
        mean = weights @ points.points
        centred = (points.points - mean) * np.sqrt(weights)[:, None]
        covariance = (1 - self._share) * centred.T @ centred
        covariance += self._share * np.trace(covariance) / (1 - self._share) / len(mean) * np.eye(len(mean))
        return mean, np.linalg.cholesky(covariance)


class Mmd:
    """Maximum mean discrepancy, squared (Gretton et al. 2012), × 1000; the kernel is as wide as the median distance.

    Points of one track are not compared with each other, so the figure has no bias and may be a little below 0.
    """

    def __init__(self, reference: Cloud) -> None:
        self._reference = reference
        distances = cdist(reference.points, reference.points, "sqeuclidean")
        self._scale = 1 / float(np.median(distances[reference.tracks[:, None] != reference.tracks]))
        self._among = self._by_track(np.exp(-self._scale * distances), reference, reference)

    @staticmethod
    def _by_track(kernel: Array, one: Cloud, other: Cloud) -> Array:
        """Mean of the kernel between every two tracks: [tracks of one, tracks of other]."""
        rows = np.eye(one.num_tracks)[:, one.tracks]
        columns = np.eye(other.num_tracks)[:, other.tracks]
        return (rows @ kernel @ columns.T) / np.outer(rows.sum(1), columns.sum(1))

    def kernels(self, other: Cloud) -> tuple[Array, Array]:
        """Of `other` with itself and with the reference; to be made once."""
        own = np.exp(-self._scale * cdist(other.points, other.points, "sqeuclidean"))
        across = np.exp(-self._scale * cdist(other.points, self._reference.points, "sqeuclidean"))
        return self._by_track(own, other, other), self._by_track(across, other, self._reference)

    def __call__(self, kernels: tuple[Array, Array], reference_draws: Array, other_draws: Array) -> float:
        own, across = kernels
        between = other_draws @ across @ reference_draws / (other_draws.sum() * reference_draws.sum())
        return 1000 * float(
            _mean_of_pairs(self._among, reference_draws) + _mean_of_pairs(own, other_draws) - 2 * between
        )


def _mean_of_pairs(kernel: Array, draws: Array) -> float:
    pairs = np.outer(draws, draws)
    np.fill_diagonal(pairs, 0)
    return float((pairs * kernel).sum() / pairs.sum())


@dataclass(frozen=True)
class Comparison:
    """Two renditions of the same takes against one reference, in one ear and one measure."""

    ours: float
    theirs: float
    floor: float  # the reference's one half against its other
    low: float  # of the ratio, 95 % interval; below 1, ours is nearer
    high: float
    nearer: float  # in which share of the draws ours is nearer

    @property
    def ratio(self) -> float:
        """Ours / theirs, neither taken for less than a hundredth of the larger."""
        return float(_ratio(np.array(self.ours), np.array(self.theirs)))


def _ratio(ours: Array, theirs: Array) -> Array:
    least = 0.01 * np.maximum(np.maximum(ours, theirs), 1e-9)
    return np.maximum(ours, least) / np.maximum(theirs, least)


def compare(
    reference: Cloud, ours: Cloud, theirs: Cloud, seed: int = 0, num_draws: int = NUM_DRAWS
) -> dict[str, Comparison]:
    """By measure: `frechet`, `mmd`. `ours` and `theirs` are of the same takes, drawn together."""
    assert ours.num_tracks == theirs.num_tracks, (ours.num_tracks, theirs.num_tracks)
    frechet, mmd = Frechet(reference), Mmd(reference)
    our_kernels, their_kernels = mmd.kernels(ours), mmd.kernels(theirs)

    def both(reference_draws: Array, take_draws: Array) -> Array:
        return np.array([
            [frechet(found, reference_draws, take_draws) for found in (ours, theirs)],
            [mmd(kernels, reference_draws, take_draws) for kernels in (our_kernels, their_kernels)],
        ])  # fmt: skip

    rng = np.random.default_rng(seed)
    found = both(np.ones(reference.num_tracks), np.ones(ours.num_tracks))
    drawn = np.array([
        both(_draw(rng, reference.num_tracks), _draw(rng, ours.num_tracks)) for _ in range(num_draws)
    ])  # fmt: skip
    floors = _floors(reference, rng)
    comparisons = {}
    for row, name in enumerate(("frechet", "mmd")):
        ratios = _ratio(drawn[:, row, 0], drawn[:, row, 1])
        low, high = np.percentile(ratios, (2.5, 97.5))
        ours_found, theirs_found = found[row].tolist()
        nearer = float((ratios < 1).mean())
        comparisons[name] = Comparison(ours_found, theirs_found, floors[name], float(low), float(high), nearer)
    return comparisons


def ratio(reference: Cloud, ours: Cloud, theirs: Cloud) -> float:
    """The ratio of the Fréchet distances, all tracks counting alike."""
    frechet = Frechet(reference)
    each = np.ones(reference.num_tracks)
    found = [np.array(frechet(other, each, np.ones(other.num_tracks))) for other in (ours, theirs)]
    return float(_ratio(*found))


def _draw(rng: np.random.Generator, count: int) -> Array:
    """How often each of `count` tracks is drawn, with replacement, in `count` draws."""
    return rng.multinomial(count, np.full(count, 1 / count)).astype(np.float64)


def _floors(reference: Cloud, rng: np.random.Generator, num_splits: int = 10) -> dict[str, float]:
    """The reference's one half against its other, mean over random halves."""
    frechet, mmd = Frechet(reference), Mmd(reference)
    own = mmd.kernels(reference)
    found = []
    for _ in range(num_splits):
        half = np.zeros(reference.num_tracks)
        half[rng.permutation(reference.num_tracks)[: reference.num_tracks // 2]] = 1.0
        found.append((frechet(reference, half, 1 - half), mmd(own, half, 1 - half)))
    means = np.mean(found, axis=0)
    return {"frechet": float(means[0]), "mmd": float(means[1])}
