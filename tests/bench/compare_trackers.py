#!/usr/bin/env python3
"""spoton's trackers beside those of Roboflow's package `trackers` on the same detections.

    compare_trackers.py DATA [EVERY ...]

DATA has a folder for each sequence: det.txt and gt.txt (MOT rows), seqinfo.ini with frameRate, and perhaps
ignore.txt: rows "frame,id,left,top,width,height,kind" of people that count neither way (kind 1) and of regions
without labels (kind 2). The frames 1, 1 + EVERY, ... are tracked, with their real times, and only they are
evaluated, by `spoton eval --tracks`. The other trackers have their defaults, or the values that their authors tuned
on MOT17, and the frame rate of what they get;
BoT-SORT has no camera motion compensation, as it has no images. Prints a table in Markdown: MOTA / IDF1 / HOTA,
means over the sequences, and sums of ID switches, ids, and ids that live under 0.5 s.

Needs the package trackers (measured with 2.6.1) and build/spoton.
"""
import json
import subprocess
import sys
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path

warnings.filterwarnings("ignore")
import numpy as np
import supervision as sv
import trackers

ROOT = Path(__file__).resolve().parents[2]
SPOTON = ROOT / "build" / "spoton"
OTHERS = {
    "trackers: ByteTrack": lambda rate: trackers.ByteTrackTracker(frame_rate=rate),
    "trackers: C-BIoU": lambda rate: trackers.CBIoUTracker(frame_rate=rate),
    "trackers: OC-SORT": lambda rate: trackers.OCSORTTracker(frame_rate=rate),
    "trackers: BoT-SORT": lambda rate: trackers.BoTSORTTracker(frame_rate=rate, enable_cmc=False),
    "trackers: SORT": lambda rate: trackers.SORTTracker(frame_rate=rate),
    # Tuned on MOT17's validation set, as their documentation lists it; for C-BIoU those are the defaults.
    "trackers: ByteTrack, tuned": lambda rate: trackers.ByteTrackTracker(
        frame_rate=rate, lost_track_buffer=10, minimum_consecutive_frames=1, minimum_iou_threshold=0.3,
        high_conf_det_threshold=0.5),
    "trackers: OC-SORT, tuned": lambda rate: trackers.OCSORTTracker(
        frame_rate=rate, high_conf_det_threshold=0.4, delta_t=1),
    "trackers: BoT-SORT, tuned": lambda rate: trackers.BoTSORTTracker(
        frame_rate=rate, enable_cmc=False, minimum_iou_threshold_unconfirmed_assoc=0.2, high_conf_det_threshold=0.5,
        track_activation_threshold=0.6),
    "trackers: SORT, tuned": lambda rate: trackers.SORTTracker(
        frame_rate=rate, lost_track_buffer=10, track_activation_threshold=0.75, minimum_consecutive_frames=2),
}


def read_rows(path):
    """{frame: rows of the other values}"""
    rows = defaultdict(list)
    for line in path.read_text().splitlines() if path.exists() else []:
        values = [float(value) for value in line.split(",")]
        rows[int(values[0])].append(values[1:])
    return rows


class Sequence:
    def __init__(self, folder):
        self.name = folder.name
        info = (folder / "seqinfo.ini").read_text().splitlines()
        self.rate = next(float(line.split("=")[1]) for line in info if line.startswith("frameRate"))
        self.detections, self.labels, self.ignored = (read_rows(folder / f"{name}.txt")
                                                      for name in ("det", "gt", "ignore"))
        self.frames = range(1, max([*self.detections, *self.labels]) + 1)

    def write_ground_truth(self, folder, every):
        """People of kind 1 are distractors of MOT17."""
        place = folder / self.name
        place.mkdir(parents=True)
        rows = []
        for frame in self.frames[::every]:
            rows += [(frame, *row[:5], row[5], 1, 1) for row in self.labels[frame]]
            rows += [(frame, 10**6 + i, *row[1:5], 0, 8, 1) for i, row in enumerate(self.ignored[frame]) if row[5] == 1]
        write(place / "gt.txt", rows)
        (place / "seqinfo.ini").write_text(f"[Sequence]\nframeRate={self.rate:g}\n")

    def drop_in_regions(self, rows):
        """Boxes of which half is in a region without labels, and which no person has."""
        kept = []
        for row in rows:
            left, top, width, height = row[2:6]
            inside = any(common(row[2:6], region[1:5]) >= 0.5 * width * height
                         for region in self.ignored[int(row[0])] if region[5] == 2)
            if not inside or any(iou(row[2:6], person[1:5]) >= 0.5 for person in self.labels[int(row[0])]):
                kept.append(row)
        return kept


