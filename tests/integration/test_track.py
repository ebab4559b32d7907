"""spoton track: the tracker alone, from stored detections."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from checks import Results, read_mot
from conftest import ROOT


def sequences():
    """Sequences in the repository, then those in ../shared."""
    shared = Path(os.environ.get("SPOTON_SHARED", ROOT.parent / "shared"))
    found = {}
    for folder in (ROOT / "tests" / "data", shared / "data" / "tracker"):
        for path in sorted(folder.rglob("det.txt")):
            if (path.parent / "ref.txt").exists():
                found.setdefault(path.parent.name, path.parent)
    return found


SEQUENCES = sequences()


def read_reference(path):
    rows = []
    for line in Path(path).read_text().splitlines():
        values = line.split(",")
        rows.append((int(values[0]), int(values[1]), *(float(value) for value in values[2:6])))
    return rows


def equal_share(ours, reference, tolerance=0.01):
    """Rows that are equal under the mapping of ids that most rows support."""
    by_frame = {}
    for row in reference:
        by_frame.setdefault(row[0], []).append(row)
    votes = Counter()
    for row in ours:
        for other in by_frame.get(row[0], []):
            if all(abs(a - b) <= tolerance for a, b in zip(row[2:6], other[2:6])):
                votes[row[1], other[1]] += 1
    equal, used_ours, used_theirs = 0, set(), set()
    for (one, two), count in votes.most_common():
        if one not in used_ours and two not in used_theirs:
            used_ours.add(one)
            used_theirs.add(two)
            equal += count
    total = max(len(ours), len(reference))
    return equal / total if total else 1.0


@pytest.mark.sanitize
@pytest.mark.parametrize("name", SEQUENCES or ["none"])
def test_tracks_equal_the_authors(spoton, tmp_path, name):
    if not SEQUENCES:
        pytest.skip("no tracker sequences in tests/data, and no ../shared")
    folder, out = SEQUENCES[name], tmp_path / "out.txt"
    spoton("track", folder / "det.txt", "-o", out, "--track-dt", "frames", engine=None, expect=0)
    assert equal_share(read_mot(out), read_reference(folder / "ref.txt")) == 1.0


@pytest.mark.sanitize
@pytest.mark.parametrize("tracker", ["bytetrack", "spoton"])
def test_tracking_a_results_log_again_equals_the_run(spoton, make_clip, tmp_path, tracker):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={make_clip('h264', frames=40, objects=3)}", "--out", out, "--tracker", tracker,
           expect=0)
    again = tmp_path / "again.txt"
    spoton("track", out / "c.jsonl", "-o", again, "--tracker", tracker, engine=None, expect=0)
    assert len(Results(out, "c").rows) > 100
    assert again.read_bytes() == (out / "c.txt").read_bytes()


@pytest.mark.sanitize
def test_a_track_has_rows_from_before_its_id(spoton, make_clip, tmp_path):
    """Three objects appear in the twelfth frame. Every second frame is inferred, so their ids come later."""
    parts, clip, out = tmp_path / "parts", tmp_path / "c.avi", tmp_path / "out"
    parts.write_text("".join(f"file '{make_clip('mjpeg', frames=frames, objects=objects)}'\n"
                             for frames, objects in ((11, 1), (20, 3))))
    subprocess.run(["ffmpeg", "-v", "error", "-f", "concat", "-safe", "0", "-i", parts, "-c", "copy", clip], check=True)
    spoton("run", "--camera", f"c={clip}", "--out", out, "--tracker", "spoton", "--frame-skip", "2", expect=0)
    results = Results(out, "c")
    earlier = [(line["sequence"], *row) for line in results.results_log for row in line.get("earlier", [])]
    assert earlier and all(sequence > at >= 11 for sequence, at, *_ in earlier)
    for identity in {row[2] for row in earlier}:  # one row in each frame, as if it had had its id from the first
        frames = [row[0] for row in results.rows if row[1] == identity]
        first = min(row[1] for row in earlier if row[2] == identity)
        assert frames[:5] == list(range(first + 1, first + 6)) and first % 2 == 0
    again = tmp_path / "again.txt"
    spoton("track", out / "c.jsonl", "-o", again, "--tracker", "spoton", engine=None, expect=0)
    assert again.read_bytes() == (out / "c.txt").read_bytes()


def test_tracking_a_results_log_with_other_settings(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={make_clip('h264', frames=20)}", "--out", out, expect=0)
    strict = tmp_path / "strict.txt"
    # The fake engine's confidence is 0.95: no track starts at a higher threshold.
    spoton("track", out / "c.jsonl", "-o", strict, "--track-high-threshold", "0.99",
           "--track-new-threshold", "0.99", engine=None, expect=0)
    assert len(Results(out, "c").rows) == 40
    assert read_mot(strict) == []


def test_tracking_a_sparse_results_log_equals_the_inferred_rows(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={make_clip('h264', frames=31)}", "--out", out,
           env={"FRAME_SKIP": 3, "OUTPUT_FRAMES": "inferred", "TRACK_DT": "timestamps"}, expect=0)
    again = tmp_path / "again.txt"
    spoton("track", out / "c.jsonl", "-o", again, "--track-dt", "timestamps", engine=None,
           expect=0)
    assert again.read_bytes() == (out / "c.txt").read_bytes()


@pytest.mark.sanitize
@pytest.mark.parametrize("text, word", [
    ("1,-1,10,10,20,40,0.9,-1,-1,-1\n1,-1,abc,10,20,40,0.9,-1,-1,-1\n", "2"),
    ("1,-1,10,10\n", "1"),
    ("{\"sequence\":0,\"pts_us\":0,\"inferred\":true,\"detections\":[[1,2\n", "1"),
    ("{\"sequence\":0}\n", "1"),
], ids=["letters", "short", "cut-json", "keys"])
def test_malformed_detections_name_the_line(spoton, tmp_path, text, word):
    source = tmp_path / "det.txt"
    source.write_text(text)
    done = spoton("track", source, "-o", tmp_path / "out.txt", engine=None)
    assert done.returncode in (1, 2), str(done)
    assert len(done.error_lines) == 1, str(done)
    assert "det.txt" in done.error_lines[0] and word in done.error_lines[0], str(done)
    assert not (tmp_path / "out.txt").exists()


def test_empty_detections_give_no_rows(spoton, tmp_path):
    source = tmp_path / "det.txt"
    source.touch()
    spoton("track", source, "-o", tmp_path / "out.txt", engine=None, expect=0)
    assert (tmp_path / "out.txt").read_text() == ""


def test_missing_detections(spoton, tmp_path):
    done = spoton("track", tmp_path / "nothing.txt", "-o", tmp_path / "out.txt", engine=None)
    assert done.returncode in (1, 2), str(done)
    assert any("nothing.txt" in line for line in done.error_lines), str(done)


def test_results_log_lines_have_the_documented_form(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={make_clip('h264', frames=3)}", "--out", out, expect=0)
    line = json.loads((out / "c.jsonl").read_text().splitlines()[1])
    assert line["sequence"] == 1 and abs(line["pts_us"] - 100000) <= 1
    assert len(line["detections"][0]) == 6 and len(line["tracks"][0]) == 7


# ---- --compare ----

def make_sequences(folder, shift=0):
    """Two people who cross, in two sequences, with ground truth; every fifth box is missing."""
    for number, speed in ((1, 3), (2, 5)):
        place = folder / f"s{number}"
        place.mkdir(parents=True)
        labels, detections = [], []
        for frame in range(1, 61):
            for person in (1, 2):
                left = 100 + speed * frame if person == 1 else 420 - speed * frame
                box = f"{left + shift},{100 + 40 * person},40,110"
                labels.append(f"{frame},{person},{box},1,1,1")
                if (frame + person) % 5:
                    detections.append(f"{frame},-1,{box},0.{6 + person}5")
        (place / "gt.txt").write_text("\n".join(labels))
        (place / "det.txt").write_text("\n".join(detections))
        (place / "seqinfo.ini").write_text("[Sequence]\nframeRate=25\n")
    return folder


@pytest.mark.sanitize
@pytest.mark.parametrize("skip", [1, 2])
def test_compare_equals_track_and_eval(spoton, tmp_path, skip):
    folder, out = make_sequences(tmp_path / "in"), tmp_path / "out"
    got = json.loads(spoton("track", "--compare", "bytetrack,spoton", folder, "--ground-truth", folder, "--json",
                            "--frame-skip", skip, "--track-dt", "timestamps", engine=None, expect=0).stdout)
    assert [one["tracker"] for one in got] == ["bytetrack", "spoton"]
    out.mkdir()
    for name in ("s1", "s2"):
        rows = (folder / name / "gt.txt").read_text().splitlines()
        (out / f"{name}-gt.txt").write_text("\n".join(row for row in rows if (int(row.split(",")[0]) - 1) % skip == 0))
    keys = ("mota", "idf1", "hota", "id_switches", "tracks")
    for name in ("s1", "s2"):
        spoton("track", folder / name / "det.txt", "-o", out / "one.txt", "--frame-skip", skip, "--track-dt",
               "timestamps", "--output-frames", "inferred", "--tracker", "bytetrack", engine=None, expect=0)
        alone = json.loads(spoton("eval", "--tracks", out / f"{name}-gt.txt", out / "one.txt", "--json",
                                  expect=0).stdout)
        [row] = [row for row in got[0]["sequences"] if row["sequence"] == name]
        assert {key: row[key] for key in keys} == {key: alone[key] for key in keys}
        assert row["frame_rate"] == 25
    for key in keys:
        assert got[1]["difference"][key] == pytest.approx(got[1]["all"][key] - got[0]["all"][key], abs=2e-5)
        low, high = got[1]["difference"]["interval"][key]
        assert low <= got[1]["difference"][key] + 1e-4 and got[1]["difference"][key] <= high + 1e-4
    # A tracker against itself differs in nothing, whichever sequences are drawn.
    same = json.loads(spoton("track", "--compare", "spoton,spoton", folder, "--ground-truth", folder, "--json",
                             engine=None, expect=0).stdout)
    assert set(map(tuple, same[1]["difference"]["interval"].values())) == {(0, 0)}


@pytest.mark.sanitize
def test_compare_on_a_results_log(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={make_clip('h264', frames=30, objects=2)}", "--out", out, expect=0)
    [got] = json.loads(spoton("track", "--compare", "bytetrack", out / "c.jsonl", "--ground-truth", out / "c.txt",
                              "--json", "--tracker", "spoton", engine=None, expect=0).stdout)
    tracks = len({row[1] for row in read_mot(out / "c.txt")})
    assert got["sequences"][0]["sequence"] == "c" and got["all"]["tracks"] == tracks
    if os.environ.get("TRACKER", "bytetrack") == "bytetrack":
        assert (got["all"]["mota"], got["all"]["idf1"]) == (1, 1)


@pytest.mark.sanitize
@pytest.mark.parametrize("words, seen, code", [
    (["--compare", "bytetrack,spotn"], "did you mean spoton", 1),
    (["--compare", "bytetrack"], "--ground-truth: missing", 2),
    (["--compare", ",".join(["spoton"] * 9)], "more than 8", 1),
])
def test_comparisons_that_cannot_be_made(spoton, tmp_path, words, seen, code):
    folder = make_sequences(tmp_path / "in")
    labels = ["--ground-truth", folder] if code == 1 else []
    done = spoton("track", *words, folder, *labels, engine=None, expect=code)
    assert seen in done.stderr and done.stdout == ""


@pytest.mark.sanitize
def test_compare_needs_ground_truth_in_the_tracked_frames(spoton, tmp_path):
    folder = make_sequences(tmp_path / "in")
    (folder / "s2" / "gt.txt").write_text("500,1,0,0,10,20,1,1,1\n")
    done = spoton("track", "--compare", "spoton", folder, "--ground-truth", folder, engine=None, expect=1)
    assert "no row that counts as ground truth in the tracked frames" in done.stderr
    (folder / "s2" / "det.txt").unlink()
    done = spoton("track", "--compare", "spoton", folder, "--ground-truth", folder, engine=None, expect=1)
    assert "no detections of s2" in done.stderr


# ---- --explain ----

@pytest.mark.sanitize
def test_why_an_id_changed(spoton, tmp_path):
    """A person is away for 20 frames and comes back 60 px farther: another id, and the first one was too far off."""
    rows = [f"{frame},-1,{100 + (60 if frame > 30 else 0)},100,40,100,0.9" for frame in range(1, 61)
            if not 10 < frame <= 30]
    detections = tmp_path / "det.txt"
    detections.write_text("\n".join(rows))
    seen = {}
    for identity in (1, 2):
        seen[identity] = spoton("track", "--explain", identity, detections, "--tracker", "spoton", engine=None,
                                expect=0).stdout.splitlines()
    assert seen[1][0].startswith("frame 1: id 1 created, 1 box,")
    assert seen[1][1] == "frame 11: lost after 10 boxes; no box beside its prediction"
    assert seen[2][0].startswith("frame 32: id 2 created, 2 boxes, evidence 1.8")
    assert not list(tmp_path.glob("*.part"))
    none = spoton("track", "--explain", 7, detections, "--tracker", "spoton", engine=None, expect=1)
    assert "no such track; ids are up to 2" in none.stderr
    other = spoton("track", "--explain", 1, detections, "--tracker", "bytetrack", engine=None, expect=1)
    assert "cannot explain; set TRACKER=spoton" in other.stderr and other.stdout == ""
