"""What `spoton serve` stores survives kill -9 and can be counted, exported and erased; with SQLite in a
folder, and with a real PostgreSQL."""

import csv
import glob
import json
import os
import pwd
import random
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from conftest import free_port
from serving import Serving

CAMERAS = {"gate": "sim://walk?fps=10", "yard": "sim://walk?fps=5"}
# People who keep their tracks however many frames a busy machine drops.
STILL = {"gate": "sim://still?fps=10", "yard": "sim://still?fps=5"}
PASSWORD = "geheim-" + secrets.token_hex(4)

# People of sim://walk pass the middle of the frame; all of it is a zone.
LINES = """
cameras:
  - name: gate
    url: "sim://walk?fps=10"
    lines: [{name: middle, points: [[0.5, 0], [0.5, 1]]}]
    zones: [{name: all, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}]
  - name: yard
    url: "sim://walk?fps=5"
    snapshots: 0
    lines: [{name: half, points: [[0.4, 0], [0.4, 1]]}]
"""


@pytest.fixture(scope="module")
def postgresql():
    """The URL of a database server of its own."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not found:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="spoton-postgresql-", dir="/tmp"))
    user = []
    if os.geteuid() == 0:
        try:
            shutil.chown(folder, *[pwd.getpwnam("postgres").pw_name] * 2)
        except KeyError:
            pytest.skip("no user postgres, and PostgreSQL does not run as root")
        user = ["runuser", "-u", "postgres", "--"]
    port = free_port()
    run = lambda *words: subprocess.run([*user, *map(str, words)], check=True, cwd="/", stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    binaries, data = Path(found[-1]), folder / "data"
    run(binaries / "initdb", "-D", data, "-U", "spoton", "--pwfile", secret, "-A", "scram-sha-256", "--no-sync")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    run(binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
    yield f"postgresql://spoton:{PASSWORD}@127.0.0.1:{port}/postgres"
    run(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(folder)


def stored(spoton, store, folder, status=0):
    """{camera: rows of the export}"""
    shutil.rmtree(folder, ignore_errors=True)
    spoton("store", "export", store, "--out", folder, expect=status)
    rows = {}
    for path in sorted(Path(folder).glob("*.csv")):
        with open(path, newline="") as file:
            rows[path.stem] = list(csv.DictReader(file))
    return rows


def history(server, path, **query):
    text = "&".join(f"{key}={value}" for key, value in query.items())
    return server.json("GET", f"/api/v2/history{path}" + (f"?{text}" if text else ""))


def wait_for_frames(server, count):
    server.until(lambda: history(server, "")["frames"] >= count)


def test_kill_9_loses_nothing_that_is_older(program, spoton, tmp_path):
    """The server is killed at any time; then everything is readable, in order, with all that was reported as stored."""
    store = tmp_path / "store"
    runs = int(os.environ.get("SPOTON_KILLS", "4"))
    number, chance = 0, random.Random(1)
    for turn in range(runs):
        server = Serving(program, tmp_path, STILL, {"STORE": str(store)})
        wait_for_frames(server, 1)
        time.sleep(chance.uniform(0, 1.2))
        before = history(server, "")["frames"]
        server.stop(signal.SIGKILL, -signal.SIGKILL)
        rows = stored(spoton, store, tmp_path / "csv")
        now = {(row["camera"], row["run_us"], row["sequence"]) for of in rows.values() for row in of}
        assert len(now) >= number + before, f"kill {turn + 1}"
        number = len(now)
        for camera, of in rows.items():  # a busy machine drops frames before they are counted, so there may be gaps
            times = [(int(row["run_us"]), int(row["time_us"])) for row in of]
            assert times == sorted(times), camera
    assert len({row["run_us"] for of in rows.values() for row in of}) == runs
    # The next writer removes a torn end, so nothing is damaged afterwards.
    with Serving(program, tmp_path, STILL, {"STORE": str(store)}) as server:
        wait_for_frames(server, 1)
    spoton("store", "verify", store, expect=0)


def serve_for_a_while(program, tmp_path, store, seconds):
    config = tmp_path / "spoton.yaml"
    config.write_text(LINES)
    with Serving(program, tmp_path, {}, {"STORE": str(store), "STORE_SNAPSHOTS": "60"},
                 ["--config", str(config)]) as server:
        time.sleep(seconds)
        wait_for_frames(server, 10 * seconds)
        yield server


def check_history(server):
    """All questions to the API, about a server that counts gate's line `middle` and zone `all`."""
    server.until(lambda: [event for event in history(server, "/events", kind="line.crossed")["events"]
                          if event["payload"]["line"] == "middle"], seconds=90)
    state = history(server, "")
    assert state["state"] == "recording" and state["error"] is None
    assert [camera["name"] for camera in state["cameras"]] == ["gate", "yard"]

    events = history(server, "/events", limit=1000)["events"]
    assert len({event["id"] for event in events}) == len(events)
    assert [event["time"] for event in events] == sorted([event["time"] for event in events], reverse=True)
    pages, before = [], None
    while True:
        page = history(server, "/events", limit=3, to=events[0]["time"], **({"before": before} if before else {}))
        pages += page["events"]
        before = page["next"]
        if not before:
            break
    assert [event["id"] for event in pages] == [event["id"] for event in events
                                                if event["time"] < events[0]["time"]]
    crossed = history(server, "/events", kind="line.crossed", line="middle", limit=1000)["events"]
    assert crossed and all(event["payload"]["line"] == "middle" for event in crossed)

    to = crossed[0]["time"]
    counts = history(server, "/counts", bucket="minute", line="middle", to=to[:17] + "00.000Z")
    assert counts["bucket_s"] == 60
    assert sum(line["total"] for line in counts["lines"]) == \
        len([event for event in crossed if event["time"][:16] < to[:16]])
    assert all(line["total"] == sum(bucket["count"] for bucket in line["buckets"]) for line in counts["lines"])

    found = history(server, "/heatmap", camera="gate", columns=16)
    assert (found["columns"], len(found["seconds"]), len(found["seconds"][0])) == (16, found["rows"], 16)
    assert 0 < found["max_s"] == max(map(max, found["seconds"]))
    status, headers, png = server.request("GET", "/api/v2/history/heatmap.png?camera=gate&columns=16")
    assert (status, headers["Content-Type"], png[:8]) == (200, "image/png", b"\x89PNG\r\n\x1a\n")

    # The line as configured, drawn again: the same events. Another one: other counts.
    end = crossed[0]["time"][:20] + f"{int(crossed[0]['time'][20:23]) + 1:03}Z".replace("1000Z", "999Z")
    body = {"from": crossed[-1]["time"], "to": end,
            "cameras": [{"name": "gate", "lines": [{"name": "middle", "points": [[0.5, 0], [0.5, 1]]},
                                                   {"name": "edge", "points": [[2, 0], [2, 1]], "unit": "px"}]}]}
    drawn = server.json("POST", "/api/v2/history/evaluate", body)
    assert drawn["complete"] and {line["line"] for line in drawn["lines"]} <= {"middle", "edge"}
    assert sum(line["total"] for line in drawn["lines"] if line["line"] == "middle") == \
        len([event for event in crossed if event["time"] < end])
    body["cameras"][0]["lines"][0]["points"][1] = [0.5, 0]
    assert "no length" in server.json("POST", "/api/v2/history/evaluate", body, status=400)["detail"]
    assert server.request("GET", "/api/v2/history/heatmap?camera=nowhere")[0] == 404
    assert server.request("GET", "/api/v2/history/people/P999/tracks")[0] == 404
    assert server.request("GET", "/api/v2/history/counts?from=yesterday")[0] == 400
    assert history(server, "/people")["people"] == []
    assert history(server, "/visits", zone="none")["count"] == 0


