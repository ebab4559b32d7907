"""Lines and zones in `spoton serve`: events, counts, metrics, outputs and the WebSocket agree; changes over the API and
by a reload."""

import json
import re
import signal
import sys

import pytest

from conftest import ROOT
from serving import LIMIT_S, Serving, connect

sys.path.insert(0, str(ROOT / "tests" / "tools"))
import world_calibration
from test_outputs import build, lines  # noqa: F401: a fixture

YAML = """
cameras:
  - name: gate
    url: sim://walk?fps=20
    lines: [{name: mid, points: [[0.5, 0], [0.5, 1]], in: left, out: right}]
    zones: [{name: hall, polygon: [[0.2, 0], [0.8, 0], [0.8, 1], [0.2, 1]], loitering_s: 1}]
"""


def crossings(counts, line="mid"):
    found, = [each for each in counts["lines"] if each["line"] == line]
    return found["in"]["total"], found["out"]["total"]


def events_of(server, kind):
    return [event for event in server.get("/api/v2/events")["events"] if event["kind"] == kind]


@pytest.mark.threads
@pytest.mark.sanitize
def test_counts_events_metrics_and_outputs_agree(program, tmp_path, build):  # noqa: F811
    file = tmp_path / "results.jsonl"
    plugin = build("jsonl", "jsonl")
    config = tmp_path / "spoton.yaml"
    config.write_text(YAML)
    env = {"OUTPUTS": f"jsonl?path={file}", "SPOTON_OUTPUT_DIR": str(plugin.parent)}
    with Serving(program, tmp_path, {}, env, ["--config", str(config)]) as server:
        server.until_live("gate")
        with connect(server.ws_url("/api/v2/ws?events=1&cameras=none"), max_size=None) as socket:
            server.until(lambda: min(crossings(server.get("/api/v2/counts"))) > 0 and
                         events_of(server, "zone.loitering"), 30)
            heard = [json.loads(socket.recv(LIMIT_S)) for _ in range(5)]
        assert {message["type"] for message in heard} == {"event"}
        known = {event["serial"]: event for event in server.get("/api/v2/events")["events"]}
        for message in heard:
            event = known[message["serial"]]
            assert all(message[key] == event[key] for key in ("id", "kind", "camera", "time", "payload"))
        # Paused; the last frames may still be on their way to the counts. What was told between two equal counts was told
        # of one state, and in the end counts, events and metrics are of the same one.
        server.json("POST", "/api/v2/cameras/gate/pause")

        def told():
            before, metrics = server.get("/api/v2/counts"), server.request("GET", "/metrics")[2].decode()
            events = server.get("/api/v2/events")["events"]
            counts = server.get("/api/v2/counts")
            zone, = counts["zones"]
            seen = [sum(event["kind"] == kind for event in events)
                    for kind in ("line.crossed", "zone.entered", "zone.left")]
            counted = [sum(crossings(counts)), zone["visits"]["total"], zone["dwell_s"]["visits"]]
            settled = counts["lines"] == before["lines"] and zone["visits"] == before["zones"][0]["visits"]
            return settled and seen == counted and (counts, events, metrics)

        counts, events, metrics = server.until(told)
        crossed = [event for event in events if event["kind"] == "line.crossed"]
        zone, = counts["zones"]
        assert crossings(counts) == tuple(sum(event["payload"]["direction"] == way for event in crossed)
                                          for way in ("left", "right"))
        assert counts["missed"] == 0
        dwells = sorted(event["payload"]["dwell_s"] for event in events if event["kind"] == "zone.left")
        assert dwells and abs(zone["dwell_s"]["max"] - dwells[-1]) < 0.01
        assert zone["occupancy"]["low"] <= zone["occupancy"]["people"] <= zone["occupancy"]["high"]
        occupancies = [event for event in events if event["kind"] == "zone.occupancy"]
        assert occupancies[0]["camera"] == ""
        # Each person crosses back before crossing again.
        for track in {event["payload"]["track"] for event in crossed}:
            ways = [event["payload"]["direction"] for event in crossed if event["payload"]["track"] == track]
            assert all(a != b for a, b in zip(ways, ways[1:])), ways
        for way, count in zip(("left", "right"), crossings(counts)):
            assert f'spoton_line_crossings_total{{line="mid",direction="{way}"}} {count}\n' in metrics
        assert f'spoton_zone_visits_total{{zone="hall"}} {zone["visits"]["total"]}\n' in metrics
        assert f'spoton_zone_dwell_seconds_count{{zone="hall"}} {len(dwells)}\n' in metrics
        ids = [event["id"] for event in crossed]
        server.until(lambda: [line["id"] for line in lines(file) if line.get("event") == "line.crossed"] == ids)
        # Since a time: all of them since yesterday, none since next year.
        assert counts["lines"][0]["in"]["since"] == counts["lines"][0]["in"]["total"]
        later = server.get("/api/v2/counts?since=2199-01-01T00:00:00Z")
        assert later["lines"][0]["in"] == {"name": "left", "total": crossings(counts)[0], "since": 0}
        assert later["zones"][0]["dwell_s"]["visits"] == 0
        for since in ("yesterday", "2026-02-31", "2026-11-30T12:00", "2026-11-30T12:00:00+01:00", ""):
            assert "RFC 3339" in server.get(f"/api/v2/counts?since={since.replace('+', '%2B')}", 400)["detail"]


