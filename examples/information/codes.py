"""Prefix codes: how short messages can be on average."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from examples.information.arguments import as_weights, fault, whole
from examples.information.huffman import sorted_lengths
from examples.information.measures import entropy


class PrefixCode(NamedTuple):
    """An optimal prefix code.

    Attributes:
        lengths: How many digits each symbol's word has, int64, shape (n,). Symbols of weight zero
            have no word, and the length 0; so has a symbol without any other: there is nothing to
            tell.
        average: The mean length, weighted.
        bound: The entropy to the base of the number of digits: no prefix code has a smaller mean
            length, and this one's is less than 1 greater.
    """

    lengths: NDArray[np.int64]
    average: float
    bound: float


def prefix_code(weights: ArrayLike, arity: int = 2) -> PrefixCode:
    """Find the word lengths of an optimal prefix code (Huffman's).

    Args:
        weights: The symbols' weights or counts, shape (n,); they need not add up to 1.
        arity: How many digits the words are made of; 2 for bits.

    Raises:
        ValueError: A weight is negative, infinite or nan; or all are zero, or there are none; or
            the shape is not (n,); or there are fewer than two digits.
        TypeError: The weights are no real numbers, or the arity is no integer.

    Reference:
        D. A. Huffman, "A Method for the Construction of Minimum-Redundancy Codes", Proceedings of
        the IRE 40 (1952); the bound is Shannon's (1948), theorem 9.
    """
    arity = whole("arity", arity)
    if arity < 2:
        raise ValueError(f"arity is {arity}, expected 2 or more digits")
    array = as_weights("weights", weights).astype(np.float64, copy=False)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"weights has shape {array.shape}, expected (n,) with n of 1 or more")
    if problem := fault("weights", array, 0):
        raise ValueError(problem)
    order = np.argsort(array, kind="stable")
    order = order[np.count_nonzero(array == 0) :]
    exponent = int(np.frexp(array.max())[1])
    # No sum may overflow. Where that takes scaling, weights may become 0 that are lighter than the
    # heaviest by 2**-2000: in their order, they still have their words.
    scaled = np.ldexp(array[order], min(0, 1023 - exponent - order.size.bit_length()))
    lengths = np.zeros(array.size, np.int64)
    # More digits than symbols help no more; for each digit there may be an empty leaf.
    lengths[order] = sorted_lengths(scaled, min(arity, max(order.size, 2)))
    shares = np.ldexp(array, -exponent)
    average = float(np.sum(shares * lengths) / np.sum(shares))
    return PrefixCode(lengths, average, float(entropy(array, base=arity)))
