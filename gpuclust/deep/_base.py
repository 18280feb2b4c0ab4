"""What the autoencoders share: scikit-learn's protocol around rows, a model and the trainer."""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from gpuclust.algorithms.random import purpose_stream
from gpuclust.cluster._initial import draw_seed
from gpuclust.config import resolve_device
from gpuclust.deep.encoding import decode, encode, over_rows
from gpuclust.deep.history import Epoch, History
from gpuclust.deep.library import same_threads, torch_device
from gpuclust.deep.likelihoods import LIKELIHOODS, NegativeBinomial
from gpuclust.deep.modalities import Modality, side_by_side
from gpuclust.deep.models import AutoencoderModel, build
from gpuclust.deep.networks import Architecture
from gpuclust.deep.objectives import NeighborState, Objective, State
from gpuclust.deep.rows import Rows, generator
from gpuclust.deep.scaling import Scaling, Survey, fit_scaling, survey
from gpuclust.deep.training import SCHEDULES, Training, train
from gpuclust.deep.views import view_of
from gpuclust.errors import DataError, DataTypeError, GpuclustWarning, ResourceError
from gpuclust.protocol import InvalidParameter, check_features, check_parameters, in_kind_of
from gpuclust.sources import Source, as_images, as_source
from gpuclust.validation import check_positive_int, parse_memory

__all__ = ["BaseAutoencoder"]

_ALONE = "X"  # the name of the one modality of rows that are no mapping


class BaseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of `Autoencoder` and `VariationalAutoencoder`: parameters, opening rows, and everything after `fit`."""

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "architecture": [str, Architecture, dict],
        "likelihood": [StrOptions(set(LIKELIHOODS))],
        "scaling": [StrOptions({"auto", "minmax", "standard"}), None],
        "modalities": [Mapping, None],
        "neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "neighbor_weight": [Interval(Real, 0, None, closed="neither")],
        "noise": [Interval(Real, 0, 1, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions(set(SCHEDULES))],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "clip": [Interval(Real, 0, None, closed="neither"), None],
        "validation": [Interval(Real, 0, 1, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "compile": ["boolean"],
        "checkpoint": [str, os.PathLike, None],
        "device": [str, None],
        "max_memory": [str, Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "callback": [callable, None],
    }
    _variational: ClassVar[bool] = False

    n_components: int
    architecture: Any
    likelihood: str
    scaling: str | None
    modalities: Mapping[str, Any] | None
    neighbors: int | None
    neighbor_weight: float
    noise: float
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    weight_decay: float
    clip: float | None
    validation: float
    patience: int | None
    precision: str
    compile: bool
    checkpoint: str | os.PathLike[str] | None
    device: str | None
    max_memory: int | str | None
    random_state: Any
    verbose: int
    callback: Callable[[Epoch], None] | None
    model_: AutoencoderModel
    scaling_: Scaling
    history_: History
    n_iter_: int
    n_features_in_: int

    @abstractmethod
    def _objective(self, rows: Rows) -> tuple[Objective, State]:
        """What is minimised over rows, and its state."""

    # -- fit ---------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the network on the rows of `X`.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features), or mapping of these
            Rows: NumPy, pandas, polars, pyarrow, torch, any DLPack array, lists, the path of a file, or a `Source`;
            with `modalities` a mapping of their names to rows, in which a missing modality of a row is NaN in all its
            columns. Images may have their shape, (n_samples, height, width) or (n_samples, height, width, channels),
            in an array, a ``.npy`` file or a folder: their neighbours are then those of images, see `neighbors`.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            A parameter breaks its rule.
        DataError
            `X` is empty, not finite, no matrix of numbers, not what the likelihood is for, or its rows do not have the
            architecture's shape; modalities have different numbers of rows, or a row has none of them.
        TrainingError
            The loss is no longer finite: `model_` is as it was after the last good epoch.
        DeviceError
            torch cannot use the GPU that was asked for.

        Warns
        -----
        GpuclustWarning
            Codes are wider than rows, or all rows are equal.
        """
        self._prepare(X)
        rows = self.rows(X)
        objective, state = self._objective(rows)
        training = Training(**{name: getattr(self, name) for name in Training.__dataclass_fields__})
        self.history_ = History()
        train(
            self.model_,
            rows,
            objective,
            training,
            seed=self._seed,
            state=state,
            callback=self._report,
            checkpoint=self.checkpoint,
            history=self.history_,
        )
        self.n_iter_ = len(self.history_)
        self._finish(rows)
        return self

    def _neighborhoods(self, rows: Rows) -> NeighborState:
        """The graph of the neighbours of rows: of scaled rows, and of images by tangent distance.

        Raises
        ------
        InvalidParameter, ResourceError, DataError
            There are modalities; the rows are streamed; there is but one.
        """
        if self.modalities is not None:
            raise InvalidParameter(f"neighbors={self.neighbors!r} are sought in rows of one kind, not in modalities.")
        if rows.x is None:
            raise ResourceError(
                f"neighbors={self.neighbors!r} needs all rows in memory, but {rows.source.description} does not fit: "
                f"raise max_memory={self.max_memory!r}, pass fewer rows, or do without (neighbors=None)."
            )
        if rows.n_rows < 2:
            raise DataError(f"n_samples={rows.n_rows} should be >= 2 with neighbors={self.neighbors!r}.")
        assert self.neighbors is not None
        # A set of few rows has fewer neighbours.
        with same_threads():
            _, graph = view_of(rows).neighbors(min(int(self.neighbors), rows.n_rows - 1), self.device)
        return NeighborState(torch.from_numpy(graph).to(rows.device))

    def _prepare(self, X: Any) -> None:
        """Check parameters, survey the rows, and make scaling and model, not yet trained."""
        check_parameters(self)
        self._modalities = self._resolved()
        self._seed = draw_seed(check_random_state(self.random_state))
        source = self._source(X, reset=True)
        self.model_ = build(
            self._modalities, self._widths, int(self.n_components), variational=self._variational, seed=self._seed
        )
        n_weights = sum(weight.numel() for weight in self.model_.parameters())
        device = torch_device(self.device, data_device=source.device, work=3 * source.n_rows * n_weights)
        self.model_.to(device).eval()
        found = survey(source, self._modalities, self._widths, device)
        if source.n_rows > 1 and bool((found.low == found.high).all()):
            warnings.warn("All rows of X are equal: there is nothing to learn.", GpuclustWarning, stacklevel=3)
        self.scaling_ = fit_scaling(found, self._modalities, self._widths)
        self._set_typical_totals(found)

    def _set_typical_totals(self, found: Survey) -> None:
        for part in self.model_.parts:
            if isinstance(part.likelihood, NegativeBinomial):
                part.likelihood.typical_total.fill_(max(found.row_totals[part.name], 1.0))

    def _finish(self, rows: Rows) -> None:
        """What is found out of the trained model."""

    def _report(self, epoch: Epoch) -> None:
        if self.verbose:
            print(epoch)
        if self.callback is not None:
            self.callback(epoch)

    # -- after fit ---------------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> Any:
        """Return the codes of the rows of `X`.

        Parameters
        ----------
        X
            As in `fit`.

        Returns
        -------
        codes : float32 array of shape (n_samples, n_components)
            A torch tensor or CuPy array, on its device, if `X` is one; a NumPy array otherwise.

        Raises
        ------
        DataError
            `X` is not finite, is empty, or has another number of features than the training rows.
        """
        check_is_fitted(self)
        return in_kind_of(X, self.codes(X).cpu().numpy())

    def codes(self, X: Any) -> Tensor:
        """Return what `transform` does, where the network is: without a copy to the host.

        Parameters
        ----------
        X
            As in `fit`, or a `gpuclust.deep.rows.Rows`.

        Returns
        -------
        codes : torch.Tensor of shape (n_samples, n_components), float32
            On the device of the network, C-contiguous; gpuclust's estimators compute on it as it lies.
        """
        check_is_fitted(self)
        return encode(self.model_, X if isinstance(X, Rows) else self.rows(X))

    def inverse_transform(self, X: Any) -> Any:
        """Return the expected rows of codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        rows : float32 array of shape (n_samples, n_features)
            In the units of the training rows; with `modalities` a dict of arrays.
        """
        check_is_fitted(self)
        source = as_source(X, max_memory=self.max_memory)
        if source.n_features != self.n_components:
            raise DataError(
                f"X has {source.n_features} features, but codes of {type(self).__name__} have n_components="
                f"{self.n_components}."
            )
        codes = torch.from_numpy(source.take(np.arange(source.n_rows)))
        decoded = self._decoded(codes)
        return decoded if isinstance(decoded, dict) else in_kind_of(X, decoded)

    def reconstruction_error(self, X: Any) -> Any:
        """Return for each row of `X` the reconstruction term of the loss, without noise.

        Returns
        -------
        errors : float32 array of shape (n_samples,)
            Negative log likelihood of the row given its code, of scaled values: for "gaussian" the squared error, the
            mean over the row's values for `Autoencoder` and their sum for `VariationalAutoencoder`.
        """
        check_is_fitted(self)
        return in_kind_of(X, self._losses(self.rows(X)).cpu().numpy())

    def score(self, X: Any, y: Any = None) -> float:
        """Return minus the mean of the reconstruction errors: the larger the better."""
        check_is_fitted(self)
        return -float(self._losses(self.rows(X)).double().mean())

    def sample(self, n_samples: int = 1) -> Any:
        """Return the expected rows of codes that are drawn; always the same ones for an integer `random_state`.

        Parameters
        ----------
        n_samples : int, default=1

        Returns
        -------
        rows : float32 array of shape (n_samples, n_features)
            In the units of the training rows; with `modalities` a dict of arrays.
        """
        check_is_fitted(self)
        n_samples = check_positive_int(n_samples, "n_samples")
        seed = purpose_stream(draw_seed(check_random_state(self.random_state)), "sample").key
        shape = (n_samples, int(self.n_components))
        noise = torch.randn(shape, generator=generator(seed, torch.device("cpu")), dtype=torch.float64)
        return self._decoded(self._codes_of(noise))

    def rows(self, X: Any) -> Rows:
        """Return the rows of `X`, checked, scaled and on the device of the network, as the trainer takes them."""
        source = self._source(X)
        if source.device is not None or resolve_device(self.device) != "auto":
            self.model_.to(torch_device(self.device, data_device=source.device))
        device = self.model_.device
        survey(source, self._modalities, self._widths, device)
        return Rows(source, self.scaling_, device, max_memory=parse_memory(self.max_memory))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _codes_of(self, noise: Tensor) -> Tensor:
        """Codes from standard normal numbers (m, n_components) float64."""
        return noise

    def _losses(self, rows: Rows) -> Tensor:
        def losses(x: Tensor) -> Tensor:
            return torch.stack(list(self.model_.losses(x, self.model_.encode(x)).values())).sum(0)

        return over_rows(self.model_, rows, losses)

    def _decoded(self, codes: Tensor) -> np.ndarray | dict[str, np.ndarray]:
        rows = self.scaling_.undo(decode(self.model_, codes)).cpu().numpy()
        if self.modalities is None:
            return rows
        return {part.name: rows[:, part.columns] for part in self.model_.parts}

    def _resolved(self) -> dict[str, Modality]:
        """The modalities of the parameters: one of its own for rows that are no mapping."""
        if self.modalities is None:
            return {_ALONE: Modality(self.likelihood, self.architecture, 1.0, self.scaling)}
        if not self.modalities:
            raise InvalidParameter("modalities={} should name at least one.")
        found = {}
        for name, modality in self.modalities.items():
            if not isinstance(modality, Modality | Mapping):
                raise InvalidParameter(
                    f"modalities[{name!r}]={modality!r} should be a Modality, or a dict of its fields."
                )
            found[name] = modality if isinstance(modality, Modality) else Modality.from_dict(modality)
        return found

    def _source(self, X: Any, *, reset: bool = False) -> Source:
        if self.modalities is None:
            source = as_images(X, max_memory=self.max_memory)
            check_features(self, X, source, reset=reset)
            widths = {_ALONE: source.n_features}
        else:
            if not isinstance(X, Mapping):
                raise DataTypeError(
                    f"X is a {type(X).__name__}, but with modalities it should be a mapping of "
                    f"{sorted(self._modalities)}."
                )
            source = side_by_side(X, list(self._modalities), max_memory=self.max_memory)
            widths = source.widths
            check_features(self, source, source, reset=reset)
        if reset:
            self._widths = widths
        elif widths != self._widths:
            raise DataError(f"X has modalities of {widths} features, but {self._widths} are expected as in fit.")
        return source

    @property
    def _n_features_out(self) -> int:
        return int(self.n_components)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.non_deterministic = False
        return tags
