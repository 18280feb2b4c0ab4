"""How networks were made and trained, for manifests: parameters, and what every epoch came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuclust.deep import DeepClustering
    from gpuclust.deep.history import History

__all__ = ["course", "histories_of", "parameters_of"]


def parameters_of(estimator: Any) -> dict[str, Any]:
    """Parameters, JSON-ready; an estimator or architecture among them as text."""
    params = estimator.get_params(deep=False).items()
    return {
        name: value if isinstance(value, str | int | float | None) else " ".join(repr(value).split())
        for name, value in params
        if name != "callback"
    }


def histories_of(fitted: DeepClustering) -> dict[str, History]:
    """The trainings that there were, by name."""
    stages = {"pretraining": fitted.autoencoder_.history_, "refinement": fitted.history_}
    return {stage: history for stage, history in stages.items() if len(history)}


def course(history: History) -> dict[str, Any]:
    """What the epochs of a training came to, JSON-ready."""
    return {
        "epochs": len(history),
        "seconds": sum(epoch.seconds for epoch in history),
        "terms": {name: [epoch.terms[name] for epoch in history] for name in history.epochs[0].terms},
        "validation": [epoch.validation for epoch in history],
        "learning_rate": [epoch.learning_rate for epoch in history],
    }
