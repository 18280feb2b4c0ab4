"""One fit from one seed: train the network, cluster its codes, refine both."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from gpuclust.algorithms.random import purpose_stream
from gpuclust.algorithms.sampling import distinct
from gpuclust.deep._base import BaseAutoencoder
from gpuclust.deep.clustering.clusterers import prepared
from gpuclust.deep.clustering.heads import ClustererHead, Head
from gpuclust.deep.clustering.methods import Method, Refinement
from gpuclust.deep.clustering.restarts import Judge
from gpuclust.deep.history import Epoch, History
from gpuclust.deep.library import same_threads
from gpuclust.deep.rows import Rows
from gpuclust.deep.training import Training, train
from gpuclust.errors import DataError
from gpuclust.select import Suggestion, suggest_k
from gpuclust.select.choose_k import AUTOMATIC

__all__ = ["Plan", "Run", "suggested"]

#: Most codes that are asked how many clusters there are.
_ASKED_ROWS = 20_000


@dataclass(frozen=True)
class Run:
    """What one fit comes to; ``labels`` is (n,) int32. Of the rows themselves, nothing is kept."""

    seed: int
    autoencoder: BaseAutoencoder
    head: Head
    labels: np.ndarray
    history: History
    n_clusters: int
    suggestion: Suggestion | None
    criterion: float | None


@dataclass(frozen=True)
class Plan:
    """What all restarts have in common: parameters of `gpuclust.DeepClustering`, resolved.

    Attributes
    ----------
    method : Method
    autoencoder : BaseAutoencoder
        To be cloned.
    clusterer : estimator or None
        To be cloned; None: the method's.
    training : Training or None
        Of the refinement.
    weight : float or None
        Of the terms about clusters.
    manifold : mapping
    checkpoint : path or None
    judged : bool
        Whether there are others to compare with.
    tell : callable
        Called with each `Epoch` and the name of the training that it is of.
    """

    method: Method
    autoencoder: BaseAutoencoder
    clusterer: Any
    training: Training | None
    weight: float | None
    manifold: Mapping[str, Any]
    checkpoint: str | os.PathLike[str] | None
    judged: bool
    tell: Callable[[Epoch, str], None]

    def run(self, X: Any, n_clusters: int | None, seed: int, number: int) -> Run:
        """Fit to the rows of `X`, as restart ``number``; ``n_clusters`` None: as many as the codes suggest."""
        autoencoder = clone(self.autoencoder).set_params(
            random_state=seed,
            checkpoint=self._file(number, "pretraining"),
            callback=self._teller(number, "pretraining"),
            verbose=0,
        )
        autoencoder.fit(X).set_params(checkpoint=None, callback=None)
        rows = autoencoder.rows(X)
        codes = autoencoder.codes(rows)
        with same_threads():
            suggestion = suggested(codes, seed) if n_clusters is None else None
            k = n_clusters if suggestion is None else suggestion.value
            assert k is not None
            given = self.clusterer is not None
            clusterer = prepared(self.clusterer, k, seed) if given else self.method.clusterer(k, seed)
            head, labels = self.method.cluster(autoencoder.model_, rows, codes, clusterer, seed, self.manifold)
        history = History()
        if self.method.refinement is not None:
            assert isinstance(head, ClustererHead)
            head = self._refined(self.method.refinement, autoencoder, rows, head, history, number)
            labels = head.labels(autoencoder.codes(rows))
        criterion = Judge(rows)(labels) if self.judged else None
        return Run(seed, autoencoder, head, labels, history, k, suggestion, criterion)

    def _refined(
        self,
        refinement: Refinement,
        autoencoder: BaseAutoencoder,
        rows: Rows,
        head: ClustererHead,
        history: History,
        number: int,
    ) -> Head:
        if not len(head.centers):
            raise DataError(
                f"clusterer={head.clusterer!r} found no cluster in the codes, so that there is nothing to refine: "
                "change its parameters."
            )
        state = refinement.begin(head)
        objective = refinement.objective
        if refinement.weight is not None:
            objective = partial(objective, **{refinement.weight[0]: self.weight})
        train(
            autoencoder.model_,
            rows,
            objective,
            self.training,
            seed=autoencoder._seed,
            state=state,
            callback=self._teller(number, "refinement"),
            checkpoint=self._file(number, "refinement"),
            history=history,
        )
        autoencoder._finish(rows)
        return refinement.end(state)

    def _file(self, number: int, stage: str) -> Path | None:
        return None if self.checkpoint is None else Path(f"{os.fspath(self.checkpoint)}.{number}.{stage}")

    def _teller(self, number: int, stage: str) -> Callable[[Epoch], None]:
        name = f"restart {number + 1}, {stage}" if number else stage
        return lambda epoch: self.tell(epoch, name)


def suggested(codes: Tensor, seed: int) -> Suggestion:
    """How many clusters the codes (n, latent) suggest.

    Raises
    ------
    DataError
        All codes are equal.
    """
    n = len(codes)
    if n > _ASKED_ROWS:
        chosen = np.sort(distinct(purpose_stream(seed, "codes to choose by"), n, _ASKED_ROWS))
        codes = codes[torch.from_numpy(chosen).to(codes.device)]
    if bool((codes == codes[0]).all()):
        raise DataError(
            f"n_clusters='auto': all {n} rows have the same code, which suggests no number of clusters. The rows may "
            "all be equal, or the network has learned nothing: give n_clusters, or train it otherwise."
        )
    return suggest_k(codes, criteria=AUTOMATIC, random_state=seed)
