"""Every exception and warning that gpuclust raises.

::

    GpuclustError
    ├── ParameterError (ValueError)        a parameter breaks its rule               exit code 2
    ├── DataError (ValueError)             rows that cannot be clustered              exit code 3
    │   ├── DataTypeError (TypeError)      wrong container, dtype or number of axes
    │   └── FileFormatError                a file that is unreadable, truncated or mislabelled
    ├── OutputError (OSError)              a result that cannot be written            exit code 4
    ├── ResourceError (RuntimeError)       memory, device or thread limits            exit code 4
    │   ├── DeviceError                    no such device, or it failed
    │   ├── DeviceMemoryError (MemoryError)  too little memory on a device
    │   └── MissingDependencyError (ImportError)   an extra is not installed
    ├── TrainingError (ArithmeticError)    a network whose loss is no longer finite    exit code 3
    └── ModelError (ValueError)            a saved model that is corrupt or untrusted exit code 5

    GpuclustWarning (UserWarning)
    ├── FallbackWarning                    another engine than the preferred one runs, and why
    └── ConvergenceWarning                 fewer clusters than asked for, or not converged
                                           (also a sklearn.exceptions.ConvergenceWarning when raised by estimators)

Messages name the parameter, the value received and the rule: "n_samples=3 should be >= n_clusters=4."
Each class derives from the built-in exception that scikit-learn raises in the same place, so code written
against scikit-learn keeps working.
"""

from __future__ import annotations

__all__ = [
    "ConvergenceWarning",
    "DataError",
    "DataTypeError",
    "DeviceError",
    "DeviceMemoryError",
    "FallbackWarning",
    "FileFormatError",
    "GpuclustError",
    "GpuclustWarning",
    "MissingDependencyError",
    "ModelError",
    "OutputError",
    "ParameterError",
    "ResourceError",
    "TrainingError",
]


class GpuclustError(Exception):
    """Base of all errors raised on purpose by gpuclust."""

    exit_code = 1


class ParameterError(GpuclustError, ValueError):
    """A parameter breaks its rule."""

    exit_code = 2


class DataError(GpuclustError, ValueError):
    """The data cannot be clustered: not finite, empty, wrong shape, wrong length."""

    exit_code = 3


class DataTypeError(DataError, TypeError):
    """The container, dtype or number of axes is not supported."""


class FileFormatError(DataError):
    """A file is unreadable, truncated, or not what its header says."""


class OutputError(GpuclustError, OSError):
    """A result cannot be written where it was asked for."""

    exit_code = 4


class ResourceError(GpuclustError, RuntimeError):
    """Memory, a device or threads do not suffice."""

    exit_code = 4


class DeviceError(ResourceError):
    """The device that was asked for is absent or failed."""


class DeviceMemoryError(ResourceError, MemoryError):
    """A device has too little memory, even for the smallest chunk of rows."""


class MissingDependencyError(ResourceError, ImportError):
    """An optional dependency is needed; the message names the extra to install."""


class TrainingError(GpuclustError, ArithmeticError):
    """Training diverged: a loss or a weight of a network is no longer finite."""

    exit_code = 3


class ModelError(GpuclustError, ValueError):
    """A saved model is corrupt, of an unknown version, or not trusted."""

    exit_code = 5


class GpuclustWarning(UserWarning):
    """Base of all warnings issued by gpuclust."""


class FallbackWarning(GpuclustWarning):
    """Another engine than the preferred one runs; the message says why."""


class ConvergenceWarning(GpuclustWarning):
    """Fewer clusters than asked for were found, or the iterations ended early."""
