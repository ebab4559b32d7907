#!/usr/bin/env python3
"""Prints the metrics that `spoton eval --tracks` must reproduce, computed by py-motmetrics and TrackEval.

    track_figures.py [DATA] [> tests/data/eval/figures.json]

Evaluates tests/data/eval/{gt,out}.txt; the same files in mot17/, whose ground truth has the classes of MOT17,
through TrackEval's MotChallenge2DBox with its defaults; and gt.txt with ref.txt of every sequence in DATA
(without DATA, those metrics are kept). Missing gt.txt and out.txt are simulated first: people who walk and
cross, tracks with jitter, fragments and ID switches. The committed metrics are those of motmetrics 1.4.0 and
trackeval 1.3.0 (pip install motmetrics==1.4.0 trackeval==1.3.0).
"""
import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from trackeval.datasets import MotChallenge2DBox
from trackeval.metrics import CLEAR, HOTA, Identity

import track_metrics

EVAL = Path(__file__).resolve().parents[1] / "data" / "eval"


def simulate():
    random = np.random.default_rng(9)
    people, frames = 7, 80
    start, speed = random.uniform(50, 500, (people, 2)), random.uniform(-6, 6, (people, 2))
    size = np.stack([random.uniform(25, 45, people), random.uniform(70, 120, people)], axis=1)
    names = list(range(1, people + 1))
    ground_truth, tracks, fresh = [], [], 100
    for frame in range(1, frames + 1):
        if frame % 17 == 0:  # two swap
            a, b = random.choice(people, 2, replace=False)
            names[a], names[b] = names[b], names[a]
        if frame % 23 == 0:  # one breaks off and begins anew
            names[random.integers(people)] = fresh
            fresh += 1
        for person in range(people):
            box = np.concatenate([start[person] + speed[person] * frame, size[person]])
            flag = 0 if person == 6 and frame > 60 else 1
            ground_truth.append((frame, person + 1, *np.round(box, 2), flag, 1, 1))
            if random.random() > 0.12:
                shaken = box + random.normal(0, 0.06, 4) * np.tile(size[person], 2)
                tracks.append((frame, names[person], *np.round(shaken, 2), 0.9, -1, -1, -1))
        if random.random() < 0.3:
            tracks.append((frame, fresh, *np.round(random.uniform(50, 300, 2), 2), 30, 80, 0.6,
                           -1, -1, -1))
            fresh += 1
    for name, rows in (("gt.txt", ground_truth), ("out.txt", tracks)):
        (EVAL / name).write_text("".join(",".join(f"{v:g}" for v in row) + "\n" for row in rows))


def simulate_classes(folder):
    """People, all other classes of MOT17, rows with flag 0, and tracks on all of them; some are so close together
    that only the assignment with the greatest total overlap is right."""
    random = np.random.default_rng(17)
    classes = [1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1]
    frames, count = 60, len(classes)
    size = np.stack([random.uniform(30, 60, count), random.uniform(80, 140, count)], axis=1)
    start = np.stack([np.arange(count) * 34.0, random.uniform(50, 70, count)], axis=1)
    speed = random.uniform(-1.5, 1.5, (count, 2))
    ground_truth, tracks = [], []
    for frame in range(1, frames + 1):
        for i, cls in enumerate(classes):
            box = np.concatenate([start[i] + speed[i] * frame, size[i]])
            flag = 1 if cls == 1 and not (i == 15 or (i == 2 and frame > 40)) else 0
            if cls in (7, 8) and frame % 5 == 0:
                flag = 1  # such files exist, too
            ground_truth.append((frame, i + 1, *np.round(box, 2), flag, cls, round(random.random(), 2)))
            if random.random() > 0.15:
                shaken = box + random.normal(0, 0.07, 4) * np.tile(size[i], 2)
                name = i + 1 if frame < 30 or i % 4 else 100 + i
                tracks.append((frame, name, *np.round(shaken, 2), round(random.uniform(0.5, 1), 2), -1, -1, -1))
    folder.mkdir(parents=True)
    for name, rows in (("gt.txt", ground_truth), ("out.txt", tracks)):
        (folder / name).write_text("".join(",".join(f"{v:g}" for v in row) + "\n" for row in rows))


