"""Lines and zones: run writes events.jsonl and counts.json, and count gives the same from stored tracks."""

import gzip
import json
from pathlib import Path

import pytest

DATA = Path(__file__).parent.parent / "data" / "count"


def write_config(path, clips, lines="[{name: door, points: [[0.5, 0], [0.5, 1]]}]",
                 zones="[{name: hall, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}]", more=""):
    text = "cameras:\n"
    for name, clip in clips.items():
        text += f"  - name: {name}\n    url: {clip}\n    lines: {lines}\n    zones: {zones}\n"
    path.write_text(text + more)
    return path


def crossings(rows, x_px, margin_px):
    """In and out of a vertical line that points down, from MOT rows: its left is on the right in the frame."""
    side, count = {}, [0, 0]
    for row in rows.read_text().splitlines():
        _, track, left, _, width = (float(word) for word in row.split(",")[:5])
        distance = left + width / 2 - x_px
        if abs(distance) < margin_px:
            continue
        now = distance < 0
        if side.setdefault(track, now) != now:
            count[0 if now else 1] += 1
            side[track] = now
    return count


# Crossings of the demo clip, counted by a person on images of the line's column over all frames: five vertical
# lines, x, y1, y2 in pixels, from this second on. Before 14 s a group stands on `middle`; a man stands on `gap` for
# four seconds, and two people who cross `path` come back.
COURTYARD = {"gap": (48, 60, 575, 0, 6), "west": (96, 60, 575, 0, 8), "path": (144, 60, 575, 0, 12),
             "middle": (384, 190, 400, 14, 24), "east": (720, 200, 500, 0, 21)}


def test_lines_through_the_courtyard_are_counted_as_by_hand(spoton, tmp_path):
    """On stored tracks of the bundled model and tracker."""
    (tmp_path / "courtyard.jsonl").write_bytes(gzip.decompress((DATA / "courtyard.jsonl.gz").read_bytes()))
    lines = ", ".join(f"{{name: {name}, points: [[{x}, {top}], [{x}, {bottom}]], unit: px}}"
                      for name, (x, top, bottom, _, _) in COURTYARD.items())
    config = write_config(tmp_path / "spoton.yaml", {"courtyard": "courtyard.avi"}, f"[{lines}]", "[]")
    spoton("count", "--config", config, tmp_path / "courtyard.jsonl", "--out", tmp_path / "out", expect=0)
    events = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    counted = {name: sum(event["line"] == name and event["time_us"] >= since * 1e6 for event in events)
               for name, (_, _, _, since, _) in COURTYARD.items()}
    for name, (_, _, _, _, by_hand) in COURTYARD.items():
        assert abs(counted[name] - by_hand) <= 1, counted


@pytest.mark.sanitize
@pytest.mark.threads
def test_count_gives_the_events_of_the_run(spoton, make_clip, tmp_path):
    clip = make_clip("h264", frames=150)
    config = write_config(tmp_path / "spoton.yaml", {"b": clip, "a": clip})
    written = set()
    for threads in ("1", "3"):
        out = tmp_path / f"out{threads}"
        spoton("run", "--config", config, "--out", out, "--threads", threads, expect=0)
        written.add((out / "events.jsonl").read_bytes() + (out / "counts.json").read_bytes())
    assert len(written) == 1
    counts = json.loads((out / "counts.json").read_text())
    wanted = crossings(out / "a.txt", 160, 8)
    assert sum(wanted) > 0
    # Both cameras have the line: each crossing is one event.
    assert counts["lines"]["door"] == {"in": wanted[0], "out": wanted[1]}
    assert counts["zones"]["hall"]["visits"] > 0
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    crossed = [event for event in events if event["event"] == "line.crossed"]
    assert len(crossed) == sum(wanted)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert all(0.8 < event["confidence"] <= 1 and event["track"] > 0 for event in crossed)
    again = tmp_path / "again"
    done = spoton("count", "--config", config, out / "b.jsonl", out / "a.jsonl", "--out", again, expect=0)
    assert json.loads(done.stdout) == counts
    for name in ("events.jsonl", "counts.json"):
        assert (again / name).read_bytes() == (out / name).read_bytes()


@pytest.mark.parametrize("change, problem", [
    ({"lines": "[{name: d, points: [[0.5, 0.5], [0.5, 0.5]]}]"}, "spoton.yaml:4:13: line d: "),
    ({"zones": "[{name: z, polygon: [[0, 0], [1, 1], [1, 0], [0, 1]]}]"}, "the polygon crosses itself"),
    ({"more": "map: {lines: [{name: m, points: [[0, 0], [1, 1]]}]}\n"}, "spoton.yaml:6: metres without a map"),
    ({"lines": "[{name: d, points: [[0, 0], [1, 2]]}]"}, "outside the frame"),
])
def test_bad_lines_are_named(spoton, tmp_path, change, problem):
    config = write_config(tmp_path / "spoton.yaml", {"a": "none.mp4"}, **change)
    done = spoton("run", "--config", config, "--out", tmp_path / "out", expect=1)
    assert problem in done.stderr
    assert len(done.error_lines) == 1 and "; " in done.error_lines[0]
    assert not (tmp_path / "out" / "counts.json").exists()


def test_bad_results_are_named(spoton, tmp_path):
    config = write_config(tmp_path / "spoton.yaml", {"a": "none.mp4"})
    log = tmp_path / "a.jsonl"
    for text, problem in [
            ('{"sequence":0,"pts_us":0,"inferred":true,"tracks":[]}\n', 'a.jsonl:1: no "width"'),
            ('{"sequence":0,"pts_us":0,"inferred":true,"width":9,"height":9,"tracks":[[1]]}\n', "a.jsonl:1: track 1"),
            ("x\n", "a.jsonl:1: not a JSON object")]:
        log.write_text(text)
        done = spoton("count", "--config", config, log, expect=1)
        assert problem in done.stderr
    log.write_text("")
    log.rename(tmp_path / "b.jsonl")
    done = spoton("count", "--config", config, tmp_path / "b.jsonl", expect=1)
    assert "spoton.yaml:2: camera a has lines or zones" in done.stderr
    assert "--config: missing" in spoton("count", tmp_path / "b.jsonl", expect=2).stderr
