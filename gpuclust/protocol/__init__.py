"""scikit-learn's protocol, the part that every estimator needs: features, parameters, kinds of results."""

from gpuclust.protocol.features import check_features
from gpuclust.protocol.parameters import InvalidParameter, check_parameters
from gpuclust.protocol.results import in_kind_of

__all__ = ["InvalidParameter", "check_features", "check_parameters", "in_kind_of"]
