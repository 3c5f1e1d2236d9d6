"""Entropy and its family, of weights, joint tables, labels and samples.

Distributions are given as weights, which need not add up to 1. All of it is in nats, unless a base
is given. The arithmetic is compiled Cython; docs/information.md explains it.
"""

from examples.information.codes import PrefixCode, prefix_code
from examples.information.differential import (
    differential_entropy,
    exponential_entropy,
    normal_entropy,
    uniform_entropy,
)
from examples.information.hypotheses import posterior_log_odds
from examples.information.labels import (
    Contingency,
    contingency,
    entropy_of_labels,
    entropy_of_samples,
)
from examples.information.measures import (
    cross_entropy,
    discrimination_information,
    entropy,
    j_divergence,
    kl_divergence,
)
from examples.information.tables import (
    conditional_entropy,
    conditional_mutual_information,
    interaction_information,
    joint_entropy,
    mutual_information,
)

__all__ = [
    "Contingency",
    "PrefixCode",
    "conditional_entropy",
    "conditional_mutual_information",
    "contingency",
    "cross_entropy",
    "differential_entropy",
    "discrimination_information",
    "entropy",
    "entropy_of_labels",
    "entropy_of_samples",
    "exponential_entropy",
    "interaction_information",
    "j_divergence",
    "joint_entropy",
    "kl_divergence",
    "mutual_information",
    "normal_entropy",
    "posterior_log_odds",
    "prefix_code",
    "uniform_entropy",
]
