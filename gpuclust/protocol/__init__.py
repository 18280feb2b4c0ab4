"""scikit-learn's protocol, the part that every estimator needs: features, parameters, metrics, kinds of results."""

from gpuclust.protocol.features import check_features
from gpuclust.protocol.metrics import SYNONYMS, checked_metric
from gpuclust.protocol.parameters import InvalidParameter, check_parameters
from gpuclust.protocol.results import in_kind_of

__all__ = ["SYNONYMS", "InvalidParameter", "check_features", "check_parameters", "checked_metric", "in_kind_of"]
