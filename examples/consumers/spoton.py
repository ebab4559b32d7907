#!/usr/bin/env python3
"""Prints people and events of the spoton format, each message once.

    mosquitto_sub -q 1 -t 'spoton/#' -F '%t\t%p' | python3 spoton.py

An outbox delivers at least once: a message that is repeated has the same id.
"""

import json
import sys


def read(lines):
    """(topic, object) of each new message."""
    seen = {}  # the newest (epoch, number) of each camera: messages of a camera are in order
    for line in lines:
        topic, _, payload = line.rstrip("\n").partition("\t")
        if not payload.startswith("{"):
            continue  # "online", "offline"
        message = json.loads(payload)
        if message.get("schema") != 1 or "id" not in message:
            continue
        at = (message["epoch"], message["message"])
        if at > seen.get(message["camera"], (0, 0)):
            seen[message["camera"]] = at
            yield topic, message


def main():
    for _, message in read(sys.stdin):
        if message["type"] == "tracks":
            people = [f"{track[0]} at {track[1]:.0f},{track[2]:.0f}" for track in message["tracks"]]
            print(f"{message['camera']}: {', '.join(people) or 'no person'}", flush=True)
        else:
            print(f"{message['camera'] or 'server'}: {message['event']} {json.dumps(message['payload'])}", flush=True)


if __name__ == "__main__":
    main()
