"""The Gumbel-max trick: drawing categories by adding noise to their logits. See docs/gumbel.md."""

from .distribution import Gumbel, gumbel, gumbel_maximum
from .relaxation import StraightThrough, gumbel_softmax, gumbel_softmax_vjp, straight_through
from .sampling import gumbel_max, gumbel_top_k
from .streams import Stream, stream, threefry4x64
from .trace import Trace, perturb_and_trace

__all__ = [
    "Gumbel",
    "StraightThrough",
    "Stream",
    "Trace",
    "gumbel",
    "gumbel_max",
    "gumbel_maximum",
    "gumbel_softmax",
    "gumbel_softmax_vjp",
    "gumbel_top_k",
    "perturb_and_trace",
    "straight_through",
    "stream",
    "threefry4x64",
]
