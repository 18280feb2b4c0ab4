"""Gaussian mixtures: iterations of EM from the same start, judged by the likelihood of what comes out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.cases import Case, Contender
from bench.data import Rows, blobs
from bench.kmeans import initial_centers

__all__ = ["CASES", "MixtureCase"]

Result = tuple[tuple[NDArray[Any], ...], int]  # weights, means, precisions; iterations that ran


def _options(means: Rows, kind: str, n_iter: int) -> dict[str, Any]:
    """The start that everybody is given: the means, equal weights, unit variances; float64, as gpuclust computes."""
    k, d = means.shape
    precisions = {
        "full": np.stack([np.eye(d)] * k),
        "tied": np.eye(d),
        "diag": np.ones((k, d)),
        "spherical": np.ones(k),
    }
    return {
        "n_components": k, "covariance_type": kind, "max_iter": n_iter, "tol": 0.0, "weights_init": np.full(k, 1 / k),
        "means_init": means.astype(np.float64), "precisions_init": precisions[kind],
    }  # fmt: skip


def _outcome(model: Any) -> Result:
    return (model.weights_, model.means_, model.precisions_cholesky_), model.n_iter_


def gpuclust(rows: Rows, means: Rows, kind: str, n_iter: int) -> Result:
    from gpuclust import GaussianMixture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged: that is the point
        return _outcome(GaussianMixture(**_options(means, kind, n_iter), device="cpu").fit(rows))


def sklearn(rows: Rows, means: Rows, kind: str, n_iter: int) -> Result:
    from sklearn.mixture import GaussianMixture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _outcome(GaussianMixture(**_options(means, kind, n_iter)).fit(rows.astype(np.float64)))


CONTENDERS = {
    each.name: each
    for each in (
        Contender("gpuclust", "gpuclust", gpuclust),
        Contender("sklearn", "scikit-learn", sklearn, note="given the rows in float64, as gpuclust computes"),
    )
}


@dataclass(frozen=True, kw_only=True)
class MixtureCase(Case):
    """One benchmark: `n_iter` iterations of EM with `n_components` components and this kind of `covariance`."""

    n_components: int
    covariance: str = "full"
    n_iter: int = 10
    contenders: tuple[str, ...] = ("gpuclust", "sklearn")

    kind: ClassVar[str] = "mixture"
    peers: ClassVar[dict[str, Contender]] = CONTENDERS
    headings: ClassVar[tuple[str, ...]] = ("mean log-likelihood", "iterations")
    footnote: ClassVar[str] = "The likelihood is that of the parameters found, by one yardstick, in float64."

    def scaled(self, scale: float) -> MixtureCase:
        return replace(self, n_rows=max(50 * self.n_components, round(self.n_rows * scale)))

    def arguments(self, rows: Rows) -> tuple[Any, ...]:
        return initial_centers(rows, self.n_components), self.covariance, self.n_iter

    def warm_up(self, rows: Rows, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return rows[: max(1024, 4 * self.n_components)], *arguments[:2], 1

    def setting(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        return {"n_components": self.n_components, "covariance": self.covariance, "n_iter": self.n_iter}

    def judged(self, rows: Rows, outcomes: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {
            name: {"log_likelihood": log_likelihood(rows, self.covariance, *parameters), "n_iter": int(n_iter)}
            for name, (parameters, n_iter) in outcomes.items()
        }

    @classmethod
    def described(cls, record: dict[str, Any]) -> str:
        return f"k={record['n_components']}, {record['covariance']}, {record['n_iter']} iterations"

    @classmethod
    def cells(cls, entry: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
        return f"{entry['log_likelihood']:.6f}", str(entry["n_iter"])


def log_likelihood(rows: Rows, kind: str, weights: NDArray[Any], means: NDArray[Any], factors: NDArray[Any]) -> float:
    """Mean log-likelihood of the rows; ``factors`` are Cholesky factors of precisions, or their roots."""
    k, d = means.shape
    if kind in ("full", "tied"):
        matrices = np.broadcast_to(factors, (k, d, d))
    else:
        matrices = np.stack([np.diag(np.broadcast_to(factor, d)) for factor in factors])
    total = np.full(len(rows), -np.inf)
    for weight, mean, matrix in zip(weights, means, matrices, strict=True):
        squares = np.square((rows - mean) @ matrix).sum(axis=1)
        constant = np.log(weight) + np.log(np.diagonal(matrix)).sum() - 0.5 * d * np.log(2 * np.pi)
        total = np.logaddexp(total, constant - 0.5 * squares)
    return float(total.mean())


_ALL = [
    MixtureCase(
        name="mixture-10d",
        title="Gaussian mixture, full, blobs 100k x 10, k=10",
        make=partial(blobs, 10, 10),
        n_rows=100_000,
        n_components=10,
    ),
    MixtureCase(
        name="mixture-codes",
        title="Gaussian mixture, full, blobs 50k x 32, k=20",
        make=partial(blobs, 32, 20),
        n_rows=50_000,
        n_components=20,
        n_iter=5,
    ),
    MixtureCase(
        name="mixture-diagonal",
        title="Gaussian mixture, diagonal, blobs 100k x 64, k=100",
        make=partial(blobs, 64, 100),
        n_rows=100_000,
        n_components=100,
        covariance="diag",
        n_iter=5,
    ),
]

CASES = {case.name: case for case in _ALL}
