#!/usr/bin/env python3
"""Takes screenshots of the dashboard in several sizes and themes: shoot.py URL FOLDER."""

import sys
import time
from pathlib import Path

from browser import Browser

SIZES = [(1440, 900), (360, 740), (3840, 2160)]


def main(url, folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    browser = Browser()
    try:
        for width, height in SIZES:
            for scheme in ("light", "dark"):
                page = browser.page(width, height, scheme)
                page.open(url)
                page.wait("document.querySelectorAll('.card').length > 0")
                time.sleep(6)
                page.screenshot(Path(folder) / f"{width}x{height}-{scheme}.png")
                if scheme == "dark":
                    page.run("document.querySelector('[data-do=enlarge]').click()")
                    time.sleep(1.5)
                    page.screenshot(Path(folder) / f"{width}x{height}-large.png")
                print("\n".join(page.errors()), end="")
                page.close()
    finally:
        browser.close()


main(*sys.argv[1:])
