#!/usr/bin/env python3
"""Prints the frames (nv.Frame, protobuf) and events of the format metropolis.

    mosquitto_sub -q 1 -t 'mdx-raw' -F '%t\t%x' | python3 metropolis.py      (%x: hexadecimal)

A reader of the few fields that are needed; with NVIDIA's schema.proto and protoc, use that instead.
"""

import struct
import sys


def fields(data):
    """(number, value) of a protobuf message: int, bytes or float."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 5:
            yield key >> 3, struct.unpack_from("<f", data, at)[0]
            at += 4
        elif key & 7 == 2:
            size = varint()
            yield key >> 3, data[at:at + size]
            at += size
        else:
            raise ValueError(f"wire type {key & 7}")


def frame(data):
    found = {"objects": []}
    for number, value in fields(data):
        if number in (1, 2, 4):
            found[{1: "version", 2: "id", 4: "sensorId"}[number]] = value.decode()
        elif number == 3:
            time = dict(fields(value))
            found["timestamp"] = time.get(1, 0) + time.get(2, 0) / 1e9
        elif number == 5:
            one = dict(fields(value))
            found["objects"].append({"id": one[1].decode(), "bbox": [dict(fields(one[2])).get(i, 0.0) for i in (1, 2, 3, 4)],
                                     "type": one[3].decode(), "confidence": one[4]})
    return found


def main():
    for line in sys.stdin:
        print(frame(bytes.fromhex(line.partition("\t")[2])), flush=True)


if __name__ == "__main__":
    main()
