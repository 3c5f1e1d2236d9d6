"""A process in the place of the worker that does something wrong.

    python faulty_worker.py SOCKET BEHAVIOUR

It is a process of its own because a client that finds a worker failing ends it.
"""

from __future__ import annotations

import socket
import sys

from cyhot.worker.protocol import pack, receive


def hang_up(connection: socket.socket) -> None:
    """Say nothing at all."""


def talk_nonsense(connection: socket.socket) -> None:
    connection.sendall(b"\xff" * 4096)


def answer_something_else(connection: socket.socket) -> None:
    connection.sendall(pack(("status", {})))


def name_no_image(connection: socket.socket) -> None:
    connection.sendall(pack(("started", 0)) + pack(("built", "/nowhere/foo.so")))


def name_a_wrong_image(connection: socket.socket) -> None:
    connection.sendall(pack(("started", 0)) + pack(("built", sys.executable)))


def fail_unreadably(connection: socket.socket) -> None:
    connection.sendall(pack(("failed", b"no pickle")))


BEHAVIOURS = {
    function.__name__: function
    for function in (
        hang_up, talk_nonsense, answer_something_else, name_no_image, name_a_wrong_image,
        fail_unreadably,
    )
}  # fmt: skip


def main(path: str, behaviour: str) -> None:
    """Listen, and behave so to everyone who calls."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                receive(bytearray(), connection.recv)
                BEHAVIOURS[behaviour](connection)


if __name__ == "__main__":
    main(*sys.argv[1:])
