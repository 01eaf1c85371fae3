"""Addresses as settings name them: origins, hosts, networks. In: values of the settings; out: what is compared with.

Remembers nothing; any thread.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from moods.errors import shown
from streaming.errors import BadConfig

_ORIGIN = re.compile(r"https?://[^\s/?#@]+|null|\*")
_HOST = re.compile(r"\*|(?:\*\.)?[A-Za-z0-9._-]+")
_PUBLIC_URL = re.compile(r"https?://[^\s/?#@]+(?:/[A-Za-z0-9._~/-]*)?")


def is_loopback(host: str) -> bool:
    """Whether an address, or a name that browsers look up nowhere, is this machine's own."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _are_texts(texts: object, field: ValidationInfo) -> object:
    name = str(field.field_name)
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) and text for text in texts):
        raise BadConfig(f"{name} is {shown(texts)}; a list of texts is expected", field=name)
    return tuple(texts)


def _are_origins(origins: tuple[str, ...], field: ValidationInfo) -> tuple[str, ...]:
    lowered = tuple(origin.lower().rstrip("/") for origin in origins)
    for origin in lowered:
        if not _ORIGIN.fullmatch(origin):
            name = str(field.field_name)
            raise BadConfig(f'{name} holds {shown(origin)}; expected http(s)://HOST or "*"', field=name)
    return lowered


def _are_hosts(hosts: tuple[str, ...], field: ValidationInfo) -> tuple[str, ...]:
    for host in hosts:
        if not _HOST.fullmatch(host):
            name = str(field.field_name)
            text = f'{name} holds {shown(host)}; expected HOST, *.HOST or "*", without a port'
            raise BadConfig(text, field=name)
    return tuple(host.lower() for host in hosts)


def _are_networks(networks: tuple[str, ...], field: ValidationInfo) -> tuple[str, ...]:
    for network in networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            name = str(field.field_name)
            raise BadConfig(
                f"{name} holds {shown(network)}; expected an address or network, such as 10.0.0.0/8", field=name
            ) from None
    return networks


def _is_public_url(url: str, field: ValidationInfo) -> str:
    if url and not _PUBLIC_URL.fullmatch(url):
        name = str(field.field_name)
        raise BadConfig(f"{name} is {shown(url)}; expected http(s)://HOST/PATH", field=name)
    return url.rstrip("/")


Texts: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_are_texts)]
Origins: TypeAlias = Annotated[Texts, AfterValidator(_are_origins)]
Hosts: TypeAlias = Annotated[Texts, AfterValidator(_are_hosts)]
Networks: TypeAlias = Annotated[Texts, AfterValidator(_are_networks)]
PublicUrl: TypeAlias = Annotated[str, AfterValidator(_is_public_url)]
