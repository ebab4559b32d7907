"""Output plugins of `spoton serve`, and /api/v2/events: results and events reach a plugin, and one that blocks or
fails delays neither the cameras nor another output."""

import http.client
import json
import subprocess
import threading

import pytest

from conftest import ROOT, SLOWER
from serving import Serving

SOURCES = {"jsonl": ROOT / "examples" / "output" / "jsonl.c", "test": ROOT / "tests" / "tools" / "output_test.c"}


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """build("test", "slow") compiles a plugin as spoton-output-slow.so and returns its path."""
    folder = tmp_path_factory.mktemp("outputs")

    def make(source, name):
        path = folder / f"spoton-output-{name}.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", f"-I{ROOT / 'include'}", f'-DNAME="{name}"',
                        "-o", path, SOURCES[source]], check=True)
        return path
    return make


def lines(path):
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]  # the last one may be incomplete


@pytest.mark.threads
@pytest.mark.sanitize
def test_a_plugin_receives_results_and_events(program, tmp_path, build):
    path, file = build("jsonl", "jsonl"), tmp_path / "results.jsonl"
    cameras = {"a": "sim://walk?fps=20", "b": "sim://walk?fps=20&seed=1"}
    env = {"ENGINE": "fake", "OUTPUTS": f"jsonl?path={file}", "SPOTON_OUTPUT_DIR": str(path.parent)}
    with Serving(program, tmp_path, cameras, env) as server:
        server.until_live("a", "b")
        server.until(lambda: {line["camera"] for line in lines(file) if line.get("tracks")} == {"a", "b"})
        server.json("DELETE", "/api/v2/cameras/b", status=204)
        server.until(lambda: any(line.get("event") == "camera.removed" for line in lines(file)))
        events = server.get("/api/v2/events")
        report, = server.get("/api/v2/outputs")["outputs"]
        assert report["name"] == "jsonl" and report["frames"] > 0 and report["events"] > 0 and report["dropped"] == 0
    found = lines(file)
    frames = [line for line in found if "sequence" in line]
    for camera in ("a", "b"):
        sequences = [line["sequence"] for line in frames if line["camera"] == camera]
        assert sequences and sequences == sorted(set(sequences))
    assert {len(track["box"]) for line in frames for track in line["tracks"]} == {4}
    # The plugin and the API have the same events, and ids count from 1 within a camera's epoch.
    written = [line for line in found if "event" in line]
    assert [line["id"] for line in written][:len(events["events"])] == [event["id"] for event in events["events"]]
    of_b = [event for event in events["events"] if event["camera"] == "b"]
    assert [event["kind"] for event in of_b if event["payload"].get("state") == "live" or event["kind"] != "camera.state"][-1] \
        == "camera.removed"
    assert of_b[0]["kind"] == "camera.added"
    assert any(event["payload"].get("state") == "live" for event in of_b)


