#!/usr/bin/env python3
"""INFERENCE=need beside FRAME_SKIP and smaller inputs: cost, and the tracks against those of every frame.

    bench_need.py NAME=CLIP... [--schemes need,skip,floor,size] [--program build/spoton] [--work DIR] [--labels DIR]

For each clip:
 - `every`: every frame, the reference
 - `floor`: every frame of the clip moved by 1, 2 and 3 px to the right and down, mean: how much the same model
   differs from itself if nothing changes that matters
 - `need`, `skip 2`, `skip 3`, and `size`: every frame at the input size whose cost is closest to that of `need`

Columns: pixels inferred, as a share of `every`; IDF1, of the clip and with identities matched in windows of 10 s; the
share of the reference's boxes found (IoU 0.5); person-seconds, boxes over those of the reference; and the delay of new
people's first box (IoU 0.3): median, 95th percentile, and the share above 300 ms. A person is new if the track has 0.5 s
or more and no other ended near its start within 3 s.

With --labels, DIR/NAME.txt (MOT rows): IDF1 and MOTA against these too, at the labelled frames.

Cost and tracks depend neither on the machine's speed nor its load. Runs are kept in --work and used again.
Needs ffmpeg and numpy.
"""
import argparse
import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

SCHEMES = ("floor", "need", "skip", "size")
SHIFTS = (1, 2, 3)
SIZES = range(320, 640, 32)
WINDOW_S, NEW_S, LATE_MS, CAP_S = 10, 0.5, 300, 5
COLUMNS = ("clip", "scheme", "cost", "IDF1", "IDF1, 10 s", "found", "person-s", "new p50", "new p95", "> 300 ms")


class Bench:
    def __init__(self, program, work):
        self.program, self.work = program, work

    def call(self, *words, **settings):
        environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LD_LIBRARY_PATH")}
        environment.update({name: str(value) for name, value in settings.items()})
        done = subprocess.run([self.program, *map(str, words)], env=environment, text=True, capture_output=True)
        if done.returncode:
            sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
        return done.stdout

    def run(self, name, scheme, clip, **settings):
        """-> the folder with c.txt, c.jsonl and summary.json"""
        out = self.work / name / scheme
        if not (out / "summary.json").exists():
            self.call("run", "--camera", f"c={clip}", "--out", out, YOLO_CONFIDENCE_THRESHOLD=0.1, **settings)
        return out

    def shifted(self, name, clip, by):
        """The clip moved by so many pixels, losslessly; what comes in repeats the edge."""
        path = self.work / name / f"shift{by}.mkv"
        if not path.exists():
            part = path.with_suffix(".part.mkv")
            move = f"format=yuv444p,pad=iw+{by}:ih+{by}:{by}:{by},fillborders=left={by}:top={by}:mode=smear"
            subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", clip, "-an", "-fps_mode", "passthrough", "-vf",
                            f"{move},crop=iw-{by}:ih-{by}:0:0,format=yuv420p", "-c:v", "libx264", "-preset", "ultrafast",
                            "-qp", "0", part], check=True)
            part.rename(path)
        return path

    def eval(self, reference, found):
        return json.loads(self.call("eval", "--tracks", "--json", reference, found))


def read_rows(path, shift=0):
    """[n, 6]: frame from 0, id, x1, y1, x2, y2"""
    rows = np.loadtxt(path, delimiter=",", ndmin=2).reshape(-1, 10)[:, :6]
    rows[:, 0] -= 1
    rows[:, 2:4] -= shift
    rows[:, 4:6] += rows[:, 2:4]
    return rows


