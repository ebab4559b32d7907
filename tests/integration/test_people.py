"""spoton run over calibrated cameras: people.jsonl."""

import json
import subprocess
import sys

import pytest

from checks import no_leftovers, read_summary
from conftest import ROOT


def write_calibration(path, names, size=(320, 240)):
    """The image is the map: one unit per pixel, 20 units per metre."""
    width, height = size
    corners = [[0, 40], [width, 40], [width, height], [0, height], [width / 2, height / 2]]
    path.write_text(json.dumps({
        "ground_plane": {"width": width, "height": height, "pixels_per_meter": 20, "y_axis": "down"},
        "cameras": [{"id": name, "image_size": list(size), "source_points": corners,
                     "destination_points": corners} for name in names]}))
    return path


def run_people(spoton, clip, tmp_path, name, *words, cameras=("c1", "c2", "c3")):
    out = tmp_path / name
    given = [word for camera in cameras for word in ("--camera", f"{camera}={clip}")]
    done = spoton("run", *given, "--out", out, *words, expect=0)
    return out, done


@pytest.mark.sanitize
@pytest.mark.threads
def test_the_same_people_in_all_cameras(spoton, make_clip, tmp_path):
    clip = make_clip("h264", frames=60)
    calibration = write_calibration(tmp_path / "map.json", ("c1", "c2"))
    out, done = run_people(spoton, clip, tmp_path, "out", "--homography-file-path", calibration)
    assert not done.error_lines, str(done)
    lines = [json.loads(line) for line in (out / "people.jsonl").read_text().splitlines()]
    frames = [line for line in lines if "sequence" in line]
    events = [line for line in lines if "what" in line]
    # c3 has no calibration, so no people. The frames of the others are in order of time.
    assert [(p["camera"], p["sequence"]) for p in frames] == [
        (camera, sequence) for sequence in range(60) for camera in ("c1", "c2")]
    last = {p["camera"]: p["people"] for p in frames[-2:]}
    assert len(last["c1"]) == 2 and len({who[1] for who in last["c1"]}) == 2
    for a, b in zip(last["c1"], last["c2"]):
        assert a[1] == b[1] is not None
        assert abs(a[2] - b[2]) < 20 and abs(a[3] - b[3]) < 20
    merged = [event for event in events if event["what"] == "merged"]
    assert merged and all(event["distance_m"] < 1 and event["votes"] >= 1 for event in merged)
    people = read_summary(out)["people"]
    assert people["merged"] == len(merged)
    assert people["created"] == sum(event["what"] == "created" for event in events) >= 2
    no_leftovers(out)


def test_the_bytes_do_not_depend_on_the_number_of_threads(spoton, make_clip, tmp_path):
    clip = make_clip("h264", frames=60)
    calibration = write_calibration(tmp_path / "map.json", ("c1", "c2", "c3"))
    written = set()
    for turn, threads in enumerate(("1", "2", "3", "3")):
        out, _ = run_people(spoton, clip, tmp_path, f"out{turn}", "--threads", threads,
                            "--homography-file-path", calibration)
        written.add((out / "people.jsonl").read_bytes())
    assert len(written) == 1


def test_the_frames_that_wait_are_bounded(spoton, make_clip, tmp_path):
    """20 s at 30 frames/s beside 20 s at 1 frame/s: a frame waits for earlier ones, which are read first."""
    fast, slow = make_clip("h264", frames=600, rate=30), make_clip("h264", frames=20, rate=1)
    calibration = write_calibration(tmp_path / "map.json", ("fast", "slow"))
    out = tmp_path / "out"
    spoton("run", "--camera", f"slow={slow}", "--camera", f"fast={fast}", "--out", out,
           "--homography-file-path", calibration, timeout=120, expect=0)
    lines = [json.loads(line) for line in (out / "people.jsonl").read_text().splitlines()]
    frames = [line for line in lines if "sequence" in line]
    assert len(frames) == 620
    assert [p["pts_us"] for p in frames] == sorted(p["pts_us"] for p in frames)
    # Mailboxes, inference requests and workers' queues, of both cameras; without flow control it is about 540.
    assert 1 <= read_summary(out)["people"]["frames_waiting_most"] <= 64


def test_without_calibrations_there_are_no_people(spoton, make_clip, tmp_path):
    clip = make_clip("h264", frames=10)
    out, _ = run_people(spoton, clip, tmp_path, "plain")
    assert not (out / "people.jsonl").exists()
    assert read_summary(out)["people"] is None
    others = write_calibration(tmp_path / "map.json", ("door",))
    out, done = run_people(spoton, clip, tmp_path, "others", "--homography-file-path", others)
    assert not (out / "people.jsonl").exists()
    assert "none of the cameras is calibrated" in done.stderr
    off, _ = run_people(spoton, clip, tmp_path, "off", "--homography-file-path", others,
                        "--spatial-match-enabled", "false")
    assert not (off / "people.jsonl").exists()


def test_a_bad_calibration_ends_the_run(spoton, make_clip, tmp_path):
    bad = tmp_path / "map.json"
    bad.write_text('{"cameras": 3}')
    done = spoton("run", "--camera", f"c1={make_clip()}", "--out", tmp_path / "out",
                  "--homography-file-path", bad)
    assert done.returncode == 1 and "HOMOGRAPHY_FILE_PATH" in done.stderr


@pytest.mark.openvino
def test_two_halves_of_a_real_clip(program, demo_clip):
    """Measured on all 795 frames: docs/SPACE.md."""
    done = subprocess.run([sys.executable, ROOT / "tests" / "tools" / "half_clip.py", "--spoton",
                           program, "--limit", "300", "--least", "0.85", demo_clip],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
