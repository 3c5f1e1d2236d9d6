"""What goes over the worker's socket: frames of marshal data. On the warm path.

A frame is its length in four bytes, a checksum (marshal reads damaged data as other values, or
crashes), and a marshalled tuple whose first item says what it is.
Exceptions and events travel as pickles inside of one: both ends are the same user's, and the same
cyhot's.

To the worker, one frame a connection::

    ("build", job)      -> ("waiting",)* ("started", pid) ("alive",)* ("event", loud, pickle)*
                           and one of ("built", image) ("failed", pickle) ("declined", why)
    ("status",)         -> ("status", {...})
    ("stop",)           -> ("stopping",)
"""

from __future__ import annotations

import marshal

from ..building.observe import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Frame = tuple[Any, ...]

VERSION = 1
BEAT = 2.0
"""Seconds between signs of life."""
LARGEST = 64 * 2**20
_LENGTH = 4
_HEAD = _LENGTH + len(digest(b""))


class BrokenLine(Exception):
    """The other end is gone, silent, or says what is no frame."""


def pack(frame: Frame) -> bytes:
    """A frame's bytes.

    Raises:
        ValueError: If something in it cannot be marshalled.
    """
    data = marshal.dumps(frame)
    return len(data).to_bytes(_LENGTH, "big") + digest(data).encode() + data


def unpack(buffer: bytearray) -> Frame | None:
    """Take the first frame out of a buffer; None while it is not complete.

    Raises:
        BrokenLine: If that is no frame.
    """
    if len(buffer) < _HEAD:
        return None
    size = int.from_bytes(buffer[:_LENGTH], "big")
    if size > LARGEST:
        raise BrokenLine("a frame of an impossible size")
    if len(buffer) < _HEAD + size:
        return None
    seal, data = bytes(buffer[_LENGTH:_HEAD]), bytes(buffer[_HEAD : _HEAD + size])
    del buffer[: _HEAD + size]
    if digest(data).encode() != seal:
        raise BrokenLine("a damaged frame")
    frame: Frame = marshal.loads(data)
    return frame


def receive(buffer: bytearray, read: Callable[[int], bytes]) -> Frame:
    """The next frame.

    Args:
        buffer: What was read before and not used yet.
        read: Reads up to so many bytes; none mean the end.

    Raises:
        BrokenLine: If there is none.
    """
    while True:
        frame = unpack(buffer)
        if frame is not None:
            return frame
        try:
            data = read(65536)
        except OSError as error:
            raise BrokenLine(str(error) or "no answer") from None
        if not data:
            raise BrokenLine("it hung up")
        buffer += data
