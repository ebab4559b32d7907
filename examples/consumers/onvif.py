#!/usr/bin/env python3
"""Prints the events of ONVIF Profile M over MQTT (format onvif).

    mosquitto_sub -q 1 -t '+/+/onvif-ej/#' -F '%t\t%p' | python3 onvif.py
"""

import json
import sys


def main():
    for line in sys.stdin:
        topic, _, payload = line.partition("\t")
        event = topic.split("/onvif-ej/", 1)[1].split("/&1/")[0]
        message = json.loads(payload)
        data = ", ".join(f"{key} {value}" for key, value in message["Data"].items())
        print(f"{message['UtcTime']} {event} {message['Source']['Rule']}: {data}", flush=True)


if __name__ == "__main__":
    main()
