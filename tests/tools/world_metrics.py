#!/usr/bin/env python3
"""Cross-camera association in a synthetic scene, compared with SpotOn's rule.

    world_metrics.py [--bench build/tests/bench/bench_world] [--seeds 5] [--minutes 5] [CASE]...

For each case and seed: `bench_world rows=...`, then global IDF1 and ID switches of spoton's global ids
and of those that SpotOn's rule assigns to the same tracks. IDF1 (E. Ristani et al., "Performance
Measures and a Data Set for Multi-Target, Multi-Camera Tracking", 2016) is over all cameras at once:
one mapping of people to global ids for the whole run. An ID switch is a person whose global id in one
camera differs from the last one assigned in any camera.
"""
import argparse
import collections
import math
import subprocess
import sys
import tempfile

HALL = {0, 1, 2, 3}  # the cameras that overlap
ALL = HALL | {4, 5}
NOISY = ["noise=10", "offset=100", "miss=0.05", "false=0.05"]
CASES = {  # settings of bench_world, what is wanted, the cameras that count
    "overlap": ([], 0.95, HALL),
    "overlap-noisy": (NOISY, 0.85, HALL),
    "dense": (["dense=1"], None, HALL),
    "dense-noisy": (["dense=1", *NOISY], None, HALL),
    "crowd": (["hall=1"], None, HALL),
    "gaps": (["roam=1", "embed=1"], 0.75, ALL),
    "gaps-weak": (["roam=1", "embed=0.45"], None, ALL),
    "gaps-noisy": (["roam=1", "embed=1", *NOISY], None, ALL),
    "gaps-no-appearance": (["roam=1"], None, ALL),
}

Row = collections.namedtuple("Row", "camera frame time_us person track global_id x y confidence")


def read_rows(path):
    rows = []
    with open(path) as file:
        for line in file:
            value = line.split()
            rows.append(Row(int(value[0]), int(value[1]), int(value[2]), int(value[3]),
                            int(value[4]), int(value[5]), float(value[6]), float(value[7]),
                            float(value[8])))
    return rows


def best_pairs(gain):
    """Rows to columns so that the sum of gain[row][column] is largest; every row gets one of the
    columns, of which there are at least as many. The Hungarian method with potentials, O(n^2 m)."""
    n, m = len(gain), len(gain[0]) if gain else 0
    u, v, row_of = [0.0] * (n + 1), [0.0] * (m + 1), [0] * (m + 1)
    for row in range(1, n + 1):
        row_of[0], column = row, 0
        least, way, used = [math.inf] * (m + 1), [0] * (m + 1), [False] * (m + 1)
        while True:
            used[column] = True
            at, delta, following = row_of[column], math.inf, 0
            for k in range(1, m + 1):
                if used[k]:
                    continue
                cost = -gain[at - 1][k - 1] - u[at] - v[k]
                if cost < least[k]:
                    least[k], way[k] = cost, column
                if least[k] < delta:
                    delta, following = least[k], k
            for k in range(m + 1):
                if used[k]:
                    u[row_of[k]] += delta
                    v[k] -= delta
                else:
                    least[k] -= delta
            column = following
            if row_of[column] == 0:
                break
        while column:
            row_of[column] = row_of[way[column]]
            column = way[column]
    return {row_of[k] - 1: k - 1 for k in range(1, m + 1) if row_of[k]}


def measure(rows, global_ids):
    """rows: labelled people (0: a false positive); global_ids[i]: the id assigned to row i, or None."""
    together, labelled, assigned = collections.Counter(), 0, 0
    last, switches = {}, 0
    for row, global_id in zip(rows, global_ids):
        labelled += row.person > 0
        assigned += global_id is not None
        if row.person > 0 and global_id is not None:
            together[row.person, global_id] += 1
            switches += last.get(row.person, global_id) != global_id
            last[row.person] = global_id
    people = sorted({person for person, _ in together})
    names = sorted({global_id for _, global_id in together})
    names += [None] * max(0, len(people) - len(names))
    gain = [[together[person, name] for name in names] for person in people]
    right = sum(gain[r][c] for r, c in best_pairs(gain).items()) if gain else 0
    return 2 * right / (labelled + assigned), switches


