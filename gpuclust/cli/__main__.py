"""``python -m gpuclust.cli``: the same as ``gpuclust``."""

from gpuclust.cli import main

main()