def test_lines_are_changed_over_the_api_and_kept(program, tmp_path):
    config = tmp_path / "spoton.yaml"
    config.write_text(YAML)
    args = ["--config", str(config)]
    path = "/api/v2/cameras/gate/analytics"
    with Serving(program, tmp_path, {"other": "sim://still?fps=5"}, args=args) as server:
        server.until_live("gate")
        server.until(lambda: sum(crossings(server.get("/api/v2/counts"))) > 0, 30)
        before = server.get(path)
        assert not before["edited"] and [line["name"] for line in before["lines"]] == ["mid"]
        version = server.get("/api/v2/counts")["version"]
        # What was read can be sent back, with a line more.
        more = before["lines"] + [{"name": "quarter", "points": [[0.25, 0], [0.25, 1]]}]
        after = server.json("PUT", path, {"lines": more, "zones": before["zones"]})
        assert after["edited"] and after["lines"][1]["in"] == "in" and after["zones"] == before["zones"]
        counts = server.get("/api/v2/counts")
        assert counts["version"] > version and sum(crossings(counts)) > 0
        server.until(lambda: sum(crossings(server.get("/api/v2/counts"), "quarter")) > 0, 30)
        assert server.get("/api/v2/analytics")["cameras"] == [after]
        for body, status, said in [
                ('{"lines": [', 400, "invalid JSON"),
                ("[]", 400, "invalid body"),
                ({"lines": [{"name": "a", "points": [[0, 0], [2, 0]]}]}, 422, "lines[0].points[1]: 2 is outside the frame"),
                ({"zones": [{"name": "z", "polygon": [[0, 0], [1, 1], [1, 0], [0, 1]]}]}, 422, "zone z: the polygon crosses itself"),
                ({"lines": [{"name": "a", "points": [[0, 0], [1, 0]], "unit": "m"}]}, 422, "metres without a map"),
                ({"lines": [{"name": "a", "points": [[0, 0], [9000, 0]], "unit": "px"}]}, 422, "outside the frame"),
                ({"lines": [{"name": "a", "points": "x"}]}, 422, "lines[0].points: "),
                ({"linez": []}, 422, "linez: unknown key; did you mean lines?")]:
            detail = server.json("PUT", path, body, status)["detail"]
            assert said in detail and not re.match(r"body|\d", detail), detail
        assert server.get(path) == after
        assert "not found" in server.json("PUT", path.replace("gate", "nowhere"), {}, 404)["detail"]
        assert server.request("POST", path)[1]["Allow"] == "GET, HEAD, PUT, DELETE"
        assert server.json("PUT", "/api/v2/map/analytics", {"lines": [{"name": "m", "points": [[0, 0], [1, 4]]}]})["edited"]
        assert "mid" in server.json("PUT", "/api/v2/map/analytics",
                                    {"lines": [{"name": "mid", "points": [[0, 0], [1, 4]]}]}, 422)["detail"]
        # A reload applies changed lines of spoton.yaml only where nothing was edited, and touches no camera.
        received = server.get("/api/v2/cameras/gate")["reconnects"]
        config.write_text(YAML.replace("mid", "middle"))
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: "cameras reloaded: 0 added, 0 removed, 0 changed" in server.log())
        assert server.get(path) == after and server.get("/api/v2/cameras/gate")["reconnects"] == received
        config.write_text(YAML.replace("[0.5, 1]]", "[0.5, 7]]"))
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: "settings not reloaded" in server.log())
        assert "spoton.yaml:5:" in server.log() and "7 is outside the frame" in server.log()
        config.write_text(YAML)
    # The next start has the edits.
    with Serving(program, tmp_path, {}, args=args) as server:
        assert server.get(path) == after
        assert [line["name"] for line in server.get("/api/v2/map/analytics")["lines"]] == ["m"]
        assert server.json("DELETE", path) == before
        assert "no edited" in server.json("DELETE", path, status=404)["detail"]
    written = json.loads((tmp_path / "serve" / "analytics.json").read_text())
    assert written["cameras"] == [] and written["map"]["lines"][0]["name"] == "m"
    # A file that was spoilt by hand ends the start with its place.
    (tmp_path / "serve" / "analytics.json").write_text('{"cameras": [{"name": "gate", "zones": [{}]}]}')
    with pytest.raises(AssertionError, match=r"ANALYTICS_FILE: analytics.json:1:\d+: cameras\[0\].zones\[0\]: `name` is missing"):
        Serving(program, tmp_path, {}, args=args)


def test_a_token_is_required_to_change_lines(program, tmp_path):
    with Serving(program, tmp_path, {"gate": "sim://still?fps=5"}, {"API_TOKEN": "secret"}) as server:
        for path in ("/api/v2/cameras/gate/analytics", "/api/v2/map/analytics"):
            assert server.request("PUT", path, {})[0] == 401
            assert server.request("DELETE", path)[0] == 401
            assert server.request("PUT", path, {}, {"Authorization": "Bearer secret"})[0] == 200
            foreign = {"Authorization": "Bearer secret", "Origin": "http://foreign.example"}
            assert server.request("PUT", path, {}, foreign)[0] == 403


def test_people_are_events(program, tmp_path):
    """Calibrated cameras create people; each decision is one event, on the camera of its track."""
    calibration = tmp_path / "map.json"
    calibration.write_text(json.dumps(world_calibration.calibration({"c01": 0, "c02": 1}, 640, 360)))
    cameras = {name: f"sim://world?camera={i}&seed=4&people=3&fps=8&width=640&height=360" for i, name in enumerate(("c01", "c02"))}
    with Serving(program, tmp_path, cameras, {"HOMOGRAPHY_FILE_PATH": str(calibration)}) as server:
        server.until_live("c01", "c02")
        found = server.until(lambda: events_of(server, "person.created"), 40)
        assert found[0]["camera"] in cameras and re.fullmatch(r"P\d+", found[0]["payload"]["person"])
        decisions = server.get("/api/v2/people/events")["events"]
        assert {d["person"] for d in decisions if d["what"] == "created"} >= {e["payload"]["person"] for e in found[:3]}
