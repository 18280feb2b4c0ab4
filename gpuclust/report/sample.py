"""A fixed sample of rows, of whatever holds them, as estimators take them and as one matrix."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuclust.algorithms.random import purpose_stream
from gpuclust.algorithms.sampling import distinct
from gpuclust.errors import DataError
from gpuclust.sources import Source, as_images, as_source

__all__ = ["Sample", "draw_sample", "names_left_out"]


@dataclass(frozen=True, eq=False)
class Sample:
    """Some of the rows of X.

    Attributes
    ----------
    flat : array of shape (m, d), float32 or float64
        The rows, modalities side by side.
    numbers : int64 array of shape (m,)
        Which they are, rising.
    n_rows : int
        Rows of X.
    names : list of str
        Of the d columns.
    shapes : dict of tuple or None
        Of the rows of each modality that are images, as their source knows; of X, under an empty name, where it is no
        mapping.
    modalities : dict of slice or None
        Columns of each modality; None where X is no mapping.
    """

    flat: np.ndarray
    numbers: np.ndarray
    n_rows: int
    names: list[str]
    shapes: dict[str, tuple[int, ...] | None]
    modalities: dict[str, slice] | None

    def __len__(self) -> int:
        return len(self.numbers)

    def __str__(self) -> str:
        if len(self) == self.n_rows:
            return f"{self.n_rows:,} rows"
        return f"a sample of {len(self):,} of {self.n_rows:,} rows"

    @property
    def rows(self) -> Any:
        """The rows as the estimator takes them: an array, or a dict of arrays."""
        return self.like(self.flat)

    @property
    def parts(self) -> dict[str, slice]:
        """Columns of each modality; of all, under an empty name, where X is no mapping."""
        return {"": slice(0, self.flat.shape[1])} if self.modalities is None else self.modalities

    def like(self, flat: np.ndarray) -> Any:
        """Other flat rows (b, d), as the estimator takes them."""
        if self.modalities is None:
            return flat
        return {name: flat[:, columns] for name, columns in self.modalities.items()}

    def flatten(self, rows: Any) -> np.ndarray:
        """What an estimator gives, an array or a dict of them, as flat rows."""
        if self.modalities is None:
            return np.asarray(rows)
        return np.concatenate([np.asarray(rows[name]) for name in self.modalities], axis=1)


def draw_sample(estimator: Any, X: Any, size: int, seed: int) -> Sample:
    """At most ``size`` rows of X, always the same ones for a seed, in order.

    Parameters
    ----------
    estimator
        Fitted; knows the names of features, the order of modalities, and how much memory to use.
    X
        What the estimator takes: rows, the path of a file, a source, or a mapping of these.
    """
    max_memory = getattr(estimator, "max_memory", None)
    autoencoder = getattr(estimator, "autoencoder_", estimator)
    if isinstance(X, Mapping):
        order = [part.name for part in autoencoder.model_.parts]
        if set(X) != set(order):
            raise DataError(f"X has the modalities {sorted(X)}, but {sorted(order)} are expected.")
        sources = {name: as_source(X[name], max_memory=max_memory, name=f"X[{name!r}]") for name in order}
    else:
        sources = {"": as_images(X, max_memory=max_memory)}
    counts = {name: source.n_rows for name, source in sources.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"every modality needs the same rows, but their numbers differ: {counts}.")
    n_rows = next(iter(counts.values()))
    numbers = np.sort(distinct(purpose_stream(seed, "report"), n_rows, min(size, n_rows)))
    flat = np.concatenate([source.take(numbers) for source in sources.values()], axis=1)
    names: list[str] = []
    columns: dict[str, slice] = {}
    for name, source in sources.items():
        columns[name] = slice(len(names), len(names) + source.n_features)
        names += [f"{name}: {column}" if name else column for column in _columns(source)]
    shapes = {name: source.row_shape for name, source in sources.items()}
    if isinstance(X, Mapping):
        return Sample(flat, numbers, n_rows, names, shapes, columns)
    known = getattr(estimator, "feature_names_in_", None)
    return Sample(flat, numbers, n_rows, names if known is None else [str(one) for one in known], shapes, None)


@contextmanager
def names_left_out() -> Iterator[None]:
    """Keep estimators that were fitted on a table from warning that sampled rows have no names: names were checked."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        yield


def _columns(source: Source) -> list[str]:
    return source.feature_names or [f"x{column}" for column in range(source.n_features)]
