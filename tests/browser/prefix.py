"""A proxy that serves a server under a prefix and strips it, as many a reverse proxy does, knowing nothing of the page.

In: the server's port; out: the address of the proxy. HTTP and WebSocket; one request a connection; a thread each way.
"""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PREFIX = "/music"
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _Stripper(socketserver.BaseRequestHandler):
    upstream: tuple[str, int]

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (part := self.request.recv(65536)):
                return
            head += part
        method, path, rest = head.split(b" ", 2)
        if not path.startswith(PREFIX.encode() + b"/"):
            self.request.sendall(_NOT_FOUND)
            return
        if b"upgrade: websocket" not in rest.lower():
            rest = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"\r\nConnection: close", rest, count=1)
        with socket.create_connection(self.upstream) as server:
            server.sendall(b" ".join((method, path.removeprefix(PREFIX.encode()), rest)))
            threading.Thread(target=_pump, args=(self.request, server), daemon=True).start()
            _pump(server, self.request)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def stripping_proxy(port: int) -> Iterator[str]:
    handler = type("Stripper", (_Stripper,), {"upstream": ("127.0.0.1", port)})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as proxy:
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}{PREFIX}/"
        finally:
            proxy.shutdown()
