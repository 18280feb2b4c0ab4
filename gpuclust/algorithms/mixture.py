"""Gaussian mixtures by expectation and maximisation: one loop for arrays and files, any engine.

Dempster, Laird and Rubin 1977. An iteration is one pass over the rows: an engine computes their responsibilities and
adds up the moments about the present means (:mod:`gpuclust.engines.mixture`); nothing of n x k is kept. What follows is
small, and is computed on the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from gpuclust.algorithms import lloyd, seeding
from gpuclust.algorithms.covariances import covariances_of, factors_of, factors_of_precisions
from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.random import purpose_stream
from gpuclust.engines.mixture import MOST, Densities, Mixture, MomentFormat, Moments, log
from gpuclust.errors import DataError

__all__ = ["INITIALIZATIONS", "Callback", "MixtureResult", "Parameters", "densities", "initial", "run"]

#: callback(iteration, lower_bound, change).
Callback = Callable[[int, float, float], None]

INITIALIZATIONS = ("kmeans", "k-means++", "random", "random_from_data")
# Added to the weight of every component, so that one without rows has a mean: scikit-learn's figure.
_LEAST_WEIGHT = 10 * float(np.finfo(np.float64).eps)
# Values, or distances between them, that can be squared and added.
_LARGEST = 2.0**399
# Responsibilities that are made on the host at a time.
_GIVEN = 1 << 20


class Parameters(NamedTuple):
    """A mixture of k components, as :mod:`gpuclust.algorithms.covariances` describes them; all float64.

    weights : ndarray (k,)
    means : ndarray (k, d)
    covariances, factors : ndarrays of the shape of their kind
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    factors: np.ndarray


class MixtureResult(NamedTuple):
    """What a run found.

    parameters : Parameters
    lower_bounds : list of float
        Mean log-likelihood of the rows before each iteration's update.
    converged : bool
    """

    parameters: Parameters
    lower_bounds: list[float]
    converged: bool


def run(
    data: Dataset,
    parameters: Parameters,
    kind: str,
    *,
    max_iter: int,
    tol: float,
    reg_covar: float,
    lower_bound: float = -math.inf,
    callback: Callback | None = None,
) -> MixtureResult:
    """Run iterations from ``parameters``, until the mean log-likelihood of a row changes by less than ``tol``.

    Parameters
    ----------
    kind : {"full", "tied", "diag", "spherical"}
    reg_covar : float
        Added to all variances.
    lower_bound : float
        The mean log-likelihood that the first is compared with.
    callback
        Called after each iteration; an exception that it raises ends the run.

    Raises
    ------
    DataError
        A covariance became singular, or values are too large to be squared.
    """
    bounds: list[float] = []
    for iteration in range(1, max_iter + 1):
        mixture = _mixture(parameters, kind)
        form = _format(data, mixture.means, kind)
        sums = Moments.zeros(len(mixture.means), form)
        for part in data.parts():
            sums += data.engine.mixture_moments(part.rows, mixture, form)
        parameters = _maximized(form.values(sums.limbs), mixture.means, kind, reg_covar)
        bounds.append(mixture.ceiling - sums.deficit(data.n_rows))
        change, lower_bound = bounds[-1] - lower_bound, bounds[-1]
        if callback is not None:
            callback(iteration, lower_bound, change)
        if abs(change) < tol:
            return MixtureResult(parameters, bounds, True)
    return MixtureResult(parameters, bounds, False)


def densities(
    data: Dataset, parameters: Parameters, kind: str, *, responsibilities: bool = False
) -> Iterator[tuple[slice, Densities]]:
    """Labels, log-densities and, if asked for, responsibilities of the rows, part by part."""
    mixture = _mixture(parameters, kind)
    for part in data.parts():
        yield part.rows_slice, data.engine.mixture_densities(part.rows, mixture, responsibilities=responsibilities)


def initial(
    data: Dataset,
    n_components: int,
    kind: str,
    init: str,
    seed: int,
    reg_covar: float,
    *,
    weights: np.ndarray | None = None,
    means: np.ndarray | None = None,
    precisions: np.ndarray | None = None,
) -> Parameters:
    """Where the iterations begin. What is given is taken as it is; if all is, no row is looked at.

    Parameters
    ----------
    init : {"kmeans", "k-means++", "random", "random_from_data"}
        The moments of the clusters of `lloyd.run`; rows chosen by k-means++ or at random, each a component without
        extent but for ``reg_covar``; or random responsibilities.
    """
    if weights is not None and means is not None and precisions is not None:
        factors = factors_of_precisions(precisions, kind)
        return Parameters(weights, means, covariances_of(factors, kind), factors)
    found = _guess(data, n_components, kind, init, seed, reg_covar, singular=precisions is not None)
    if precisions is not None:
        factors = factors_of_precisions(precisions, kind)
        found = found._replace(covariances=covariances_of(factors, kind), factors=factors)
    return found._replace(
        weights=found.weights if weights is None else weights, means=found.means if means is None else means
    )


