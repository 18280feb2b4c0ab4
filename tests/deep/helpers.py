"""Small rows, models and comparisons that the tests of training share."""

from __future__ import annotations

import numpy as np
import torch

from gpuclust.deep.modalities import Modality
from gpuclust.deep.models import build
from gpuclust.deep.rows import Rows
from gpuclust.deep.scaling import fit_scaling, survey
from gpuclust.sources import as_source

CPU = torch.device("cpu")


def blobs(n=70, d=6, seed=0):
    """Rows near a plane in three groups, float32."""
    random = np.random.default_rng(seed)
    plane = random.normal(size=(3, 2))[np.arange(n) % 3] + 0.1 * random.normal(size=(n, 2))
    return (plane @ random.normal(size=(2, d))).astype(np.float32)


def opened(X, *, scaling="minmax", max_memory=None, chunk_rows=None):
    """Rows of X, scaled."""
    source = as_source(X, chunk_rows=chunk_rows)
    modalities, widths = {"X": Modality(scaling=scaling)}, {"X": source.n_features}
    found = survey(source, modalities, widths, CPU)
    return Rows(source, fit_scaling(found, modalities, widths), CPU, max_memory=max_memory)


def network(d=6, latent=2, *, seed=0, variational=False, dropout=0.0, widths=(8,)):
    """A small network for rows of d features."""
    modality = Modality(architecture={"widths": widths, "dropout": dropout})
    return build({"X": modality}, {"X": d}, latent, seed=seed, variational=variational)


def bits(module):
    """All values of a module, to compare."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def same_bits(first, second):
    """Whether two modules' values agree to the last bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