def check_snapshots(server):
    """Events of gate that name a track have an image with the box; those of yard, whose setting is 0, have none."""
    shown = lambda camera: [event["snapshot"] for event in history(server, "/events", camera=camera, limit=1000)["events"]
                            if event["snapshot"] is not None]
    server.until(lambda: shown("gate"), seconds=90)
    server.until(lambda: [event for event in history(server, "/events", kind="line.crossed", line="half")["events"]],
                 seconds=90)
    assert shown("yard") == []
    number = shown("gate")[-1]
    status, headers, jpeg = server.request("GET", f"/api/v2/history/snapshots/{number}")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9"
    for other in (number + 1, "none", "-1", "9" * 30):
        assert server.request("GET", f"/api/v2/history/snapshots/{other}")[0] == 404
    return jpeg


def check_tools(spoton, tmp_path, store):
    """`spoton store` and `spoton count` on what was stored."""
    out = spoton("store", "verify", store, expect=0).stdout
    assert int(re.search(r"frames (\d+)", out)[1]) > 0 and "damaged bytes 0" in out
    rows = stored(spoton, store, tmp_path / "csv")
    assert set(rows) == {"gate", "yard"}
    spoton("store", "export", store, "--format", "mot", "--camera", "gate", "--out", tmp_path / "mot", expect=0)
    mot = (tmp_path / "mot" / "gate.txt").read_text().splitlines()
    assert len(mot) == len(rows["gate"]) and not (tmp_path / "mot" / "yard.txt").exists()

    assert "use csv" in spoton("store", "export", store, "--format", "parquet", "--out", tmp_path, expect=2).stderr

    # Half of one camera's time is erased; the rest, and the other camera, are as before.
    times = [int(row["time_us"]) for row in rows["gate"]]
    middle = rows["gate"][len(times) // 2]
    spoton("store", "erase", store, "--camera", "gate", "--to", middle["time"], expect=0)
    after = stored(spoton, store, tmp_path / "after")
    cut = int(middle["time_us"]) // 1000 * 1000
    assert after["gate"] == [row for row in rows["gate"] if int(row["time_us"]) >= cut]
    assert after["yard"] == rows["yard"]
    assert spoton("store", "erase", store, expect=2).stderr.count("\n") == 1


@pytest.mark.parametrize("place", ["folder", "postgresql"])
def test_what_is_stored_is_found_again(program, spoton, tmp_path, place, request):
    store = tmp_path / "store" if place == "folder" else request.getfixturevalue("postgresql")
    for server in serve_for_a_while(program, tmp_path, store, 3):
        check_history(server)
        jpeg = check_snapshots(server)
        live = history(server, "/events", limit=1000)["events"]
        for path in ("/api/v2/settings", "/api/v2/history", "/metrics"):
            assert PASSWORD.encode() not in server.request("GET", path)[2]
        assert b'spoton_store_state{state="recording"} 1' in server.request("GET", "/metrics")[2]
    assert PASSWORD not in server.log()
    done = spoton("count", "--config", tmp_path / "spoton.yaml", store, "--out", tmp_path / "counted", expect=0)
    counted = [json.loads(line) for line in open(tmp_path / "counted" / "events.jsonl")]
    assert json.loads(done.stdout)["lines"]["middle"]
    # The very events that were counted live, as far as they had been decided.
    kinds = ("line.crossed", "zone.entered", "zone.left", "zone.occupancy")
    seen = [event for event in live if event["kind"] in kinds]
    found = {(event["event"], event["time_us"] // 1000, event.get("track"), event.get("line", event.get("zone")))
             for event in counted}
    for event in seen:
        payload = event["payload"]
        text = event["time"].rstrip("Z")
        at_ms = int(time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone) * 1000 + int(text[20:])
        assert (event["kind"], at_ms, payload.get("track"), payload.get("line", payload.get("zone"))) in found
    assert len(seen) > 3
    # All images of gate are erased, from the files too; a page holds some thousand bytes of one without a break.
    parts = [jpeg[at:at + 64] for at in range(700, len(jpeg) - 64, 300)]
    found = lambda: [part for part in parts for path in tmp_path.glob("store/history.sqlite*") if part in path.read_bytes()]
    assert (place == "folder") == bool(found())
    check_tools(spoton, tmp_path, store)
    spoton("store", "erase", store, "--camera", "gate", expect=0)
    assert not found()
    assert "images 0," in spoton("store", "verify", store, expect=0).stdout


def test_a_person_is_erased_to_the_last_byte(spoton, program, tmp_path):
    """Rows are added by hand, as sim://walk has no map: the person's track is that of the frames."""
    sqlite3 = pytest.importorskip("sqlite3")
    store = tmp_path / "store"
    with Serving(program, tmp_path, STILL, {"STORE": str(store)}) as server:
        wait_for_frames(server, 60)
    rows = stored(spoton, store, tmp_path / "csv")
    track = rows["gate"][0]["track"]
    with sqlite3.connect(store / "history.sqlite") as database:
        assert database.execute("UPDATE spoton_tracks SET person=7 WHERE camera='gate' AND track=?",
                                [track]).rowcount == 1
        database.execute("INSERT INTO spoton_events(day,time_us,id,kind,camera,person,payload)"
                         " VALUES(20000,1728000000000000,'x/1/1','person.created','',7,'{\"person\":\"P7\"}')")
    database.close()
    spoton("store", "erase", store, "--person", "P7", expect=0)
    after = stored(spoton, store, tmp_path / "after")
    assert after["gate"] == [row for row in rows["gate"] if row["track"] != track]
    assert after["yard"] == rows["yard"]
    for path in store.glob("history.sqlite*"):
        assert b"P7" not in path.read_bytes(), path.name


def test_a_full_disk_is_reported_and_recording_resumes(program, tmp_path):
    """A limit of the file size is to the writer what a full disk is."""
    with Serving(program, tmp_path, CAMERAS, {"STORE": str(tmp_path / "store")}) as server:
        wait_for_frames(server, 10)
        limit = lambda number: subprocess.run(["prlimit", "--pid", str(server.process.pid), f"--fsize={number}"],
                                              check=True)
        os.truncate(server.log_path, 0)  # the limit is on the log, too
        limit("300:unlimited")
        server.until(lambda: history(server, "")["state"] == "full")
        assert ".seg" in history(server, "")["error"]
        assert b'spoton_store_state{state="full"} 1' in server.request("GET", "/metrics")[2]
        assert server.request("GET", "/readyz")[0] == 200
        limit("unlimited:unlimited")
        server.until(lambda: history(server, "")["state"] == "recording")
        states = [event["payload"]["state"] for event in server.json("GET", "/api/v2/events")["events"]
                  if event["kind"] == "store.state"]
        assert states == ["full", "recording"]
    assert "not recording" in server.log() and "recording again" in server.log()


def test_without_a_store_there_is_no_history(program, tmp_path):
    with Serving(program, tmp_path, CAMERAS) as server:
        assert "STORE" in server.json("GET", "/api/v2/history/counts", status=404)["detail"]


def test_a_database_that_is_away_is_waited_for(program, tmp_path):
    url = f"postgresql://spoton:{PASSWORD}@127.0.0.1:1/postgres"
    with Serving(program, tmp_path, CAMERAS, {"STORE": url}) as server:
        server.until(lambda: b'spoton_store_state{state="failed"} 1' in server.request("GET", "/metrics")[2])
        assert server.request("GET", "/api/v2/history/counts")[0] == 503
        assert server.request("GET", "/healthz")[0] == 200
    assert PASSWORD not in server.log() and "PostgreSQL" in server.log()


def test_api_v1_continues_over_a_restart(program, tmp_path):
    feedback = {"global_person_id": "P1", "decision": "thumbs_up", "environment_id": "factory", "camera_id": "gate",
                "notes": "the same\n\"person\""}
    settings = {"STORE": str(tmp_path / "store")}
    summary = lambda server: server.json("GET", "/api/v1/analytics/dashboard")["data"]["summary"]
    with Serving(program, tmp_path, STILL, settings) as server:
        server.json("POST", "/api/v1/feedback/reidentification", feedback, status=201)
        server.until(lambda: in_database(tmp_path, "sum(boxes) FROM spoton_hours WHERE camera='yard'") > 20 and
                     in_database(tmp_path, "count(*) FROM spoton_feedback"), 30)
        server.until(lambda: summary(server)["total_detections"] > 20)
    with Serving(program, tmp_path, {"yard": "sim://empty?fps=5"}, settings) as server:
        server.until(lambda: [item["notes"] for item in server.json("GET", "/api/v1/feedback/reidentification")["items"]]
                     == [feedback["notes"]])
        server.until(lambda: summary(server)["total_detections"] > 20)
    assert not (tmp_path / "serve" / "feedback.jsonl").exists()


def in_database(tmp_path, what):
    sqlite3 = pytest.importorskip("sqlite3")
    database = sqlite3.connect(f"file:{tmp_path}/store/history.sqlite?mode=ro", uri=True)
    try:
        return database.execute(f"SELECT {what}").fetchone()[0] or 0
    finally:
        database.close()
