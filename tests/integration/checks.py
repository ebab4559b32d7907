"""Reads the outputs of a run and checks their form."""

import json
import subprocess


class Results:
    """The output files of a run for one camera, checked when read."""

    def __init__(self, folder, camera):
        self.txt_path = folder / f"{camera}.txt"
        self.jsonl_path = folder / f"{camera}.jsonl"
        self.mp4_path = folder / f"{camera}.mp4"
        self.rows = read_mot(self.txt_path)
        self.results_log = read_results_log(self.jsonl_path)

    def bytes(self):
        return self.txt_path.read_bytes() + b"\0" + self.jsonl_path.read_bytes()

    @property
    def sequences(self):
        return [line["sequence"] for line in self.results_log]


def read_mot(path):
    """MOT Challenge rows: frame, id, left, top, width, height, confidence, -1, -1, -1."""
    text = path.read_text()
    assert text == "" or text.endswith("\n"), f"{path}: the last row is cut"
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        values = line.split(",")
        assert len(values) == 10, f"{path}:{number}: {len(values)} values"
        frame, identity = int(values[0]), int(values[1])
        left, top, width, height, confidence = (float(value) for value in values[2:7])
        assert frame >= 1 and identity >= 1, f"{path}:{number}: frames and ids are from 1"
        assert width >= 0 and height > 0 and 0 <= confidence <= 1, f"{path}:{number}: {line}"
        assert [float(value) for value in values[7:]] == [-1, -1, -1], f"{path}:{number}: {line}"
        rows.append((frame, identity, left, top, width, height, confidence))
    # A track's rows from before it had an id follow later frames, beside its first.
    for identity in {row[1] for row in rows}:
        frames = [row[0] for row in rows if row[1] == identity]
        assert frames == sorted(frames), f"{path}: order of frames"
    pairs = [(row[0], row[1]) for row in rows]
    assert len(pairs) == len(set(pairs)), f"{path}: an id twice in one frame"
    return rows


def read_results_log(path):
    text = path.read_text()
    assert text == "" or text.endswith("\n"), f"{path}: the last line is cut"
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert {"sequence", "pts_us", "inferred", "detections", "tracks"} <= set(line), line
        assert isinstance(line["inferred"], bool)
        for box in line["detections"]:
            x1, y1, x2, y2, confidence, _ = box
            assert x1 < x2 and y1 < y2 and 0 <= confidence <= 1, line
        for track in line["tracks"]:
            identity, x1, y1, x2, y2, confidence, _ = track
            assert identity >= 1 and x1 < x2 and y1 < y2 and 0 <= confidence <= 1, line
    for one, two in zip(lines, lines[1:]):
        assert one["sequence"] < two["sequence"], f"{path}: order of frames"
        assert one["pts_us"] < two["pts_us"], f"{path}: order of time"
    return lines


def read_summary(folder):
    return json.loads((folder / "summary.json").read_text())


def assert_balanced(ledger):
    """The ledger: received = inferred + skipped + unneeded + dropped + failed + in flight."""
    assert set(ledger) == {"received", "inferred", "skipped", "unneeded", "dropped", "failed", "in_flight"}
    assert all(isinstance(value, int) and value >= 0 for value in ledger.values()), ledger
    assert ledger["received"] == sum(ledger.values()) - ledger["received"], ledger


def assert_summary_balanced(summary):
    for camera in summary["cameras"]:
        assert_balanced(camera["ledger"])
        assert camera["ledger"]["in_flight"] == 0, "at the end nothing is under way"
    assert_balanced(summary["ledger"])
    for key, value in summary["ledger"].items():
        assert value == sum(camera["ledger"][key] for camera in summary["cameras"]), key


def probe_video(path):
    """(frames, width, height, codec) of the whole decoded video; fails on damage."""
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries",
         "stream=nb_read_frames,width,height,codec_name", "-of", "json", path],
        capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr.strip(), f"{path}: {done.stderr}"
    stream = json.loads(done.stdout)["streams"][0]
    return int(stream["nb_read_frames"]), stream["width"], stream["height"], stream["codec_name"]


def no_leftovers(folder):
    return not list(folder.glob("*.part"))