def _guess(
    data: Dataset, n_components: int, kind: str, init: str, seed: int, reg_covar: float, *, singular: bool
) -> Parameters:
    """Parameters by the method ``init``; with ``singular``, covariances need not be positive definite."""
    if init in ("k-means++", "random_from_data"):
        choose = seeding.plus_plus if init == "k-means++" else seeding.random_rows
        about, _ = choose(data, n_components, seed)
        values = _moments_of_single_rows(n_components, data.n_features, kind)
        return _maximized(values, about, kind, reg_covar, singular=singular)
    if init == "kmeans":
        clusters = lloyd.run(data, seeding.plus_plus(data, n_components, seed)[0], max_iter=300, tol=1e-4)
        about = clusters.centers
    else:
        # Any point amid the rows: moments about it are turned into those about the means.
        about = np.tile(np.median(data.sample.astype(np.float64), axis=0), (n_components, 1))
        stream = purpose_stream(seed, "mixture responsibilities")

    def shares(start: int, stop: int) -> np.ndarray:
        if init == "kmeans":
            return np.equal.outer(clusters.labels[start:stop], np.arange(n_components)).astype(np.float64)
        drawn = stream.uniform((stop - start) * n_components, start * n_components).reshape(-1, n_components)
        return drawn / np.cumsum(drawn, axis=1)[:, -1:]

    mixture = Mixture(about, np.ones((n_components, 1, data.n_features)), np.zeros(n_components))
    form = _format(data, about, kind)
    sums, step = Moments.zeros(n_components, form), max(1, _GIVEN // n_components)
    for part in data.parts():
        for first in range(0, len(part.rows), step):
            rows = part.rows[first : first + step]
            start = part.start + first
            sums += data.engine.mixture_moments(rows, mixture, form, shares(start, start + len(rows)))
    return _maximized(form.values(sums.limbs), about, kind, reg_covar, singular=singular)


def _moments_of_single_rows(n_components: int, n_features: int, kind: str) -> np.ndarray:
    form = MomentFormat.of(1, np.ones(n_features), diagonal=kind in ("diag", "spherical"))
    values = np.zeros((n_components, len(form.left)))
    values[:, 0] = 1.0
    return values


def _format(data: Dataset, means: np.ndarray, kind: str) -> MomentFormat:
    low, high = data.extent
    reach = np.maximum(high - means, means - low).max(axis=0)
    if reach.max() > _LARGEST:
        raise DataError(
            f"X has values up to {np.abs([low, high]).max():.3g}, {reach.max():.3g} from a mean; the covariances of a "
            f"mixture need their squares: scale X so that they are below {_LARGEST:.3g}."
        )
    return MomentFormat.of(data.n_rows, reach, diagonal=kind in ("diag", "spherical"))


def _maximized(
    values: np.ndarray, about: np.ndarray, kind: str, reg_covar: float, *, singular: bool = False
) -> Parameters:
    """Parameters by the moments ``values`` (k, p) about the points ``about`` (k, d): the M-step."""
    d = about.shape[1]
    weights = values[:, 0] + _LEAST_WEIGHT
    if kind in ("diag", "spherical"):
        shift = values[:, 1 : d + 1] / weights[:, None]
        covariances = values[:, d + 1 :] / weights[:, None] - shift**2 + reg_covar
        if kind == "spherical":
            covariances = np.cumsum(covariances, axis=1)[:, -1] / d
    else:
        table = np.empty((len(values), d + 1, d + 1))
        left, right = np.tril_indices(d + 1)
        table[:, left, right] = table[:, right, left] = values
        shift = table[:, 1:, 0] / weights[:, None]
        spread, outer = table[:, 1:, 1:], shift[:, :, None] * shift[:, None, :]
        if kind == "full":
            covariances = spread / weights[:, None, None] - outer
        else:
            covariances = np.cumsum(spread - weights[:, None, None] * outer, axis=0)[-1] / np.cumsum(weights)[-1]
        covariances[..., range(d), range(d)] += reg_covar
    factors = np.ones_like(covariances) if singular else factors_of(covariances, kind)
    return Parameters(weights / np.cumsum(weights)[-1], about + shift, covariances, factors)


def _mixture(parameters: Parameters, kind: str) -> Mixture:
    """The parameters as engines compute with them."""
    weights, means, _, factors = parameters
    k, d = means.shape
    if kind in ("full", "tied"):
        factors = np.broadcast_to(factors, (k, d, d))
        diagonals = np.diagonal(factors, axis1=1, axis2=2)
    else:
        diagonals = np.broadcast_to(factors[:, None] if kind == "spherical" else factors, (k, d))
        factors = diagonals[:, None]
    # A component of no weight has no rows, however near they are.
    logarithms = np.where(weights > 0, log(np.maximum(weights, np.finfo(np.float64).tiny)), -MOST)
    determinants = np.cumsum(log(diagonals), axis=1)[:, -1]
    constants = logarithms + (determinants - 0.5 * d * _LOG_CIRCLE)
    return Mixture(*(np.ascontiguousarray(each, np.float64) for each in (means, factors, constants)))


_LOG_CIRCLE = math.log(2 * math.pi)