class Origin:
    """SpotOn's rule: per frame and pair of cameras, Hungarian assignment on the distance. Tracks within
    RADIUS are merged at once and for good (the smaller id wins, unless the two already share a camera);
    an unmatched track takes the id of the nearest track in the last BUFFER frames of other cameras, or a
    new one. Of two tracks with one id in a camera, the more confident keeps it."""

    RADIUS, BUFFER = 100.0, 30

    def __init__(self):
        self.global_id = {}  # (camera, track) -> global_id
        self.past = collections.deque(maxlen=self.BUFFER)
        self.next = 1

    def merge(self, a, b):
        low, high = sorted((a, b), key=lambda name: f"P{name}")  # as strings
        cameras = {name: {key[0] for key, value in self.global_id.items() if value == name}
                   for name in (low, high)}
        if cameras[low] & cameras[high]:
            return
        for key, value in self.global_id.items():
            if value == high:
                self.global_id[key] = low

    def frame(self, rows):
        by_camera = collections.defaultdict(list)
        for row in rows:
            by_camera[row.camera].append(row)
        cameras, matched = sorted(by_camera), set()
        for i, a in enumerate(cameras):
            for b in cameras[i + 1:]:
                for one, other in self.pairs(by_camera[a], by_camera[b]):
                    self.join(one, other)
                    matched |= {one[:1] + one[4:5], other[:1] + other[4:5]}
        for row in rows:
            key = row[:1] + row[4:5]
            if key in matched or key in self.global_id:
                continue
            near = [(math.hypot(row.x - x, row.y - y), global_id)
                    for past in self.past for camera, x, y, global_id in past if camera != row.camera]
            near = min(near, default=(math.inf, None))
            if near[0] <= self.RADIUS:
                self.global_id[key] = near[1]
            else:
                self.global_id[key] = self.next
                self.next += 1
        self.past.append([(row.camera, row.x, row.y, self.global_id[row[:1] + row[4:5]])
                          for row in rows])
        return self.answer(by_camera)

    def pairs(self, first, second):
        small, large, swapped = first, second, False
        if len(first) > len(second):
            small, large, swapped = second, first, True
        gain = [[-math.hypot(a.x - b.x, a.y - b.y) for b in large] for a in small]
        for r, c in best_pairs(gain).items():
            if -gain[r][c] <= self.RADIUS:
                yield (large[c], small[r]) if swapped else (small[r], large[c])

    def join(self, one, other):
        a, b = one[:1] + one[4:5], other[:1] + other[4:5]
        na, nb = self.global_id.get(a), self.global_id.get(b)
        if na is None and nb is None:
            self.global_id[a] = self.global_id[b] = self.next
            self.next += 1
        elif na is None:
            self.global_id[a] = nb
        elif nb is None:
            self.global_id[b] = na
        elif na != nb:
            self.merge(na, nb)

    def answer(self, by_camera):
        assigned = {}
        for camera, rows in by_camera.items():
            best = {}
            for row in rows:
                global_id = self.global_id[camera, row.track]
                if global_id not in best or row.confidence > best[global_id].confidence:
                    best[global_id] = row
            assigned.update({(camera, row.track): global_id for global_id, row in best.items()})
        return assigned


def origin_ids(rows):
    """The rule runs once per frame of the fastest camera, on the newest frame of every other one."""
    origin, global_ids, latest, waiting = Origin(), [None] * len(rows), {}, {}
    by_image = collections.OrderedDict()
    for index, row in enumerate(rows):
        by_image.setdefault((row.time_us, row.camera), []).append(index)
    for (_, camera), indices in sorted(by_image.items()):
        latest[camera] = [rows[i] for i in indices if rows[i].track and rows[i].x == rows[i].x]
        waiting.setdefault(camera, []).extend(indices)
        if camera != 0:
            continue
        assigned = origin.frame([row for part in latest.values() for row in part])
        for i in (i for part in waiting.values() for i in part):
            if rows[i].track:
                global_ids[i] = assigned.get((rows[i].camera, rows[i].track))
        waiting = {}
    return global_ids


def limits(rows):
    """Upper bounds: the right id for every box; for every track, the person that it shows most often;
    and the number of ID switches within tracks."""
    perfect = measure(rows, [row.person or 1000 + row.track if row.track else None for row in rows])
    shown, last, exchanged = collections.defaultdict(collections.Counter), {}, 0
    for row in rows:
        key = row[:1] + row[4:5]
        shown[key][row.person] += bool(row.track)
        if row.track and row.person:
            exchanged += last.get(key, row.person) != row.person
            last[key] = row.person
    best = {key: count.most_common(1)[0][0] or 1000 + key[1] for key, count in shown.items()}
    tracks = measure(rows, [best[row[:1] + row[4:5]] if row.track else None for row in rows])
    return (f"perfect ids {perfect[0]:.4f}, a track's most frequent person {tracks[0]:.4f}, "
            f"ID switches within tracks {exchanged}, tracks {len(shown)}\n")


def run_case(bench, case, seed, minutes, with_origin):
    words, _, cameras = CASES[case]
    with tempfile.NamedTemporaryFile(suffix=".rows") as file:
        printed = subprocess.run([bench, f"seed={seed}", f"minutes={minutes}", f"rows={file.name}",
                                  *words], check=True, capture_output=True, text=True).stdout
        rows = read_rows(file.name)
    origin = origin_ids(rows) if with_origin else None
    counts = [row.camera in cameras for row in rows]
    if origin:
        origin = [global_id for global_id, good in zip(origin, counts) if good]
    rows = [row for row, good in zip(rows, counts) if good]
    silent = sum(1 for row in rows if row.track and row.person and not row.global_id) / len(rows)
    printed += f"{limits(rows)}people's tracks without a global id {silent:.4f}\n"
    ours = measure(rows, [row.global_id or None for row in rows])
    origin = measure(rows, origin) if origin else (float("nan"), 0)
    return ours, origin, printed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", default="build/tests/bench/bench_world")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--no-origin", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    arguments = parser.parse_args()
    fine = True
    print(f"{'case':20s} {'seed':>4s} {'IDF1':>7s} {'switches':>8s}   origin: {'IDF1':>6s} switches")
    for case in arguments.cases:
        wanted = CASES[case][1]
        worst, sums = 1.0, [0.0, 0.0]
        for seed in range(1, arguments.seeds + 1):
            ours, origin, printed = run_case(arguments.bench, case, seed, arguments.minutes,
                                             not arguments.no_origin)
            worst = min(worst, ours[0])
            sums = [sums[0] + ours[0], sums[1] + origin[0]]
            print(f"{case:20s} {seed:4d} {ours[0]:7.4f} {ours[1]:8d}   {origin[0]:14.4f} "
                  f"{origin[1]:8d}", flush=True)
            if arguments.verbose:
                print(printed, end="")
        means = [value / arguments.seeds for value in sums]
        fine = fine and (wanted is None or worst >= wanted)
        print(f"{case:20s} mean {means[0]:7.4f} {'':8s}   {means[1]:14.4f}   least {worst:.4f}"
              + (f", wanted {wanted}" if wanted else ""))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