def write_rows(path, rows, window=0):
    """With identities of their own in each window of so many frames."""
    with open(path, "w", encoding="ascii") as file:
        for frame, identity, x1, y1, x2, y2 in rows:
            number = int(identity) + (1000000 * int(frame // window) if window else 0)
            file.write(f"{int(frame) + 1},{number},{x1:.3f},{y1:.3f},{x2 - x1:.3f},{y2 - y1:.3f},1,-1,-1,-1\n")
    return path


def by_frame(rows):
    frames = collections.defaultdict(list)
    for row in rows:
        frames[int(row[0])].append(row[2:])
    return {frame: np.array(boxes) for frame, boxes in frames.items()}


def best_iou(box, boxes):
    if boxes is None:
        return 0.0
    size = np.clip(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0, None)
    both = size.prod(1)
    area = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return float((both / (area - both)).max())


def new_people(rows, rate):
    """Tracks that are new people: [first frame, {frame: box}]"""
    lives = collections.defaultdict(dict)
    for row in rows:
        lives[row[1]][int(row[0])] = row[2:]
    found = []
    for life in lives.values():
        first = min(life)
        if len(life) < NEW_S * rate:
            continue
        start, height = life[first], life[first][3] - life[first][1]

        def renamed(other):
            last = max(other)
            near = abs(other[last][:2] + other[last][2:] - start[:2] - start[2:]) / 2 < np.array([1.5, 1]) * height
            return first - 3 * rate <= last < first + 3 and min(other) < first and near.all()

        if not any(renamed(other) for other in lives.values() if other is not life):
            found.append((first, life))
    return found


def delays_ms(people, found, rate):
    delays = []
    for first, life in people:
        frames = sorted(frame for frame in life if frame - first <= CAP_S * rate)
        seen = next((frame for frame in frames if best_iou(life[frame], found.get(frame)) >= 0.3), None)
        missed_s = min(CAP_S, (max(life) - first + 1) / rate)
        delays.append(1000 * (missed_s if seen is None else (seen - first) / rate))
    return np.array(delays)


def measure(bench, name, reference, rows, rate):
    folder = bench.work / name
    window = round(WINDOW_S * rate)
    total = bench.eval(write_rows(folder / "a.txt", reference), write_rows(folder / "b.txt", rows))
    windows = bench.eval(write_rows(folder / "a.txt", reference, window), write_rows(folder / "b.txt", rows, window))
    delays = delays_ms(new_people(reference, rate), by_frame(rows), rate)
    return np.array([total["idf1"], windows["idf1"], total["matches"] / max(1, total["ground_truth_boxes"]),
                     len(rows) / max(1, len(reference)), np.median(delays) if len(delays) else 0,
                     np.percentile(delays, 95, method="higher") if len(delays) else 0,
                     (delays > LATE_MS).mean() if len(delays) else 0])


def against_labels(bench, name, labels, rows):
    """IDF1 and MOTA at the labelled frames"""
    labelled = read_rows(labels)
    rows = rows[np.isin(rows[:, 0], labelled[:, 0])]
    result = bench.eval(labels, write_rows(bench.work / name / "b.txt", rows))
    return result["idf1"], result["mota"]


def schemes(bench, name, clip, wanted):
    """Yields scheme, cost, [rows] for each, the reference first."""
    every = bench.run(name, "every", clip, INFERENCE="every")
    yield "every", 1, [read_rows(every / "c.txt")]
    if "floor" in wanted:
        shifted = [bench.run(name, f"shifted{by}", bench.shifted(name, clip, by), INFERENCE="every") for by in SHIFTS]
        yield "floor", 1, [read_rows(out / "c.txt", by) for by, out in zip(SHIFTS, shifted)]
    need = bench.run(name, "need", clip, INFERENCE="need")
    ledger = json.loads((need / "summary.json").read_text())["ledger"]
    cost = ledger["inferred"] / (ledger["inferred"] + ledger["unneeded"])
    if "need" in wanted:
        yield "need", cost, [read_rows(need / "c.txt")]
    for skip in (2, 3) if "skip" in wanted else ():
        path = bench.work / name / f"skip{skip}.txt"
        bench.call("track", every / "c.jsonl", "-o", path, FRAME_SKIP=skip)
        yield f"skip {skip}", 1 / skip, [read_rows(path)]
    if "size" in wanted:
        size = min(SIZES, key=lambda size: abs((size / 640) ** 2 - cost))
        small = bench.run(name, f"size{size}", clip, INFERENCE="every", YOLO_INPUT_SIZE=size)
        yield f"{size} px", (size / 640) ** 2, [read_rows(small / "c.txt")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", metavar="NAME=CLIP")
    parser.add_argument("--schemes", default=",".join(SCHEMES), type=lambda text: text.split(","))
    parser.add_argument("--program", default="build/spoton", type=Path)
    parser.add_argument("--work", default="out/need", type=Path)
    parser.add_argument("--labels", type=Path)
    options = parser.parse_args()
    bench = Bench(options.program.resolve(), options.work.resolve())
    columns = COLUMNS + (("labels: IDF1", "MOTA") if options.labels else ())
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for word in options.clips:
        name, clip = word.split("=", 1)
        (bench.work / name).mkdir(parents=True, exist_ok=True)
        labels = options.labels and options.labels / f"{name}.txt"
        reference = rate = None
        for scheme, cost, runs in schemes(bench, name, Path(clip).resolve(), options.schemes):
            if reference is None:
                reference = runs[0]
                log = (bench.work / name / "every" / "c.jsonl").read_text().splitlines()
                first, last = json.loads(log[0])["pts_us"], json.loads(log[-1])["pts_us"]
                rate = (len(log) - 1) * 1e6 / (last - first)
            means = np.mean([measure(bench, name, reference, rows, rate) for rows in runs], axis=0)
            cells = [name, scheme, f"{cost:.2f}", *(f"{value:.3f}" for value in means[:4]),
                     f"{means[4]:.0f}", f"{means[5]:.0f}", f"{means[6]:.2f}"]
            if labels and labels.exists():
                pairs = [against_labels(bench, name, labels, rows) for rows in runs]
                cells += [f"{value:.3f}" for value in np.mean(pairs, axis=0)]
            elif labels:
                cells += ["", ""]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