def common(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)


def iou(a, b):
    both = common(a, b)
    return both / (a[2] * a[3] + b[2] * b[3] - both) if both else 0


def write(path, rows):
    path.write_text("".join(",".join(f"{value:g}" if value == int(value) else f"{value:.3f}" for value in row) + "\n"
                            for row in rows))


def track_ours(name, sequence, every, work):
    """From a results log, which has times."""
    log, out = work / "detections.jsonl", work / "tracks.txt"
    with log.open("w") as file:
        for frame in sequence.frames:
            entry = {"sequence": frame - 1, "pts_us": round((frame - 1) / sequence.rate * 1e6),
                     "frame_rate": sequence.rate, "inferred": (frame - 1) % every == 0}
            if entry["inferred"]:
                entry["detections"] = [[x, y, x + w, y + h, confidence, 0]
                                       for _, x, y, w, h, confidence, *_ in sequence.detections[frame]]
            file.write(json.dumps(entry) + "\n")
    subprocess.run([SPOTON, "track", log, "-o", out, "--tracker", name, "--output-frames", "inferred", "--log-level",
                    "warning"], check=True)
    return [row for row in (tuple(map(float, line.split(","))) for line in out.read_text().splitlines())]


def track_theirs(make, sequence, every):
    tracker, rows = make(sequence.rate / every), []
    for frame in sequence.frames[::every]:
        boxes = np.array(sequence.detections[frame] or np.zeros((0, 6)), dtype=float)[:, 1:6]
        boxes[:, 2:4] += boxes[:, :2]
        found = tracker.update(sv.Detections(xyxy=boxes[:, :4], confidence=boxes[:, 4],
                                             class_id=np.zeros(len(boxes), int)))
        for box, identity in zip(found.xyxy, found.tracker_id if len(found) else []):
            if identity >= 0:
                rows.append((frame, int(identity) + 1, *box[:2], *(box[2:] - box[:2]), 1))
    return rows


def main():
    data = Path(sys.argv[1])
    sequences = [Sequence(path.parent) for path in sorted(data.glob("*/seqinfo.ini"))]
    print("| tracker | every | MOTA / IDF1 / HOTA | switches | ids | under 0.5 s |\n|---|---|---|---|---|---|")
    for every in [int(word) for word in sys.argv[2:]] or [1, 2, 3]:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            for sequence in sequences:
                sequence.write_ground_truth(work / "gt", every)
            for name in ["bytetrack", "spoton", *OTHERS]:
                out = work / name.replace(" ", "-")
                out.mkdir()
                for sequence in sequences:
                    rows = (track_theirs(OTHERS[name], sequence, every) if name in OTHERS
                            else track_ours(name, sequence, every, work))
                    write(out / f"{sequence.name}.txt", sequence.drop_in_regions(rows))
                [got] = json.loads(subprocess.run([SPOTON, "eval", "--tracks", work / "gt", out, "--json"], check=True,
                                                  capture_output=True, text=True).stdout)
                figures = " / ".join(f"{100 * np.mean([row[key] for row in got['sequences']]):.1f}"
                                     for key in ("mota", "idf1", "hota"))
                total = got["all"]
                print(f"| {name} | {every} | {figures} | {total['id_switches']} | {total['tracks']} | "
                      f"{total['short_tracks']} |", flush=True)


main()
