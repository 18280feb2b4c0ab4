"""Which features make the rows of a cluster its own: gradients of the soft assignment, back to the input.

For a row x of cluster c with the code z, what is explained is its soft assignment

    q_c(x) = (1 + |z - mu_c|**2)**-1 / sum_j (1 + |z - mu_j|**2)**-1,

Student's t around the centres mu in the space of the codes: that of DEC (J. Xie, R. Girshick, A. Farhadi, ICML 2016),
and here of every method, also of those that assign rows by something else. The attribution to feature j is

    a_j = (x_j - b_j) * mean over i = 1..s of  dq_c/dx_j  at  b + (i / s) (x - b),

where the baseline b is the mean row. One step, s = 1, is gradient x input at the row itself. More steps follow the
straight line from the baseline to the row (M. Sundararajan, A. Taly, Q. Yan, "Axiomatic attribution for deep networks",
ICML 2017): then the a_j of a row sum to q_c(x) - q_c(b), up to an error of 1 / s. Attributions do not depend on the
units of a feature, because what scales x_j divides its gradient.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gpuclust.deep.clustering.soft import student_t
from gpuclust.deep.models import AutoencoderModel
from gpuclust.deep.rows import Rows

__all__ = ["attribute"]


def attribute(
    model: AutoencoderModel, rows: Rows, centers: np.ndarray, labels: np.ndarray, *, steps: int = 8
) -> np.ndarray:
    """Attribution of each cluster to each feature: the mean over its rows.

    Parameters
    ----------
    model : AutoencoderModel
    rows : Rows
        Scaled, (n, d). Their mean is the baseline; a missing modality is at its baseline.
    centers : array of shape (k, latent)
        Centres of the clusters among the codes.
    labels : int array of shape (n,)
        Cluster of each row; rows below 0 (noise) belong to none.
    steps : int, default=8
        Places between the baseline and a row at which the gradient is taken.

    Returns
    -------
    attributions : float64 array of shape (k, d)
        Above 0: where the cluster's rows lie in this feature, away from the mean row, speaks for the cluster; below 0:
        against it. NaN for a cluster without rows.
    """
    baseline = _mean(rows)
    own = torch.from_numpy(np.asarray(labels, np.int64))
    around = torch.as_tensor(np.asarray(centers), dtype=torch.float32, device=rows.device)
    sums = torch.zeros(len(around), rows.n_features, dtype=torch.float64)
    training = model.training
    model.eval()
    try:
        for first, count, block in rows.blocks():
            labels_of = own[first : first + count]
            found = _of_rows(model, block[:count], baseline, around, labels_of.clamp(min=0), steps).cpu().double()
            clustered = labels_of >= 0
            sums.index_add_(0, labels_of[clustered], found[clustered])  # on the host, in order of rows
    finally:
        model.train(training)
    sizes = torch.bincount(own[own >= 0], minlength=len(around))
    return (sums / sizes[:, None]).numpy()


def _of_rows(
    model: AutoencoderModel, x: Tensor, baseline: Tensor, centers: Tensor, labels: Tensor, steps: int
) -> Tensor:
    """Attributions of rows x (b, d) of the clusters ``labels`` (b,), (b, d) float32."""
    away, chosen = x - baseline, labels.to(x.device)[:, None]
    total = torch.zeros_like(x)
    for step in range(1, steps + 1):
        at = (baseline + step / steps * away).requires_grad_()
        # cuDNN's recurrent networks have no gradients outside training; torch's own have.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            soft = student_t(model.encode(at).float(), centers)
            (gradient,) = torch.autograd.grad(soft.gather(1, chosen).sum(), at)
        total += gradient
    return torch.where(away.isnan(), 0.0, away * total / steps)


def _mean(rows: Rows) -> Tensor:
    """The mean row, (d,) float32; a missing modality does not count."""
    total, count = (torch.zeros(rows.n_features, dtype=torch.float64, device=rows.device) for _ in range(2))
    for _, n_rows, block in rows.blocks():
        present = ~block[:n_rows].isnan()
        total += block[:n_rows].nan_to_num().double().sum(0)
        count += present.sum(0)
    return (total / count).float()
