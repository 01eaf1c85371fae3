"""Tells others that a job has ended. In: a job's message; out: signed POSTs. Remembers nothing. Event loop only; each
attempt is made by a thread.

An address in a request could be one that only this machine reaches. So a name is looked up once, all that it means must
be of the internet (or allowed by the setting `webhook_hosts`), and the connection goes to just that address; nothing is
followed from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import json
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from moods.errors import shown
from streaming.config import Config
from streaming.errors import WebhookRefused
from streaming.jobs.asked import Webhook
from streaming.journal import about
from streaming.messages import WebhookState

log = logging.getLogger(__name__)

TRIES_AFTER_S = (0.0, 2.0, 15.0, 120.0, 900.0)
_TIMEOUT_S = 10.0


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What X-Undersong-Signature says: HMAC-SHA256 over the timestamp, a dot and the body."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class Webhooks:
    """Deliveries under one server's settings."""

    def __init__(self, config: Config) -> None:
        self._allowed, self._secret = frozenset(config.webhook_hosts), config.webhook_key

    def check(self, webhook: Webhook) -> None:
        """Raises `WebhookRefused` for what can be seen without looking its host up."""
        if not webhook.secret and not self._secret:
            raise WebhookRefused(
                "webhook has no secret to sign with; add webhook.secret, or have the setting webhook_secret set"
            )
        host, _ = _host_and_port(webhook.url)
        self._check_host(host)
        if host == "localhost" or host.endswith(".localhost"):
            self._check_address("127.0.0.1")
        with contextlib.suppress(ValueError):
            self._check_address(str(ipaddress.ip_address(host)))

    def _check_host(self, host: str) -> None:
        if self._allowed and host not in self._allowed:
            allowed = ", ".join(sorted(self._allowed))
            raise WebhookRefused(f"webhook.url names {shown(host)}; allowed are {allowed} (webhook_hosts)")

    def _check_address(self, address: str) -> None:
        """An address of whatever kind may be had where its host was allowed by name."""
        if not self._allowed and not _is_of_the_internet(address):
            raise WebhookRefused(
                f"webhook.url leads to {address}, which is of this machine or its networks; name a host of the "
                "internet, or have it allowed by the setting webhook_hosts"
            )

    async def deliver(
        self, job: str, webhook: Mapping[str, Any], message: Callable[[], Mapping[str, Any]]
    ) -> AsyncIterator[WebhookState]:
        """Try until it is delivered, and yield how that goes."""
        secret = webhook.get("secret") or self._secret
        for attempt, after_s in enumerate(TRIES_AFTER_S, 1):
            await asyncio.sleep(after_s)
            told = {name: value for name, value in message().items() if name != "webhook"}
            body = json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")
            try:
                status = await asyncio.to_thread(self._post, webhook["url"], secret, job, body)
            except (OSError, http.client.HTTPException, WebhookRefused) as error:
                detail = f"{type(error).__name__}: {error}"
            else:
                if 200 <= status < 300:
                    log.info("webhook delivered", extra=about(job=job, attempt=attempt))
                    yield WebhookState(state="delivered", attempts=attempt)
                    return
                detail = f"it answered with status {status}"
            is_last = attempt == len(TRIES_AFTER_S)
            log.warning("webhook not delivered", extra=about(job=job, attempt=attempt, detail=detail))
            yield WebhookState(state="failed" if is_last else "waiting", attempts=attempt, detail=detail)

    def _post(self, url: str, secret: str, job: str, body: bytes) -> int:
        """Send it and answer the status. Raises OSError, `HTTPException`, `WebhookRefused`."""
        host, port = _host_and_port(url)
        self._check_host(host)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(each[4][0]).partition("%")[0] for each in found]
        for address in addresses:
            self._check_address(address)
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Undersong",
            "X-Undersong-Job": job,
            "X-Undersong-Timestamp": timestamp,
            "X-Undersong-Signature": signature(secret, timestamp, body),
        }
        parts = urlsplit(url)
        connection = _Connection(host, port, addresses[0], is_secure=parts.scheme == "https")
        try:
            connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers)
            return connection.getresponse().status
        finally:
            connection.close()


class _Connection(http.client.HTTPConnection):
    """To an address that has been looked up and checked, in the name of its host."""

    def __init__(self, host: str, port: int, address: str, *, is_secure: bool) -> None:
        super().__init__(host, port, timeout=_TIMEOUT_S)
        self._address, self._is_secure = address, is_secure
        self.default_port = 443 if is_secure else 80  # else the host's header would name it

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self.timeout)
        if self._is_secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def _host_and_port(url: str) -> tuple[str, int]:
    """Raises `WebhookRefused`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.username is not None or parts.password is not None:
        raise WebhookRefused(f"webhook.url is {shown(url)}; expected http(s)://HOST/PATH without a user")
    return host, port or (443 if parts.scheme == "https" else 80)


def _is_of_the_internet(address: str) -> bool:
    """Also where an IPv6 address only wraps one of IPv4."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        wrapped = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if wrapped is None and ip in _NAT64:
            wrapped = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if wrapped is not None:
            return wrapped.is_global and not wrapped.is_multicast
    return ip.is_global and not ip.is_multicast


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
