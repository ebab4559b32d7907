#!/usr/bin/env python3
"""Prints the detections that Intel SceneScape would receive (format scenescape).

    mosquitto_sub -q 1 -t 'scenescape/data/camera/+' -F '%t\t%p' | python3 scenescape.py
"""

import json
import sys


def main():
    for line in sys.stdin:
        topic, _, payload = line.partition("\t")
        message = json.loads(payload)
        for one in message["objects"]:
            box = one["bounding_box"]
            print(f"{message['timestamp']} {topic.rsplit('/', 1)[1]}: {one['category']} {one['id']} at "
                  f"{box['x']:.3f},{box['y']:.3f} {box['width']:.3f}x{box['height']:.3f}", flush=True)


if __name__ == "__main__":
    main()
