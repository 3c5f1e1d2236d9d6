"""The Gumbel-softmax: the race's winner made differentiable."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import _arguments, _softmax
from .sampling import gumbel_max
from .streams import Seed, stream

Floats = npt.NDArray[np.floating]


class StraightThrough(NamedTuple):
    """A draw that is discrete forwards and soft backwards.

    Attributes:
        hard: One-hot, exactly one 1 in each distribution.
        soft: The relaxed draw of the same race, whose gradient stands for the missing one:
            gumbel_softmax_vjp(soft, cotangent, temperature).
    """

    hard: Floats
    soft: Floats


def gumbel_softmax(
    logits: npt.ArrayLike,
    temperature: float = 1.0,
    *,
    size: _arguments.Size = None,
    rng: Seed = None,
    threads: int | None = None,
) -> Floats:
    """Draw softmax((logits + G) / temperature), a point of the simplex near gumbel_max's corner.

    The lower the temperature, the nearer; the higher, the nearer to uniform. Its largest component
    is that of gumbel_max's winner with the same rng. Jang, Gu and Poole, "Categorical
    Reparameterization with Gumbel-Softmax", and Maddison, Mnih and Teh, "The Concrete
    Distribution", both ICLR 2017.

    Args:
        logits: Shape (..., n), float32 or float64; -inf gives exactly 0. Computed in float64.
        temperature: Positive and finite.
        size: How many draws of each distribution, None for one: a number or a shape.
        rng: What to draw from: see stream().
        threads: How many threads to use, None for all. The result does not depend on it.

    Returns:
        Shape size + (..., n), of the logits' dtype, rows adding up to 1.

    Raises:
        TypeError: Logits are not real numbers.
        ValueError: A logit is nan or inf, all of a distribution's are -inf, or the temperature is
            not positive and finite.
    """
    given = _arguments.distributions(logits)
    temperature = _arguments.positive("temperature", temperature)
    source = stream(rng)
    m, n = given.values.shape
    rows = _arguments.draws_of(size) * m
    out = np.empty((rows, n), given.values.dtype)
    threads = _arguments.thread_count(threads)
    if rows:
        problem = _softmax.relax(
            given.values, temperature, source.start, source.words, out, threads
        )
        if problem >= 0:
            raise given.explain(problem % m, 1)
    return out.reshape((*_arguments.result_shape(size, given.batch), n))


def straight_through(
    logits: npt.ArrayLike,
    temperature: float = 1.0,
    *,
    size: _arguments.Size = None,
    rng: Seed = None,
    threads: int | None = None,
) -> StraightThrough:
    """Draw as gumbel_max does, together with the relaxed draw that gradients go through.

    Jang, Gu and Poole 2017, section 2.2. The gradient is biased; less so at a low temperature.

    Args, Raises: As for gumbel_softmax.

    Returns:
        hard and soft, both of shape size + (..., n) and of the logits' dtype.
    """
    source = stream(rng)
    soft = gumbel_softmax(logits, temperature, size=size, rng=source, threads=threads)
    winner = gumbel_max(logits, size=size, rng=source, threads=threads)
    hard = np.zeros_like(soft)
    np.put_along_axis(hard, np.expand_dims(winner, -1), 1.0, axis=-1)
    return StraightThrough(hard, soft)


def gumbel_softmax_vjp(
    y: npt.ArrayLike,
    cotangent: npt.ArrayLike,
    temperature: float = 1.0,
    *,
    threads: int | None = None,
) -> Floats:
    """Pull a gradient back through the relaxed draw: from d loss / d y to d loss / d logits.

    The Jacobian d y_i / d logit_j is y_i (1[i = j] - y_j) / temperature, thus the product
    y * (cotangent - sum(y * cotangent)) / temperature, which needs neither logits nor G.

    Args:
        y: What gumbel_softmax returned (or straight_through's soft), shape (..., n).
        cotangent: Gradient of the loss by y (or by hard), the same shape.
        temperature: That of the draw.
        threads: How many threads to use, None for all.

    Returns:
        The gradient by the logits, the same shape, of y's dtype. With several draws of one
        distribution, their sum over the draws is that distribution's gradient.

    Raises:
        TypeError: y or cotangent are not real numbers.
        ValueError: Shapes differ, or the temperature is not positive and finite.
    """
    soft = _arguments.real_array("y", y)
    pulled = _arguments.real_array("cotangent", cotangent)
    if soft.shape != pulled.shape or soft.ndim == 0:
        raise ValueError(
            f"y has shape {soft.shape} and cotangent {pulled.shape}: expected (..., n) twice"
        )
    temperature = _arguments.positive("temperature", temperature)
    threads = _arguments.thread_count(threads)
    n = soft.shape[-1]
    out = np.empty(soft.shape, soft.dtype)
    if out.size:
        _softmax.pull_back(
            np.ascontiguousarray(soft).reshape(-1, n),
            np.ascontiguousarray(pulled, soft.dtype).reshape(-1, n),
            temperature,
            out.reshape(-1, n),
            threads,
        )
    return out
