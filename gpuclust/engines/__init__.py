"""Where arithmetic runs. One interface, one definition of exactness, one folder per engine."""

from gpuclust.engines.base import Assignment, Engine, Movement, Outcome, Part, Sums, Update, Work
from gpuclust.engines.select import get_engine

__all__ = ["Assignment", "Engine", "Movement", "Outcome", "Part", "Sums", "Update", "Work", "get_engine"]
