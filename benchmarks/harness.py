"""What all benchmarks share: one JSON line a run (`lines.py`), a real server to ask, percentiles."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.lines import ROOT
from benchmarks.lines import record as record
from streaming.config import Config

START_LIMIT_S = 180.0


def percentiles(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    p50, p95 = np.percentile(values, (50, 95))
    return {"p50": round(float(p50), digits), "p95": round(float(p95), digits), "max": round(max(values), digits)}


@dataclass(frozen=True, slots=True)
class Server:
    """A running `undersong serve`."""

    url: str
    process: psutil.Process
    ready_s: float
    """Seconds from the command to `/readyz` answering 200."""
    num_engines: int

    def processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def wait_for_all_engines(self, trust: ssl.SSLContext | bool = True) -> None:
        """The first engine makes the server ready; the others start then, and take time from what is measured."""
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            told = httpx.get(f"{self.url}/metrics", timeout=10, verify=trust).text
            if f"undersong_engines {self.num_engines}.0" in told:
                return
            time.sleep(0.1)
        raise RuntimeError(f"the server has not started {self.num_engines} engines")

    def open_station(self, **fields: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/v1/stations", json=fields, timeout=10)
        answer.raise_for_status()
        return answer.json()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_server(
    *,
    settings: str = "",
    environment: Mapping[str, str] | None = None,
    clone: Path | None = None,
    tls: tuple[Path, Path] | None = None,
    module: str = "streaming.cli",
) -> Iterator[Server]:
    """Start `undersong serve` as a user does, wait until it is ready, stop it by Ctrl-C at the end.

    `settings` is the text of its undersong.toml, `tls` are the files of a certificate and its key; `environment` is
    added to ours; with a `clone` it is `make serve` in
    that folder, with another `module` it is that one's command. A server that does not become ready,
    or that has to be killed, is an error that carries its output.
    """
    with tempfile.TemporaryDirectory() as folder:
        config, log = Path(folder) / "undersong.toml", Path(folder) / "log"
        config.write_text(settings)
        port = free_port()
        options = ["--port", str(port), "--config", str(config)]
        if tls is not None:
            options += ["--tls-cert", str(tls[0]), "--tls-key", str(tls[1])]
        url, trust = f"http{'s' if tls else ''}://127.0.0.1:{port}", trusting(tls)
        command = [sys.executable, "-m", module, "serve", *options]
        if clone is not None:
            command = ["make", "serve", f"PYTHON={sys.executable}", f"ARGS={shlex.join(options)}"]
        began = time.monotonic()
        with log.open("w") as output:
            process = subprocess.Popen(
                command, cwd=clone or ROOT, stdout=output, stderr=output,
                env={**os.environ, "XDG_STATE_HOME": folder, **(environment or {})}, start_new_session=True,
            )  # fmt: skip
        try:
            _wait_until_ready(f"{url}/readyz", process, log, trust)
            num_engines = Config(**tomllib.loads(settings)).num_engines
            yield Server(url, psutil.Process(process.pid), time.monotonic() - began, num_engines)
        finally:
            try:
                _stop(process)
            finally:
                print(log.read_text(), file=sys.stderr)  # pytest shows it where a test failed


def trusting(tls: tuple[Path, Path] | None) -> ssl.SSLContext | bool:
    """What a client trusts of a server under a certificate of its own."""
    return True if tls is None else ssl.create_default_context(cafile=tls[0])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path, trust: ssl.SSLContext | bool) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=1, verify=trust).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise RuntimeError(f"the server did not become ready:\n{log.read_text()[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C, then by force; whatever of its session is left goes too. One that has been ended already is left so."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise RuntimeError("the server did not stop within 10 s of Ctrl-C") from None
