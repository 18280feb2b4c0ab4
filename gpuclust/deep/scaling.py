"""Input scaling: found in one pass over the rows, applied as they are placed, and undone in what a model gives back.

"minmax"
    One shift and one factor for all columns of a modality bring its values to [0, 1]: columns keep their proportions,
    as the grey values of an image or counts should.
"standard"
    Every column gets mean 0 and variance 1: for columns of different units.
None
    Values are used as they are.

A column, or with "minmax" a modality, of one value alone becomes 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gpuclust.deep.modalities import Modality
from gpuclust.deep.placing import blocks
from gpuclust.errors import DataError
from gpuclust.sources import Source

__all__ = ["Scaling", "Survey", "fit_scaling", "survey"]

#: Largest value, without and with scaling: squares, summed over columns or rows, are within float32 or float64.
_LARGEST = (1e15, 1e150)
#: Values of a block: sums over rows are made block by block, so that they do not depend on how rows are stored.
_BLOCK_VALUES = 2**20


@dataclass(frozen=True)
class Scaling:
    """x -> (x - shift) * factor of each column; float64 (d,) on the CPU."""

    shift: Tensor
    factor: Tensor

    def apply(self, rows: Tensor) -> Tensor:
        """Scaled rows, float32, on their device."""
        shift, factor = (values.to(rows.device) for values in (self.shift, self.factor))
        return ((rows - shift) * factor).float()  # in float64, so that an offset does not cost digits

    def undo(self, rows: Tensor) -> Tensor:
        """Rows (b, d) in the units of the input, float32."""
        return self.undone(rows).float()

    def undone(self, rows: Tensor) -> Tensor:
        """The same in float64, which holds values that float32 does not."""
        shift, factor = (values.to(rows.device) for values in (self.shift, self.factor))
        return rows.double() / factor + shift


@dataclass
class Survey:
    """What one pass over the rows finds, per column: float64 (d,) on the CPU; missing modalities do not count."""

    low: Tensor
    high: Tensor
    mean: Tensor
    deviation: Tensor
    #: Mean over the rows of the sum of a row's values, by modality.
    row_totals: dict[str, float]


def survey(
    source: Source, modalities: Mapping[str, Modality], widths: Mapping[str, int], device: torch.device
) -> Survey:
    """Look at all rows once: extents, moments, and whether their values are what the likelihoods are for.

    Raises
    ------
    DataError
        A value is NaN or infinite (a missing modality is NaN in all its columns); a row has no modality; values are
        not what a likelihood is for, or too large for float32 as they are.
    """
    d, several = source.n_features, len(modalities) > 1
    count, total, squares = (torch.zeros(d, dtype=torch.float64, device=device) for _ in range(3))
    low, high = torch.full_like(total, torch.inf), torch.full_like(total, -torch.inf)
    origin: Tensor | None = None
    runs, start = {}, 0
    for name in modalities:
        runs[name] = slice(start, start + widths[name])
        start += widths[name]
    for first, block in blocks(source, max(1, _BLOCK_VALUES // d), device):
        there = _present(block, runs) if several else torch.ones_like(block, dtype=torch.bool)
        _check_values(block, there, first, source, runs, modalities)
        rows = block.double()
        if origin is None:
            origin = rows[0].nan_to_num()
        shifted = torch.where(there, rows - origin, 0.0)
        count += there.sum(0)
        total += shifted.sum(0)
        squares += shifted.square().sum(0)
        low = torch.minimum(low, torch.where(there, rows, torch.inf).amin(0))
        high = torch.maximum(high, torch.where(there, rows, -torch.inf).amax(0))
    assert origin is not None  # a source has at least one row
    for name, run in runs.items():
        if not bool(count[run.start]):
            raise DataError(f"the modality {name!r} is missing in every row of {source.description}.")
    mean = total / count
    variance = (squares / count - mean.square()).clamp(min=0)
    variance = torch.where(high > low, variance, 0.0)  # rounding aside, a constant column has none
    mean = (mean + origin).cpu()
    totals = {name: float(mean[run].sum()) for name, run in runs.items()}
    return Survey(low.cpu(), high.cpu(), mean, variance.sqrt().cpu(), totals)


def fit_scaling(found: Survey, modalities: Mapping[str, Modality], widths: Mapping[str, int]) -> Scaling:
    """The scaling of each modality, from a survey of the rows."""
    shift, factor = torch.zeros_like(found.low), torch.ones_like(found.low)
    start = 0
    for name, modality in modalities.items():
        run = slice(start, start + widths[name])
        start += widths[name]
        if modality.scaling == "minmax":
            low, high = found.low[run].min(), found.high[run].max()
            shift[run], factor[run] = low, 1 / (high - low) if high > low else 1.0
        elif modality.scaling == "standard":
            deviation = found.deviation[run]
            shift[run], factor[run] = found.mean[run], torch.where(deviation > 0, 1 / deviation, 1.0)
    return Scaling(shift, factor)


def _present(block: Tensor, runs: Mapping[str, slice]) -> Tensor:
    """Which values belong to a modality that is there: not NaN in all its columns."""
    return torch.cat(
        [(~block[:, run].isnan().all(1, keepdim=True)).expand(-1, run.stop - run.start) for run in runs.values()], 1
    )


def _check_values(
    block: Tensor,
    there: Tensor,
    first: int,
    source: Source,
    runs: Mapping[str, slice],
    modalities: Mapping[str, Modality],
) -> None:
    bad = there & ~block.isfinite()
    if bool(bad.any()):
        row, column = (int(at) for at in bad.nonzero()[0])
        kind = "NaN" if bool(block[row, column].isnan()) else "infinity or a value too large"
        raise DataError(
            f"Input X contains {kind}: first at row {first + row}, column {column} of {source.description}. Every "
            "value must be finite; drop or impute such rows first."
            + (" A missing modality is NaN in all its columns." if len(runs) > 1 else "")
        )
    empty = ~there.any(1)
    if bool(empty.any()):
        row = first + int(empty.nonzero()[0])
        raise DataError(f"row {row} of X has none of the modalities {sorted(runs)}; every row needs at least one.")
    for name, run in runs.items():
        modality, values = modalities[name], block[:, run][there[:, run]]
        if not len(values):
            continue
        low, high = (float(value) for value in values.aminmax())
        about = f"likelihood={modality.likelihood!r}" + (f" of {name!r}" if len(runs) > 1 else "")
        largest = _LARGEST[modality.scaling is not None]
        if max(-low, high) > largest:
            raise DataError(
                f"X has a value of {max(-low, high):.3g}; with scaling={modality.scaling!r} it should be at most "
                f"{largest:.0e}."
            )
        if modality.likelihood in ("poisson", "negative_binomial") and low < 0:
            raise DataError(f"Negative values in data passed to X: {about} is for counts, but X has {low:.6g}.")
        if modality.likelihood in ("bernoulli", "categorical") and modality.scaling is None and (low < 0 or high > 1):
            raise DataError(f"{about} is for values in [0, 1], but X has values from {low:.6g} to {high:.6g}.")