def prepare(ground_truth, tracks, folder):
    """Writes the rows that TrackEval counts by default as files without classes."""
    frames = max(int(float(line.split(",")[0])) for line in ground_truth.read_text().splitlines())
    for path, text in (("gt/seq/gt/gt.txt", ground_truth), ("out/mine/data/seq.txt", tracks)):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(text.read_text())
    dataset = MotChallenge2DBox({
        "GT_FOLDER": str(folder / "gt"), "TRACKERS_FOLDER": str(folder / "out"), "SKIP_SPLIT_FOL": True,
        "TRACKERS_TO_EVAL": ["mine"], "SEQ_INFO": {"seq": frames}, "PRINT_CONFIG": False})
    data = dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data("mine", "seq"), "pedestrian")
    pair = []
    for ids, dets in (("gt_ids", "gt_dets"), ("tracker_ids", "tracker_dets")):
        rows = [(frame + 1, identity + 1, *box, 1, -1, -1, -1) for frame in range(frames)
                for identity, box in zip(data[ids][frame], data[dets][frame])]
        pair.append(folder / f"{ids}.txt")
        pair[-1].write_text("".join(",".join(f"{v:.10g}" for v in row) + "\n" for row in rows))
    return pair


def as_trackeval(ground_truth_path, tracks_path):
    ground_truth, tracks = track_metrics.read_rows(ground_truth_path), track_metrics.read_rows(tracks_path)
    nothing = np.zeros((0, 5))
    places = [{name: i for i, name in enumerate(sorted({int(row[0]) for rows in side.values()
                                                        for row in rows}))}
              for side in (ground_truth, tracks)]
    data = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    for frame in range(1, max([*ground_truth, *tracks]) + 1):
        pair = [side.get(frame, nothing) for side in (ground_truth, tracks)]
        for key, rows, place in zip(("gt_ids", "tracker_ids"), pair, places):
            data[key].append(np.array([place[int(row[0])] for row in rows], int))
        data["similarity_scores"].append(track_metrics.iou(pair[0][:, 1:], pair[1][:, 1:]))
    data["num_gt_ids"], data["num_tracker_ids"] = map(len, places)
    data["num_gt_dets"] = sum(map(len, data["gt_ids"]))
    data["num_tracker_dets"] = sum(map(len, data["tracker_ids"]))
    data["num_timesteps"] = len(data["gt_ids"])
    return data


def figures(ground_truth, tracks):
    ours = track_metrics.measure(str(ground_truth), str(tracks))
    with contextlib.redirect_stdout(io.StringIO()):
        data = as_trackeval(str(ground_truth), str(tracks))
        hota, clear = HOTA().eval_sequence(data), CLEAR().eval_sequence(data)
        identity = Identity().eval_sequence(data)
    return {
        "mota": ours["mota"], "idf1": ours["idf1"], "id_switches": int(ours["num_switches"]),
        "id_precision": ours["idp"], "id_recall": ours["idr"],
        "mota_trackeval": float(clear["MOTA"]), "id_switches_trackeval": int(clear["IDSW"]),
        "idf1_trackeval": float(identity["IDF1"]), "hota": float(np.mean(hota["HOTA"])),
        "detection_accuracy": float(np.mean(hota["DetA"])),
        "association_accuracy": float(np.mean(hota["AssA"])),
    }


def combined(pairs):
    """The sequences together, as TrackEval combines them."""
    with contextlib.redirect_stdout(io.StringIO()):
        data = {name: as_trackeval(*map(str, pair)) for name, pair in pairs.items()}
        hota, clear, identity = (metric.combine_sequences({name: metric.eval_sequence(one) for name, one in data.items()})
                                 for metric in (HOTA(), CLEAR(), Identity()))
    return {"mota": float(clear["MOTA"]), "id_switches": int(clear["IDSW"]), "idf1": float(identity["IDF1"]),
            "hota": float(np.mean(hota["HOTA"])), "detection_accuracy": float(np.mean(hota["DetA"])),
            "association_accuracy": float(np.mean(hota["AssA"]))}


def main():
    if not (EVAL / "gt.txt").exists():
        EVAL.mkdir(parents=True, exist_ok=True)
        simulate()
    if not (EVAL / "mot17").exists():
        simulate_classes(EVAL / "mot17")
    table = json.loads((EVAL / "figures.json").read_text()) if len(sys.argv) < 2 else {}
    table["simulated"] = figures(EVAL / "gt.txt", EVAL / "out.txt")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        pair = prepare(EVAL / "mot17" / "gt.txt", EVAL / "mot17" / "out.txt", Path(folder))
        table["mot17"] = figures(*pair)
        table["combined"] = combined({"simulated": (EVAL / "gt.txt", EVAL / "out.txt"), "mot17": pair})
    for ground_truth in sorted(Path(sys.argv[1]).glob("*/gt.txt")) if len(sys.argv) > 1 else []:
        table[ground_truth.parent.name] = figures(ground_truth, ground_truth.parent / "ref.txt")
    rounded = {name: {key: round(value, 6) for key, value in row.items()}
               for name, row in table.items()}
    print(json.dumps(rounded, indent=1))


main()
