"""Make sure that a Chromium is there for the tests: from the system's packages when root, from Playwright otherwise.

In: nothing; out: exit status, and a browser on the machine. Run by `make test` as `python -m tests.browser.install`.
Where the system's packages have a Firefox, that comes too; tests that want it are skipped without.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.firefox import find_firefox


def find_browser() -> str | None:
    """Path of a Chromium: the system's own, else the one Playwright has installed, else None."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def main() -> int:
    if find_browser() and find_firefox():
        return 0
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        if not find_browser():
            subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], check=True)
        if not find_firefox():
            subprocess.run(["apt-get", "install", "-y", "-qq", "firefox-esr"], check=False)
    elif not find_browser():
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)
    if not find_browser():
        print("no Chromium could be installed; the browser tests need one on PATH", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
