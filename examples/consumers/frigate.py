#!/usr/bin/env python3
"""Follows the objects and counts of the format frigate, as an automation for Frigate does.

    mosquitto_sub -q 1 -t 'frigate/#' -F '%t\t%p' | python3 frigate.py
"""

import json
import sys


def main():
    for line in sys.stdin:
        topic, _, payload = line.rstrip("\n").partition("\t")
        levels = topic.split("/")
        if levels[1:] == ["events"]:
            event = json.loads(payload)
            after = event["after"]
            zones = ", ".join(after["current_zones"]) or "no zone"
            print(f"{event['type']}: {after['label']} {after['id']} of {after['camera']} in {zones}, "
                  f"confidence {after['score']:.2f}", flush=True)
        elif levels[-1] == "person":
            print(f"{levels[1]}: {payload} people", flush=True)


if __name__ == "__main__":
    main()
