"""Two network namespaces and a wire between them that loses packets. In: the share to lose; out: what runs on either
side.

Linux, as root. A thread carries IP packets from one TUN device to the other, dropping them by a seeded dice, and
another port of 127.0.0.1 from one side to the other without loss, so that a page stays one of its own machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import random
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_MTU = 1500
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


class Side:
    """One namespace."""

    def __init__(self, address: str) -> None:
        """Raises OSError where this process may not have one."""
        home = _here()
        try:
            _checked(_libc.unshare(_CLONE_NEWNET))
            self._namespace = _here()
            self.wire = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(self.wire, _TUNSETIFF, struct.pack("16sH22x", b"wire", _IFF_TUN | _IFF_NO_PI))
            for words in ("link set lo up", f"addr add {address}/24 dev wire", "link set wire up"):
                subprocess.run(["ip", *words.split()], check=True)
        finally:
            _checked(_libc.setns(home, _CLONE_NEWNET))
            os.close(home)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread, and what it starts, is on this side."""
        home = _here()
        _checked(_libc.setns(self._namespace, _CLONE_NEWNET))
        try:
            yield
        finally:
            _checked(_libc.setns(home, _CLONE_NEWNET))
            os.close(home)

    def close(self) -> None:
        os.close(self.wire)
        os.close(self._namespace)


class Wire:
    """`near` and `far`; of what goes either way the share `loss` is lost."""

    def __init__(self, loss: float = 0.0, seed: int = 1) -> None:
        self.loss = loss
        self.near, self.far = Side("10.213.0.1"), Side("10.213.0.2")
        self.num_carried = self.num_lost = 0
        self._random = random.Random(seed)
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        ways = {self.near.wire: self.far.wire, self.far.wire: self.near.wire}
        while True:
            ready, _, _ = select.select([*ways, self._ended], [], [])
            if self._ended in ready:
                return
            for end in ready:
                packet = os.read(end, _MTU)
                self.num_carried += 1
                if self._random.random() < self.loss:
                    self.num_lost += 1
                else:
                    os.write(ways[end], packet)

    def forward(self, port: int) -> None:
        """Have 127.0.0.1:`port` of the far side on the near one too."""
        with self.near.inside():
            listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener, port), daemon=True).start()

    def _accept(self, listener: socket.socket, port: int) -> None:
        with self.far.inside():
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", port))
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=ends, daemon=True).start()

    def close(self) -> None:
        os.write(self._end, b".")
        self._thread.join()
        for side in (self.near, self.far):
            side.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
