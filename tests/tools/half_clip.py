#!/usr/bin/env python3
"""Cuts a real clip into two overlapping halves, runs them as two calibrated cameras, and reports how often
a person has the same global id in both.

    half_clip.py [--spoton build/spoton] [--part 0.6] CLIP

The homography of the floor is fitted to the clip: the height of a person's box grows linearly with the
distance of the feet below the horizon, which gives the horizon and, for people of 1.7 m, the height of the
camera. Ground truth are the tracks of the uncut clip: each box of a half belongs to the track whose box,
clipped at the edge of the half, overlaps it most.
"""
import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

from world_metrics import Row, measure

FOCAL_PX, PERSON_M, UNITS_PER_M = 1.0, 1.7, 100  # focal length: in widths of the image


def probe(clip):
    words = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries",
             "stream=width,height", "-of", "csv=p=0", str(clip)]
    text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return [int(word) for word in text.strip().strip(",").split(",")[:2]]


def run_spoton(spoton, out, cameras, settings=()):
    words = [str(spoton), "run", "--out", str(out), *settings]
    for name, path in cameras.items():
        words += ["--camera", f"{name}={path}"]
    subprocess.run(words, check=True, capture_output=True, text=True)


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def fit_horizon(results_log, height):
    """Least squares of box height = a (foot - horizon), over boxes that no edge cuts."""
    points = [(t[4], t[4] - t[2]) for line in results_log for t in line["tracks"]
              if t[4] < height - 3 and t[2] > 3]
    n, sx, sy = len(points), sum(p[0] for p in points), sum(p[1] for p in points)
    sxx, sxy = sum(p[0] * p[0] for p in points), sum(p[0] * p[1] for p in points)
    slope = (n * sxy - sx * sy) / (n * sxx - sx * sx)
    return slope, sx / n - sy / n / slope


def marks(slope, horizon, size):
    """Positions on the floor for a grid of pixels: a camera with a nearly level axis sees a foot h below the
    horizon at the depth focal * camera's height / h."""
    width, height = size
    camera_m = PERSON_M / slope
    for v in (0.35, 0.6, 0.98):
        y = max(v * height, horizon + 0.12 * (height - horizon))
        depth = FOCAL_PX * width * camera_m / (y - horizon)
        for u in (0.0, 0.25, 0.4, 0.5, 0.6, 0.75, 1.0):
            x = u * width
            yield (x, y), ((x - width / 2) * depth / (FOCAL_PX * width) * UNITS_PER_M + 3000,
                           4000 - depth * UNITS_PER_M)


def calibration(halves, slope, horizon, size):
    cameras = []
    for name, (left, right) in halves.items():
        chosen = [(p, m) for p, m in marks(slope, horizon, size) if left <= p[0] <= right]
        cameras.append({"id": name, "image_size": [right - left, size[1]],
                        "source_points": [[p[0] - left, p[1]] for p, _ in chosen],
                        "destination_points": [list(m) for _, m in chosen]})
    return {"ground_plane": {"width": 6000, "height": 4000, "pixels_per_meter": UNITS_PER_M,
                             "y_axis": "down"}, "cameras": cameras}


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def ground_truth_of(box, left, right, whole):
    best, person = 0.5, 0
    for t in whole:
        cut = (max(t[1], left), t[2], min(t[3], right), t[4])
        if cut[2] > cut[0] and (shared := overlap(box, cut)) > best:
            best, person = shared, t[0]
    return person


def judge(out, halves, whole):
    """Rows as world_metrics reads them, and the global ids of people who are in both halves."""
    people = [line for line in read_lines(out / "people.jsonl") if "sequence" in line]
    number = {(line["camera"], line["sequence"], p[0]): p[1] for line in people
              for p in line["people"]}
    rows, numbers, both = [], [], collections.defaultdict(dict)
    for index, (name, (left, right)) in enumerate(halves.items()):
        for line in read_lines(out / f"{name}.jsonl"):
            frame = line["sequence"]
            for t in line["tracks"]:
                box = (t[1] + left, t[2], t[3] + left, t[4])
                person = ground_truth_of(box, left, right, whole[frame])
                said = number[name, frame, t[0]]
                rows.append(Row(index, frame, line["pts_us"], person, t[0], said or 0, 0, 0, 0))
                numbers.append(said)
                if person:
                    both[frame, person][name] = said
    order = sorted(range(len(rows)), key=lambda i: (rows[i].time_us, rows[i].camera))
    rows, numbers = [rows[i] for i in order], [numbers[i] for i in order]
    pairs = [list(said.values()) for said in both.values() if len(said) == 2]
    known = [p for p in pairs if p[0] and p[1]]
    return rows, numbers, pairs, known


def hand_offs(rows, numbers):
    """How many people, of those seen in both halves, have the same most frequent global id in both."""
    said = collections.defaultdict(lambda: collections.defaultdict(collections.Counter))
    for row, number in zip(rows, numbers):
        if row.person and number:
            said[row.person][row.camera][number] += 1
    both = [sides for sides in said.values()
            if len(sides) == 2 and all(sum(c.values()) >= 20 for c in sides.values())]
    same = sum(len({c.most_common(1)[0][0] for c in sides.values()}) == 1 for sides in both)
    return same, len(both)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spoton", default="build/spoton")
    parser.add_argument("--part", type=float, default=0.6, help="of the width, each half")
    parser.add_argument("--limit", type=int, help="frames")
    parser.add_argument("--least", type=float, help="exit 1 below this share of equal global ids")
    parser.add_argument("clip")
    a = parser.parse_args()
    limit = ["--limit", str(a.limit)] if a.limit else []
    width, height = probe(a.clip)
    part = int(a.part * width) // 2 * 2
    halves = {"left": (0, part), "right": (width - part, width)}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, (left, right) in halves.items():
            subprocess.run(["ffmpeg", "-v", "error", "-i", a.clip, "-vf",
                            f"crop={right - left}:{height // 2 * 2}:{left}:0", "-c:v", "libx264",
                            "-preset", "ultrafast", "-crf", "12", "-an", folder / f"{name}.mp4"],
                           check=True)
        run_spoton(a.spoton, folder / "whole", {"whole": a.clip}, limit)
        whole = read_lines(folder / "whole" / "whole.jsonl")
        slope, horizon = fit_horizon(whole, height)
        (folder / "map.json").write_text(json.dumps(
            calibration(halves, slope, horizon, (width, height))))
        run_spoton(a.spoton, folder / "out", {n: folder / f"{n}.mp4" for n in halves},
                   [*limit, "--homography-file-path", str(folder / "map.json")])
        rows, numbers, pairs, known = judge(folder / "out", halves,
                                            [line["tracks"] for line in whole])
    equal = sum(p[0] == p[1] for p in known)
    same, seen = hand_offs(rows, numbers)
    idf1, switches = measure(rows, numbers)
    share = equal / len(known) if known else 0
    print(f"horizon at y {horizon:.0f}, camera {PERSON_M / slope:.1f} m high")
    print(f"both halves see a person: {len(pairs)} times, both with a global id {len(known)}, equal {share:.4f}")
    print(f"people seen in both: {seen}, with one global id {same}; IDF1 {idf1:.4f}, switches {switches}")
    return 0 if a.least is None or (known and share >= a.least) else 1


if __name__ == "__main__":
    sys.exit(main())
