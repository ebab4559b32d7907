#!/usr/bin/env python3
"""Prints the objects of DeepStream's minimal schema (format deepstream).

    mosquitto_sub -q 1 -t 'spoton/+/tracks/#' -F '%t\t%p' | python3 deepstream.py
"""

import json
import sys


def objects(message):
    """(id, left, top, right, bottom, class, confidence) of each object."""
    for text in message["objects"]:
        fields = text.split("|")
        yield (int(fields[0]), *map(float, fields[1:5]), fields[5], float(fields[-1]))


def main():
    for line in sys.stdin:
        message = json.loads(line.partition("\t")[2])
        for number, left, top, right, bottom, kind, confidence in objects(message):
            print(f"{message['sensorId']} frame {message['id']}: {kind} {number} at {left:.0f},{top:.0f} "
                  f"{right - left:.0f}x{bottom - top:.0f} ({confidence:.2f})", flush=True)


if __name__ == "__main__":
    main()
