"""`undersong token`: tokens made and taken back. In: the command's words; out: an exit status, the token.

Remembers nothing; the main thread calls it. Imports what is slow when it is needed.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streaming.command import Failure, typed_text
from streaming.terminal import note, tell


def add_token(commands: Any) -> None:
    """Add the command to a parser's subcommands."""
    parser = commands.add_parser("token", help="a token that lets somebody listen, steer or do all; or one taken back")
    parser.add_argument(
        "--role", default="listen", metavar="listen|control|admin", help="what it gives (default listen)"
    )
    parser.add_argument("--station", metavar="NAME", help="the only station that it is for (default: all)")
    parser.add_argument("--days", type=float, metavar="N", help="how long it holds (default 30)")
    parser.add_argument("--note", type=typed_text, metavar="TEXT", help="whom it is for")
    parser.add_argument("--revoke", metavar="ID", help="take the token of that id back instead")
    parser.add_argument("--port", type=int, help="the server's (default 8400): each has a secret of its own")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="the server's settings")
    parser.add_argument("--json", action="store_true", help="what it gives as well, as one JSON object")
    parser.set_defaults(run=_token)


def _token(options: argparse.Namespace) -> int:
    from moods.fields import parse
    from streaming.roles import TokenRequest, role_named
    from streaming.settings import load_config
    from streaming.tokens import open_tokens

    config = load_config(options.config, {} if options.port is None else {"port": options.port})
    names = ("role", "station", "days", "note")
    asked = parse(TokenRequest, {name: value for name in names if (value := getattr(options, name)) is not None})
    if config.secret_path is None:
        raise Failure("no server could know the token, for its secret is kept nowhere; set secret_file or stations")
    tokens = open_tokens(config)
    if options.revoke is not None:
        tokens.revoke(options.revoke)
        note(f"the token {options.revoke} lets nobody in any more")
        return 0
    token, grant = tokens.sign(role_named(asked.role), asked.station, asked.days, asked.note)
    assert grant.expires is not None, grant
    expires = datetime.fromtimestamp(grant.expires, UTC).isoformat()
    if options.json:
        told = {"token": token, "id": grant.id, "role": asked.role, "station": grant.station, "expires": expires}
        tell(json.dumps({**told, "note": grant.note}))
    else:
        tell(token)
        where = grant.station or "all stations"
        note(f"{asked.role} on {where} until {expires[:10]}; --revoke {grant.id} takes it back")
    return 0
