"""Where rows come from: arrays, tables and files as one interface. See `as_source`."""

from __future__ import annotations

from gpuclust.sources.base import Chunk, Source
from gpuclust.sources.dispatch import FILE_SUFFIXES, as_images, as_source

__all__ = ["FILE_SUFFIXES", "Chunk", "Source", "as_images", "as_source"]
