#!/usr/bin/env python3
"""Counts of spoton beside those of supervision (LineZone, PolygonZone) on the same stored tracks.

    compare_counts.py spoton.yaml OUT/CAMERA.jsonl OUT/counts.json

Needs the packages supervision and PyYAML. LineZone counts with the foot point as the anchor; its in and
out are exchanged where it defines them the other way round. PolygonZone has no visits: a visit begins in a
frame in which a track is inside and was not in the one before.
"""
import json
import sys
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import supervision as sv
import yaml


def main():
    config, log, counts = sys.argv[1:]
    name = log.rsplit("/", 1)[-1].removesuffix(".jsonl")
    camera = next(c for c in yaml.safe_load(open(config))["cameras"] if c["name"] == name)
    counts = json.load(open(counts))
    frames = [json.loads(line) for line in open(log)]
    size = np.array([frames[0]["width"], frames[0]["height"]])
    foot = (sv.Position.BOTTOM_CENTER,)
    lines = {line["name"]: sv.LineZone(*(sv.Point(*(np.array(p) * size)) for p in line["points"]),
                                       triggering_anchors=foot) for line in camera.get("lines", [])}
    zones = {zone["name"]: sv.PolygonZone(np.array(np.array(zone["polygon"]) * size, dtype=int),
                                          triggering_anchors=foot) for zone in camera.get("zones", [])}
    inside, visits = {zone: set() for zone in zones}, dict.fromkeys(zones, 0)
    for frame in frames:
        if not frame["inferred"]:
            continue
        rows = np.array(frame["tracks"] or np.zeros((0, 7)), dtype=float)
        found = sv.Detections(xyxy=rows[:, 1:5], confidence=rows[:, 5], class_id=rows[:, 6].astype(int),
                              tracker_id=rows[:, 0].astype(int))
        for line in lines.values():
            line.trigger(found)
        for zone, polygon in zones.items():
            now = set(found.tracker_id[polygon.trigger(found)]) if len(rows) else set()
            visits[zone] += len(now - inside[zone])
            inside[zone] = now
    print("| line, zone | spoton | supervision |\n|---|---|---|")
    for line, of in lines.items():
        ours = counts["lines"][line]
        print(f"| {line} | {ours['in']} in, {ours['out']} out | {of.in_count} in, {of.out_count} out |")
    for zone in zones:
        print(f"| {zone} | {counts['zones'][zone]['visits']} visits | {visits[zone]} visits |")


if __name__ == "__main__":
    main()
