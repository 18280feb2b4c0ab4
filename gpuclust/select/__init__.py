"""Choosing parameters: how many clusters for k-means, which eps and min_samples for DBSCAN, and why these."""

from gpuclust.select.choose_eps import suggest_eps
from gpuclust.select.choose_k import suggest_k
from gpuclust.select.suggestion import EpsSuggestion, Suggestion

__all__ = ["EpsSuggestion", "Suggestion", "suggest_eps", "suggest_k"]
