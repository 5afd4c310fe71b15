"""How well a segmentation agrees with the truth.

All scores come from one sparse table of overlaps (how many pixels each predicted and each true object share), so
thousands of objects cost no more than a pass over the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_seamless.errors import AxesError, DatasetError

AP_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


@dataclass(frozen=True)
class ObjectCounts:
    """Matches at one IoU threshold: sums over images give the average precision of a whole set."""

    true_positives: int
    n_predicted: int
    n_truth: int

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN); 1 when there is nothing to find and nothing was found."""
        union = self.n_predicted + self.n_truth - self.true_positives
        return self.true_positives / union if union else 1.0


@dataclass(frozen=True)
class Agreement:
    """How one image's labels agree with the truth.

    Attributes
    ----------
    scores : dict of str to float
        See `evaluate`.
    counts : tuple of ObjectCounts
        For each of `AP_THRESHOLDS`.
    """

    scores: dict[str, float]
    counts: tuple[ObjectCounts, ...]


def evaluate(predicted: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """Score labels against the truth.

    Parameters
    ----------
    predicted, truth : array-like, integer or bool, one shape
        Object ids, 0 = background; ids need not agree or be without gaps. A semantic mask is an image with one object
        for each class, so `iou` and `dice` are what to read there; with several classes these two treat all of them
        as one foreground, and the AP counts a class as found when its IoU reaches the threshold.

    Returns
    -------
    dict
        ``iou``, ``dice`` : of the foreground (any id but 0).
        ``ap50``, ``ap75`` : TP / (TP + FP + FN) at an IoU of 0.5 and 0.75, as in the 2018 Data Science Bowl
        (Caicedo et al. 2019, doi 10.1038/s41592-019-0612-7). A pair matches when its IoU *reaches* the threshold;
        each object is matched at most once, with the most matches possible.
        ``ap_mean`` : mean of the AP at 0.50, 0.55, ... 0.95.
        ``adapted_rand_error`` : 1 - F-score of the Rand index over the pixels where the truth is not background
        (Arganda-Carreras et al. 2015), as in ``skimage.metrics.adapted_rand_error``.
        ``n_predicted``, ``n_truth`` : number of objects.
        Where neither holds an object, nothing is wrong: scores 1, error 0. Where only one of them does, the scores
        are 0; the error is 1 when the truth has no object, and that of one single segment when nothing was predicted.

    Raises
    ------
    AxesError
        If the shapes differ.
    DatasetError
        If the labels are not whole numbers of at least 0.
    """
    return compare(predicted, truth).scores


def compare(predicted: ArrayLike, truth: ArrayLike) -> Agreement:
    """Score labels against the truth, and keep the counts; arguments and errors as for `evaluate`."""
    overlap = _Overlap.between(_checked("predicted", predicted), _checked("truth", truth))
    counts = tuple(ObjectCounts(overlap.n_matches(t), overlap.n_predicted, overlap.n_truth) for t in AP_THRESHOLDS)
    iou, dice = overlap.foreground_iou_and_dice()
    scores = {
        "iou": iou,
        "dice": dice,
        **_precisions(counts),
        "adapted_rand_error": overlap.adapted_rand_error(),
        "n_predicted": overlap.n_predicted,
        "n_truth": overlap.n_truth,
    }
    return Agreement(scores, counts)


def pooled_precisions(agreements: Sequence[Agreement]) -> dict[str, float]:
    """Return ``ap50``, ``ap75`` and ``ap_mean`` of several images as if they were one.

    Objects are counted over all images before the precision is taken, so an image counts by its objects, and one that
    is nearly empty as little as it holds.
    """
    of_images = zip(*(agreement.counts for agreement in agreements), strict=True)
    return _precisions([_summed(counts) for counts in of_images])


def _summed(counts: Sequence[ObjectCounts]) -> ObjectCounts:
    return ObjectCounts(
        sum(count.true_positives for count in counts),
        sum(count.n_predicted for count in counts),
        sum(count.n_truth for count in counts),
    )


def _precisions(counts: Sequence[ObjectCounts]) -> dict[str, float]:
    """Return the average precisions from the counts at each of `AP_THRESHOLDS`."""
    precisions = [count.average_precision for count in counts]
    return {
        "ap50": precisions[AP_THRESHOLDS.index(0.5)],
        "ap75": precisions[AP_THRESHOLDS.index(0.75)],
        "ap_mean": float(np.mean(precisions)),
    }


def count_matches(predicted: ArrayLike, truth: ArrayLike, iou_threshold: float = 0.5) -> ObjectCounts:
    """Count matching objects at one IoU threshold; arguments and errors as for `evaluate`."""
    overlap = _Overlap.between(_checked("predicted", predicted), _checked("truth", truth))
    return ObjectCounts(overlap.n_matches(iou_threshold), overlap.n_predicted, overlap.n_truth)


def _checked(name: str, labels: ArrayLike) -> NDArray[np.integer[Any]]:
    array = np.asarray(labels)
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype.kind not in "ui":
        raise DatasetError(
            f"labels are whole numbers, but the {name} labels are {array.dtype}: convert them with .astype('uint32')"
        )
    if array.dtype.kind == "i" and array.size and array.min() < 0:
        raise DatasetError(
            f"labels are at least 0, but the {name} labels go down to {array.min()}: set what is to be ignored to 0"
        )
    return array


@dataclass(frozen=True)
class _Overlap:
    """Sparse table of overlaps.

    Attributes
    ----------
    predicted, truth, pixels : ndarray, one entry for each pair of ids that share pixels
        Dense ids (0 = background) and the number of shared pixels.
    predicted_sizes, truth_sizes : ndarray
        Pixels of each dense id, entry 0 the background's.
    """

    predicted: NDArray[np.int64]
    truth: NDArray[np.int64]
    pixels: NDArray[np.int64]
    predicted_sizes: NDArray[np.int64]
    truth_sizes: NDArray[np.int64]

    @classmethod
    def between(cls, predicted: NDArray[Any], truth: NDArray[Any]) -> _Overlap:
        if predicted.shape != truth.shape:
            raise AxesError(
                f"predicted and true labels must have one shape, not {predicted.shape} and {truth.shape}: "
                "crop both to the region that they share"
            )
        predicted_ids, n_predicted = _dense(predicted)
        truth_ids, n_truth = _dense(truth)
        pairs, pixels = np.unique(predicted_ids * (n_truth + 1) + truth_ids, return_counts=True)
        return cls(
            predicted=pairs // (n_truth + 1),
            truth=pairs % (n_truth + 1),
            pixels=pixels,
            predicted_sizes=np.bincount(predicted_ids, minlength=n_predicted + 1),
            truth_sizes=np.bincount(truth_ids, minlength=n_truth + 1),
        )

    @property
    def n_predicted(self) -> int:
        return len(self.predicted_sizes) - 1

    @property
    def n_truth(self) -> int:
        return len(self.truth_sizes) - 1

    def foreground_iou_and_dice(self) -> tuple[float, float]:
        both = int(self.pixels[(self.predicted > 0) & (self.truth > 0)].sum())
        total = int(self.predicted_sizes[1:].sum() + self.truth_sizes[1:].sum())
        if total == 0:
            return 1.0, 1.0
        return both / (total - both), 2 * both / total

    def n_matches(self, iou_threshold: float) -> int:
        """Return the largest number of pairs, no object twice, whose IoU reaches the threshold."""
        objects = (self.predicted > 0) & (self.truth > 0)
        predicted, truth, shared = self.predicted[objects], self.truth[objects], self.pixels[objects]
        union = self.predicted_sizes[predicted] + self.truth_sizes[truth] - shared
        # As in skimage and StarDist an IoU equal to the threshold counts.
        matching = shared >= iou_threshold * union
        return _largest_matching(predicted[matching], truth[matching])

    def adapted_rand_error(self) -> float:
        """1 - 2 Σp_ij² / (Σs_i² + Σt_j²), over pixels whose truth is not background."""
        inside = self.truth > 0
        if self.n_truth == 0:
            return 0.0 if self.n_predicted == 0 else 1.0
        pixels = self.pixels[inside].astype(np.float64)
        total = pixels.sum()
        pairs = (pixels**2).sum() - total
        predicted_pairs = (np.bincount(self.predicted[inside], weights=pixels) ** 2).sum() - total
        truth_pairs = (np.bincount(self.truth[inside], weights=pixels) ** 2).sum() - total
        if predicted_pairs + truth_pairs == 0:
            return 0.0
        return float(1.0 - 2.0 * pairs / (predicted_pairs + truth_pairs))


def _dense(labels: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Number the ids without gaps, the background 0; return the flat ids and the number of objects."""
    flat = labels.ravel()
    if flat.size == 0:
        return np.zeros(0, np.int64), 0
    largest = int(flat.max())
    if largest <= 4 * flat.size:
        present = np.zeros(largest + 1, np.bool_)
        present[flat] = True
        present[0] = False
        return np.cumsum(present)[flat] * present[flat], int(present.sum())
    ids, inverse = np.unique(flat, return_inverse=True)
    has_background = ids[0] == 0
    return inverse.astype(np.int64) + (0 if has_background else 1), len(ids) - int(has_background)


def _largest_matching(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> int:
    """Return the size of the largest matching of a sparse graph.

    Above an IoU of one half an object has at most one partner, so nearly every connected piece of the graph is a
    single pair; only the rest is assigned.
    """
    if len(predicted) == 0:
        return 0
    _, row = np.unique(predicted, return_inverse=True)
    _, column = np.unique(truth, return_inverse=True)
    n_rows, n_columns = int(row.max()) + 1, int(column.max()) + 1
    if n_rows == len(row) and n_columns == len(column):
        return len(row)
    graph = coo_array((np.ones(len(row)), (row, n_rows + column)), shape=(n_rows + n_columns,) * 2)
    _, piece = connected_components(graph, directed=False)
    return sum(_assign(row[piece[row] == one], column[piece[row] == one]) for one in np.unique(piece[row]))


def _assign(row: NDArray[np.int64], column: NDArray[np.int64]) -> int:
    rows, row = np.unique(row, return_inverse=True)
    columns, column = np.unique(column, return_inverse=True)
    gain = np.zeros((len(rows), len(columns)))
    gain[row, column] = 1.0
    return int(gain[linear_sum_assignment(gain, maximize=True)].sum())