def stream_of_events(server, path, count, last=None):
    """`count` events of a stream of server-sent events, as (id, event)."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60 * SLOWER)
    connection.request("GET", path, headers={"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})})
    reply = connection.getresponse()
    assert reply.status == 200 and reply.headers["Content-Type"] == "text/event-stream"
    found = []
    while len(found) < count:
        fields = dict(line.split(": ", 1) for line in iter(lambda: reply.readline().decode().rstrip("\n"), "") if line[0] != ":")
        if fields:  # else a comment
            found.append((fields["id"], json.loads(fields["data"])))
    connection.close()
    return found


def change_events(server):
    """The camera is resumed and paused again, which makes an event each, and perhaps others between them."""
    for what, state in (("resume", "live"), ("pause", "paused")):
        newest = server.get("/api/v2/events")["newest"]
        server.json("POST", f"/api/v2/cameras/a/{what}")
        server.until(lambda: any(event["payload"].get("state") == state
                                 for event in server.get(f"/api/v2/events?since={newest}")["events"]))


def continue_by_stream(server):
    """The paused camera has no events but those of this test."""
    newest = server.get("/api/v2/events")["newest"]
    events = stream_of_events(server, "/api/v2/events", newest)
    assert [event["serial"] for _, event in events] == list(range(1, newest + 1))
    assert [event for _, event in events] == server.get("/api/v2/events")["events"]
    change_events(server)
    # Last-Event-ID overrides the query of the first request; the id of another start is before all events.
    more = stream_of_events(server, "/api/v2/events?since=0", 2, last=events[-1][0])
    assert [event["serial"] for _, event in more] == [newest + 1, newest + 2]
    assert stream_of_events(server, "/api/v2/events?since=now", 1, last="7-99")[0][1]["serial"] == 1


def continue_by_waiting(server):
    # Each reply has an event, as it waits for one; the replies together miss none.
    first = server.get("/api/v2/events")
    cursor, replies = first["cursor"], []

    def poll():
        while not replies or replies[-1]["events"][-1]["payload"].get("state") != "paused":
            replies.append(server.get(f"/api/v2/events?since={replies[-1]['cursor'] if replies else cursor}&wait=60"))
    thread = threading.Thread(target=poll)
    thread.start()
    change_events(server)
    thread.join()
    serials = [event["serial"] for reply in replies for event in reply["events"]]
    assert serials == list(range(first["newest"] + 1, serials[-1] + 1))
    # The time is over without an event.
    empty = server.get("/api/v2/events?since=now&wait=1")
    assert empty["events"] == [] and empty["cursor"] == replies[-1]["cursor"]
    assert server.get("/api/v2/events?since=5-99")["events"][0]["serial"] == 1
    assert server.get(f"/api/v2/events?since={empty['cursor']}")["events"] == []


def test_events_continue_after_a_serial(program, tmp_path):
    with Serving(program, tmp_path, {"a": "sim://walk?fps=10"}, {"ENGINE": "fake"}) as server:
        server.until_live("a")
        server.until(lambda: [e for e in server.get("/api/v2/events")["events"] if e["payload"].get("state") == "live"])
        server.json("POST", "/api/v2/cameras/a/pause")
        events = server.until(lambda: [e for e in server.get("/api/v2/events")["events"]
                                       if e["payload"].get("state") == "paused"] and server.get("/api/v2/events"))
        serials = [event["serial"] for event in events["events"]]
        assert serials == list(range(1, events["newest"] + 1)) and events["oldest"] == 1
        assert len({event["id"] for event in events["events"]}) == len(serials)
        last = server.get(f"/api/v2/events?since={serials[-1] - 1}")["events"]
        assert [event["serial"] for event in last] == serials[-1:] and last[0]["payload"]["previous"] == "live"
        assert server.get(f"/api/v2/events?since={serials[-1]}")["events"] == []
        assert [e["serial"] for e in server.get("/api/v2/events?limit=1")["events"]] == [1]
        continue_by_stream(server)
        continue_by_waiting(server)
        for query in ("since=x", "since=-1", "limit=1025", "since=", "wait=61", "since=1-"):
            assert "not a whole number" in server.get(f"/api/v2/events?{query}", 400)["detail"]


def test_a_blocked_and_a_failing_output_delay_nothing(program, tmp_path, build):
    """20 frames/s of one camera: the queue of a blocked output (192 frames) fills in 10 s, so the camera is faster."""
    file = tmp_path / "results.jsonl"
    outputs = f"{build('test', 'blocked')}?block {build('test', 'failing')}?fail {build('jsonl', 'jsonl')}?path={file}"
    with Serving(program, tmp_path, {"a": "sim://walk?fps=100&width=64&height=64"},
                 {"ENGINE": "fake", "OUTPUTS": outputs}) as server:
        server.until_live("a")

        def reports():
            return {report["name"]: report for report in server.get("/api/v2/outputs")["outputs"]}
        server.until(lambda: reports()["blocked"]["dropped"] > 20)
        now = reports()
        assert now["blocked"]["blocked"] and now["blocked"]["queued"] >= 190 and now["blocked"]["frames"] == 0
        assert now["failing"]["failed"] > 20 and "refused" in now["failing"]["error"] and now["failing"]["dropped"] == 0
        assert now["jsonl"]["frames"] > 200 and now["jsonl"]["dropped"] == 0
        metrics = server.request("GET", "/metrics")[2].decode()
        assert 'spoton_output_delivered_total{output="jsonl"}' in metrics
        assert 'spoton_output_dropped_total{output="blocked"}' in metrics
        server.stop()
    log = server.log()
    assert "output blocked: does not return; ending without it" in log
    assert log.count("output failing: frame") == 1  # once a minute


@pytest.mark.parametrize("outputs, named", [
    ("nowhere", "output nowhere: no spoton-output-nowhere.so"),
    ("/no/such/file.so?x", "output /no/such/file.so: no such file"),
    ("?path=x", "no name before '?'"),
    ("PLUGIN?refuse", "output test: no such broker"),
    ("ENGINE", "not a spoton output"),
])
def test_an_output_that_cannot_be_opened_ends_the_start(spoton, build, outputs, named):
    outputs = outputs.replace("PLUGIN", str(build("test", "test"))).replace(
        "ENGINE", str(ROOT / "build" / "engines" / "spoton-engine-fake.so"))
    done = spoton("serve", "--http-port", "0", env={"OUTPUTS": outputs}, engine="fake", expect=1)
    assert named in done.error_lines[0], str(done)
