"""How the rows of an estimator are drawn: the look of each modality, and the units in which it is seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpuclust.errors import ParameterError
from gpuclust.report.look import Look, is_image
from gpuclust.report.sample import Sample

__all__ = ["View", "views_of"]

#: Rows that are shown as they are, at most: as images, and as profiles.
_SHOWN = {True: 20, False: 12}


@dataclass(frozen=True, eq=False)
class View:
    """A modality as pictures show it."""

    name: str
    columns: slice
    look: Look
    shift: np.ndarray
    factor: np.ndarray

    def seen(self, flat: np.ndarray) -> np.ndarray:
        """Its columns of rows (m, d): columns of different units in standard deviations from their means."""
        return (flat[:, self.columns] - self.shift) * self.factor

    def some(self, sample: Sample) -> np.ndarray:
        """Positions of a few rows that have it, spread over the sample."""
        there = np.flatnonzero(~np.isnan(sample.flat[:, self.columns.start]))
        count = min(_SHOWN[self.look.is_image], len(there))
        return there[np.arange(count) * len(there) // max(count, 1)]


def views_of(autoencoder: Any, sample: Sample, image_shape: Any) -> Iterator[View]:
    """A view of each modality of the sampled rows; of all columns, if X is no mapping.

    Raises
    ------
    ParameterError, DataError
        ``image_shape`` is no shape of images, or not that of the rows.
    """
    parts = {} if autoencoder is None else {part.name: part.modality for part in autoencoder.model_.parts}
    if image_shape is not None and isinstance(image_shape, Mapping) != (sample.modalities is not None):
        raise ParameterError(
            f"image_shape={image_shape!r} should be a tuple, or with modalities a dict by their names."
        )
    for name, columns in sample.parts.items():
        modality = next(iter(parts.values()), None) if sample.modalities is None else parts[name]
        architecture = None if modality is None else modality.architecture
        shape = image_shape.get(name) if isinstance(image_shape, Mapping) else image_shape
        names = [one.removeprefix(f"{name}: ") for one in sample.names[columns]]
        look, shift, factor = _look(shape, sample.shapes[name], architecture, names), np.zeros(1), np.ones(1)
        look.check(sample.flat[:, columns])
        if modality is not None and modality.scaling == "standard":
            look = replace(look, note="; in standard deviations from the mean")
            scaling = autoencoder.scaling_
            shift, factor = (np.asarray(values)[columns] for values in (scaling.shift, scaling.factor))
        yield View(name, columns, look, shift, factor)


def _look(given: Any, stored: tuple[int, ...] | None, architecture: Any, names: list[str]) -> Look:
    """By the shape that is given, by that of the network's sequences, or by the first that is an image's."""
    if given is not None:
        return Look(given, names=names)
    if architecture is not None and architecture.kind in ("conv1d", "gru"):
        return Look(architecture.shape, sequence=True, names=names)
    shapes = (stored, None if architecture is None else architecture.shape)
    return Look(next((shape for shape in shapes if shape is not None and is_image(shape)), None), names=names)
