"""Pictures of what was found. The only room that imports matplotlib."""

from gpuclust.report.choices import plot_eps, plot_k

__all__ = ["plot_eps", "plot_k"]
