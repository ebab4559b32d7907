#!/usr/bin/env python3
"""Prints the tracked people of all cameras live: watch.py [URL] [CAMERA...]

URL: address of `spoton serve` (default http://127.0.0.1:3847). Environment: API_TOKEN, if the server
has one. Reconnects until Ctrl-C. Requires the package websockets (pip install websockets).
"""

import json
import os
import sys
import time
from urllib.parse import quote

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


def messages(url, cameras, token):
    """Yields one message per camera and frame. A slow client misses whole messages."""
    address = url.replace("http", "ws", 1).rstrip("/") + "/api/v2/ws"
    if cameras:
        address += "?cameras=" + ",".join(quote(name) for name in cameras)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with connect(address, additional_headers=headers) as socket:
        for text in socket:
            yield json.loads(text)


def main():
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:3847"
    while True:
        try:
            for message in messages(url, sys.argv[2:], os.environ.get("API_TOKEN")):
                if message["type"] != "tracks":
                    continue
                people = [f"{track_id} at {x1:.0f},{y1:.0f} {x2 - x1:.0f}x{y2 - y1:.0f} ({confidence:.2f})"
                          for track_id, x1, y1, x2, y2, confidence, _ in message["tracks"]]
                print(f"{message['camera']} frame {message['sequence']}: {'; '.join(people) or 'no people'}", flush=True)
        except InvalidStatus as error:
            sys.exit(f"{url}: {error}; set API_TOKEN to the server's token")
        except (OSError, ConnectionClosed) as error:
            print(f"{url}: {error}; reconnecting", file=sys.stderr)
        time.sleep(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
