"""What was found, in pictures and in words. The only room that imports matplotlib."""

from gpuclust.report.choices import plot_eps, plot_k
from gpuclust.report.deep import pictures
from gpuclust.report.explaining import explain
from gpuclust.report.explanation import ClusterExplanation, Explanation, Feature
from gpuclust.report.look import Look
from gpuclust.report.losses import plot_losses
from gpuclust.report.panels import plot_attributions, plot_centers, plot_examples
from gpuclust.report.reconstructions import plot_reconstructions
from gpuclust.report.scatter import plot_clusters

__all__ = [
    "ClusterExplanation",
    "Explanation",
    "Feature",
    "Look",
    "explain",
    "pictures",
    "plot_attributions",
    "plot_centers",
    "plot_clusters",
    "plot_eps",
    "plot_examples",
    "plot_k",
    "plot_losses",
    "plot_reconstructions",
]
