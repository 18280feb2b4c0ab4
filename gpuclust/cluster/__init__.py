"""Estimators with scikit-learn's protocol. They wire, validate and store; the arithmetic is in the engines."""

from gpuclust.cluster._dbscan import DBSCAN
from gpuclust.cluster._kmeans import KMeans
from gpuclust.cluster._minibatch import MiniBatchKMeans
from gpuclust.cluster._mixture import GaussianMixture
from gpuclust.cluster._xmeans import XMeans

__all__ = ["DBSCAN", "GaussianMixture", "KMeans", "MiniBatchKMeans", "XMeans"]
