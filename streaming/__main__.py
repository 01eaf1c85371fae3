"""`python -m streaming` is `undersong serve`. In: the command's options; out: a server. Remembers nothing."""

from __future__ import annotations

import sys

from streaming.cli import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
