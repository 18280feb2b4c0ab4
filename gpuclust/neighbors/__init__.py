"""Nearest neighbours by FAISS, certified; and what its indexes are trained by. The only room that imports faiss."""

from gpuclust.neighbors.distances import k_distances
from gpuclust.neighbors.estimator import NearestNeighbors
from gpuclust.neighbors.training import Clustering, train_ivf

__all__ = ["Clustering", "NearestNeighbors", "k_distances", "train_ivf"]
