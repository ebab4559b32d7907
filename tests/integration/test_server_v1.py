"""API v1: the front end's calls, in its order, with real clients."""

import contextlib
import io
import json
import re
import subprocess
import time

import numpy
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus

import clips
from serving import LIMIT_S, Serving, connect, read_parts

pytestmark = [pytest.mark.sanitize, pytest.mark.threads]
TASKS = "/api/v1/detection-processing-tasks"
ORIGIN = {"Origin": "http://localhost:5173"}


@pytest.fixture
def server(program, tmp_path):
    # People who stand keep their tracks however many frames a busy machine drops.
    cameras = {name: f"sim://still?fps=10&seed={i}" for i, name in enumerate(["c01", "c02", "c09"])}
    with Serving(program, tmp_path, cameras) as serving:
        serving.until_live("c01", "c02", "c09")
        yield serving


# What the front end reads, all of it: types by key, None for what may be null, "Z" for a time.
NUMBER, TIME = (int, float), "Z"
STATUS = {"task_id": str, "status": str, "progress": NUMBER, "current_step": (str, None),
          "details": (str, None)}
TASK = {"task_id": str, "environment_id": str, "status": str}
PLAYBACK = {"task_id": str, "state": str, "last_transition_at": TIME, "last_frame_index": (int, None),
            "last_error": (str, None), "total_frames": (int, None)}
BOX = dict.fromkeys(["x1", "y1", "x2", "y2", "width", "height", "center_x", "center_y"], NUMBER)
UPDATE = {
    "type": str, "mode": str, "task_id": str, "camera_id": str, "global_frame_index": int,
    "timestamp_processed_utc": TIME,
    "camera_data": {"tracks": [{
        "track_id": int, "global_id": (str, None), "bbox_xyxy": [NUMBER], "confidence": NUMBER,
        "map_coords": ({"map_x": NUMBER, "map_y": NUMBER}, None), "is_focused": bool}]},
    "detection_data": {"detections": [{
        "detection_id": str, "confidence": NUMBER, "bbox": BOX, "track_id": int,
        "global_id": (str, None), "tracking_key": str}], "processing_time_ms": NUMBER},
    "future_pipeline_data": {"mapping_coordinates": [{
        "detection_id": str, "map_x": NUMBER, "map_y": NUMBER, "projection_successful": bool,
        "trail": [{"x": NUMBER, "y": NUMBER, "frame_offset": int, "timestamp": TIME}]}]}}


def fits(value, kind):
    if isinstance(kind, dict):
        return isinstance(value, dict) and kind.keys() <= value.keys() and \
            all(fits(value[key], kind[key]) for key in kind)
    if isinstance(kind, list):
        return isinstance(value, list) and all(fits(one, kind[0]) for one in value)
    if isinstance(kind, tuple):
        return any(value is None if one is None else fits(value, one) for one in kind)
    if kind == TIME:
        return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", value) is not None
    return type(value) is kind  # true is an int in Python, too


def start(server, environment="campus"):
    return server.json("POST", TASKS + "/start", {"environment_id": environment, "more": 1}, 202,
                       headers={"Content-Type": "application/json", **ORIGIN})


@contextlib.contextmanager
def watched(server, environment="campus"):
    """A task with a viewer that gets no messages: without one it would end after 15 s, also on a slow machine."""
    task = start(server, environment)["task_id"]
    with connect(server.ws_url(f"/ws/focus/{task}")):
        yield task


def test_the_front_ends_calls_in_order(server):
    status, headers, _ = server.request("OPTIONS", TASKS + "/start", headers={
        **ORIGIN, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type"})
    assert status == 204 and headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert "content-type" in headers["Access-Control-Allow-Headers"]
    health = server.get("/health")
    assert health == {"status": "healthy", "detector_model_loaded": True,
                      "prototype_tracker_loaded": True, "homography_matrices_precomputed": True}
    found = server.get(TASKS + "/environments")
    assert found["status"] == "success" and found["timestamp"].endswith("Z")
    environments = {e["environment_id"]: e["cameras"] for e in found["data"]["environments"]}
    assert environments["campus"] == ["c01", "c02"] and environments["factory"] == ["c09"]

    started = start(server)
    task = started["task_id"]
    assert started["websocket_url"] == f"/ws/tracking/{task}"
    assert started["status_url"].endswith(f"{task}/status")
    server.until(lambda: server.get(f"{TASKS}/{task}/status")["status"] == "PROCESSING")
    assert server.get(TASKS)["data"]["tasks"][0]["environment_id"] == "campus"

    with connect(server.ws_url(f"/ws/tracking/{task}?tab_id=7"),
                 origin=ORIGIN["Origin"]) as ws:
        ws.send(json.dumps({"type": "subscribe_tracking"}))
        messages = []

        def both_tracked():
            messages.append(json.loads(ws.recv(LIMIT_S)))
            return {m["camera_id"] for m in messages if m["camera_data"]["tracks"]} == {"c01", "c02"} and len(messages) >= 12
        server.until(both_tracked)
        assert server.get(f"{TASKS}/{task}/status")["status"] == "PROCESSING"
    assert {m["camera_id"] for m in messages} == {"c01", "c02"}
    for camera in ("c01", "c02"):
        numbers = [m["global_frame_index"] for m in messages if m["camera_id"] == camera]
        assert numbers == sorted(set(numbers))
    message = next(m for m in messages if m["camera_data"]["tracks"])
    assert (message["type"], message["mode"]) == ("tracking_update", "detection_streaming")
    assert message["future_pipeline_data"]["mapping_coordinates"] == []
    track, detection = message["camera_data"]["tracks"][0], \
        message["detection_data"]["detections"][0]
    x1, y1, x2, y2 = track["bbox_xyxy"]
    assert 0 <= x1 < x2 <= 1920 and y2 - y1 == pytest.approx(64 * 3, abs=2)  # of 360 lines
    assert track["track_id"] == detection["track_id"]
    box = detection["bbox"]
    assert box["width"] == pytest.approx(x2 - x1, abs=0.02)
    assert box["center_y"] == pytest.approx((y1 + y2) / 2, abs=0.02)
    assert detection["tracking_key"] == f"{message['camera_id']}:track:{track['track_id']}"

    viewer = server.raw(f"GET /api/v1/stream/{task}/c01?t=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
                        .encode())
    assert all(jpeg[:2] == b"\xff\xd8" for jpeg in read_parts(viewer, 3))
    viewer.close()
    stopped = server.json("DELETE", f"{TASKS}/environment/campus/cleanup", headers=ORIGIN)
    assert stopped["data"]["stopped_tasks"] == [task]
    assert server.get(f"{TASKS}/{task}/status")["status"] == "STOPPED"


DASHBOARD = {
    "generated_at": TIME,
    "summary": {"total_detections": int, "average_confidence_percent": NUMBER,
                "system_uptime_percent": NUMBER, "uptime_delta_percent": NUMBER,
                "total_cameras": int},
    "cameras": [{"camera_id": str, "detections": int, "unique_entities": int,
                 "average_confidence_percent": NUMBER, "uptime_percent": NUMBER}],
    "charts": {"detections_per_bucket": [{"timestamp": TIME, "detections": int}],
               "average_confidence_trend": [{"timestamp": TIME, "confidence_percent": NUMBER}],
               "uptime_trend": [{"date": str, "uptime_percent": NUMBER}]}}
FEEDBACK = "/api/v1/feedback/reidentification"
THUMB = {"global_person_id": "P3", "candidate_person_id": None, "match_id": "c01:track:5",
         "environment_id": "campus", "camera_id": "c01", "frame_number": 120,
         "decision": "thumbs_up", "event_timestamp": "2026-01-31T12:00:00.000Z",
         "session_id": "tab_1", "source": "group-view", "confidence": 0.8, "notes": None,
         "metadata": {"track_id": 5}}


def test_every_call_of_a_page_of_another_port(server):
    """Each request as a browser sends it from http://localhost:5173: the preflight if required, the call,
    and the headers that allow the page to read the reply."""
    with watched(server) as task:
        call_all(server, task)


def call_all(server, task):
    json_type = {"Content-Type": "application/json"}
    control = f"/api/v1/controls/{task}"
    calls = [
        ("GET", "/health", None, 200), ("GET", "/health/live", None, 200),
        ("GET", "/health/ready", None, 200), ("GET", "/health/deep", None, 200),
        ("GET", TASKS + "/environments", None, 200), ("GET", TASKS, None, 200),
        ("GET", f"{TASKS}/{task}", None, 200), ("GET", f"{TASKS}/{task}/status", None, 200),
        ("GET", control + "/status", None, 200), ("POST", control + "/pause", None, 200),
        ("POST", control + "/resume", None, 200),
        ("POST", control + "/seek", {"frame_index": 1}, 409),  # no camera is a file
        ("GET", "/api/v1/analytics/dashboard?environment_id=campus&window_hours=8760", None, 200),
        ("GET", "/api/v1/analytics/system/statistics", None, 200),
        ("POST", FEEDBACK, THUMB, 201), ("GET", FEEDBACK + "?limit=50&offset=0", None, 200),
        ("POST", TASKS + "/start", {"environment_id": "factory"}, 202),
        ("DELETE", f"{TASKS}/environment/factory/cleanup", None, 200),
        ("DELETE", f"{TASKS}/{task}/stop", None, 200),
    ]
    for method, path, body, expected in calls:
        if method == "DELETE" or body is not None:
            status, headers, _ = server.request("OPTIONS", path, headers={
                **ORIGIN, "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "content-type"})
            assert status == 204 and headers["Access-Control-Allow-Origin"] == "*", path
            assert method in headers["Access-Control-Allow-Methods"], path
            assert "content-type" in headers["Access-Control-Allow-Headers"], path
        status, headers, data = server.request(method, path, body,
                                               {**ORIGIN, **(json_type if body else {})})
        assert status == expected, (method, path, status, data)
        assert headers["Access-Control-Allow-Origin"] == "*", path
        assert headers["Content-Type"] == "application/json" and json.loads(data)


def test_a_second_page_joins_and_sees_every_field(server):
    """A reloaded page: it lists the tasks and uses the streams of the first active one, without a start."""
    task = start(server)["task_id"]
    assert fits(server.get(f"{TASKS}/{task}/status"), STATUS)
    listed = server.get(TASKS)
    assert listed["status"] == "success" and fits(listed["data"], {"tasks": [TASK]})
    joined = [t["task_id"] for t in listed["data"]["tasks"]
              if (t["environment_id"], t["status"]) == ("campus", "PROCESSING")]
    assert joined == [task]
    with connect(server.ws_url(f"/ws/tracking/{task}?tab_id=2")) as second:
        with connect(server.ws_url(f"/ws/tracking/{task}?tab_id=1")) as first:
            for ws in (first, second):
                ws.send(json.dumps({"type": "subscribe_tracking"}))
                message = server.until(lambda ws=ws: len((found := json.loads(ws.recv(LIMIT_S)))["camera_data"]["tracks"]) == 3
                                       and found)
                assert fits(message, UPDATE), message
                assert message["task_id"] == task
                assert all(len(t["bbox_xyxy"]) == 4 for t in message["camera_data"]["tracks"])
                assert [d["detection_id"] for d in message["detection_data"]["detections"]] == \
                    [f"track_{t['track_id']:03}" for t in message["camera_data"]["tracks"]]
        # The first page's end is not the second's.
        assert all(fits(json.loads(second.recv(LIMIT_S)), UPDATE) for _ in range(5))
    control = f"/api/v1/controls/{task}"
    for method, path in (("GET", "/status"), ("POST", "/pause"), ("POST", "/resume")):
        found = server.json(method, control + path)
        assert fits(found, PLAYBACK) and found["task_id"] == task
    ended = server.json("DELETE", f"{TASKS}/environment/campus/cleanup")
    assert fits(ended["data"], {"environment_id": str, "message": str, "stopped_tasks": [str]})
    assert fits(server.get(control + "/status"), PLAYBACK)
    # What this server does not have says so in the form that pages understand.
    status, headers, data = server.request("GET", "/api/v1/export/analytics-report", None, ORIGIN)
    assert status == 404 and json.loads(data)["detail"]
    assert headers["Access-Control-Allow-Origin"] == "*"


def test_playback(server):
    with watched(server) as task:
        control = f"/api/v1/controls/{task}"
        assert server.get(control + "/status")["state"] == "playing"
        assert server.json("POST", control + "/pause")["state"] == "paused"
        server.until(lambda: server.get("/api/v2/cameras/c01")["state"] == "paused")
        assert server.get("/api/v2/cameras/c09")["state"] == "live"
        assert server.json("POST", control + "/resume")["state"] == "playing"
        server.until(lambda: server.get("/api/v2/cameras/c01")["state"] == "live")
    other = "/api/v1/controls/00000000-0000-4000-8000-000000000000"
    assert server.get(other + "/status")["state"] == "stopped"
    server.json("POST", other + "/pause", status=404)


def test_environments_live_side_by_side(server):
    with watched(server) as first, watched(server, "factory") as second:
        for task in (first, second):
            assert server.get(f"{TASKS}/{task}/status")["status"] == "PROCESSING"
        with watched(server) as again:  # of the same environment there is one
            assert server.get(f"{TASKS}/{first}/status")["status"] == "STOPPED"
            two_tasks(server, again, second)


def two_tasks(server, again, second):
    found = server.get(f"{TASKS}/{second}")["data"]
    assert fits(found, {**TASK, "created_at": TIME}) and found["status"] == "PROCESSING"
    # A pause is the task's own cameras'.
    server.json("POST", f"/api/v1/controls/{again}/pause")
    server.until(lambda: server.get("/api/v2/cameras/c01")["state"] == "paused")
    assert server.get(f"/api/v1/controls/{second}/status")["state"] == "playing"
    assert server.get("/api/v2/cameras/c09")["state"] == "live"
    stopped = server.json("DELETE", f"{TASKS}/{again}/stop")["data"]
    assert stopped["task_id"] == again
    server.json("DELETE", f"{TASKS}/{again}/stop", status=404)
    server.until(lambda: server.get("/api/v2/cameras/c01")["state"] == "live")
    failed = start(server, "nowhere")["task_id"]
    assert server.get(f"{TASKS}/{failed}/status")["status"] == "FAILED"
    assert server.get(f"{TASKS}/{second}/status")["status"] == "PROCESSING"


def stream_of(server, task, camera):
    viewer = server.raw(f"GET /api/v1/stream/{task}/{camera} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                        .encode())
    return viewer


def read_to_the_end(viewer):
    data, limit = b"", time.monotonic() + LIMIT_S
    while more := viewer.recv(1 << 16):
        data += more
        assert time.monotonic() < limit, "it does not end"
    viewer.close()
    return data


def until_closed(ws):
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            ws.recv(LIMIT_S)
    return closed.value.rcvd


@pytest.mark.parametrize("how", ["cleanup", "restart"])
def test_a_task_that_ends_closes_its_streams_and_sockets(server, how):
    task, other = start(server)["task_id"], start(server, "factory")["task_id"]
    viewers = [stream_of(server, task, "c01"), stream_of(server, task, "c05")]  # c05 is silent
    others = stream_of(server, other, "c09")
    read_parts(others, 1)
    read_parts(viewers[0], 1)
    with connect(server.ws_url(f"/ws/tracking/{task}?tab_id=1")) as tracking, \
            connect(server.ws_url(f"/ws/focus/{task}?tab_id=1")) as focus, \
            connect(server.ws_url(f"/ws/tracking/{other}")) as neighbour:
        tracking.recv(LIMIT_S)
        if how == "cleanup":
            server.json("DELETE", f"{TASKS}/environment/campus/cleanup")
        else:
            start(server)
        for ws in (tracking, focus):
            closed = until_closed(ws)
            assert (closed.code, closed.reason) == (1000, "Task ended")
        read_to_the_end(viewers[0])
        assert b"\xff\xd8" not in read_to_the_end(viewers[1])
        assert neighbour.recv(LIMIT_S)
    others.recv(1)
    others.close()
    status, _, data = server.request("GET", f"/api/v1/stream/{task}/c01")
    assert status == 404 and "ended" in json.loads(data)["detail"]
    with pytest.raises(InvalidStatus) as refusal:
        connect(server.ws_url(f"/ws/tracking/{task}"))
    assert refusal.value.response.status_code == 404


def browser_of(ws):
    return ws.response.headers["Set-Cookie"].partition(";")[0]


def test_a_second_page_of_one_browser_takes_over(server):
    task, other = start(server)["task_id"], start(server, "factory")["task_id"]
    url = server.ws_url(f"/ws/tracking/{task}?tab_id=")
    with connect(url + "one") as first, connect(url + "two") as stranger, \
            connect(server.ws_url(f"/ws/focus/{task}?tab_id=one")) as focus:
        cookie = {"Cookie": browser_of(first)}
        assert "Set-Cookie" not in focus.response.headers  # else it would replace the page's own
        assert browser_of(stranger) != browser_of(first)
        with connect(url + "one", additional_headers=cookie) as same_page:
            assert "Set-Cookie" not in same_page.response.headers
            assert first.recv(LIMIT_S) and same_page.recv(LIMIT_S)
            with connect(server.ws_url(f"/ws/tracking/{other}?tab_id=two"),
                         additional_headers=cookie) as second:
                for ws in (first, same_page):
                    closed = until_closed(ws)
                    assert (closed.code, closed.reason) == (1000, "New tab connected")
                assert second.recv(LIMIT_S) and stranger.recv(LIMIT_S)
        # Another cookie than the server's own is no browser that it knows.
        with connect(url + "x", additional_headers={"Cookie": "spoton_browser=abc"}) as foreign:
            assert len(browser_of(foreign)) == len("spoton_browser=") + 32


def test_a_page_may_open_its_streams_before_its_socket(server):
    """A page has one stream of a camera: the second one is of the page whose WebSocket follows."""
    task = start(server)["task_id"]
    url = server.ws_url(f"/ws/tracking/{task}?tab_id=")
    with connect(url + "one") as first:
        earlier = stream_of(server, task, "c01")
        read_parts(earlier, 1)
        early = stream_of(server, task, "c01")
        read_parts(early, 1)
        with connect(url + "two", additional_headers={"Cookie": browser_of(first)}) as second:
            assert until_closed(first).code == 1000
            read_to_the_end(earlier)
            for _ in range(3):
                assert second.recv(LIMIT_S) and early.recv(1 << 16)
    early.close()


def test_streams_that_came_before_every_page_end_with_theirs(server):
    """A browser that is slow to connect its first socket would otherwise keep these connections for ever."""
    task = start(server)["task_id"]
    url = server.ws_url(f"/ws/tracking/{task}?tab_id=")
    early = stream_of(server, task, "c01")
    read_parts(early, 1)
    with connect(url + "one") as first:
        assert first.recv(LIMIT_S)
        with connect(url + "two", additional_headers={"Cookie": browser_of(first)}):
            assert until_closed(first).code == 1000
            read_to_the_end(early)


def loc_and_type(answer):
    return [(entry["loc"], entry["type"]) for entry in answer["detail"]
            if entry.keys() == {"loc", "msg", "type"}]


def test_what_is_wrong_is_refused(server):
    name = ["body", "environment_id"]
    for body, found in (({}, [(name, "missing")]), ({"environment_id": 3}, [(name, "string_type")]),
                        ([], [(["body"], "model_attributes_type")]),
                        ("{", [(["body"], "json_invalid")]), ("", [(["body"], "missing")]),
                        ({"environment_id": "", "enable_tracking": 1},
                         [(name, "string_too_short"), (["body", "enable_tracking"], "bool_type")])):
        assert loc_and_type(server.json("POST", TASKS + "/start", body, 422)) == found
    for method, path in (("GET", "/status"), ("GET", ""), ("DELETE", "/stop")):
        answer = server.json(method, TASKS + "/no-id" + path, status=422)
        assert loc_and_type(answer) == [(["path", "task_id"], "uuid_parsing")]
        server.json(method, TASKS + "/00000000-0000-4000-8000-000000000000" + path, status=404)
    answer = server.get("/api/v1/controls/no-id/status", 422)
    assert loc_and_type(answer) == [(["path", "task_id"], "uuid_parsing")]
    for query, found in (("window_hours=x", "int_parsing"), ("window_hours=0", "greater_than_equal"),
                         ("window_hours=87601", "less_than_equal")):
        answer = server.get("/api/v1/analytics/dashboard?" + query, 422)
        assert loc_and_type(answer) == [(["query", "window_hours"], found)]
    server.get("/api/v1/analytics/dashboard?environment_id=nowhere", 404)
    for path in ("no-id", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(InvalidStatus) as refusal:
            connect(server.ws_url("/ws/tracking/" + path))
        assert refusal.value.response.status_code == 404


def test_feedback_is_kept(program, tmp_path):
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / ".env").write_text("LOG_LEVEL=info\n")
    args = ["--env", str(tmp_path / "beside" / ".env")]
    with Serving(program, tmp_path, {}, args=args) as server:
        assert server.get(FEEDBACK) == {"items": [], "total": 0}
        made = server.json("POST", FEEDBACK, THUMB, 201)
        assert fits(made, {"feedback_id": str, "recorded_at": TIME, "metadata": dict})
        assert made["metadata"] == THUMB["metadata"] and made["decision"] == "thumbs_up"
        least = {"global_person_id": "P4", "environment_id": "campus", "camera_id": "c02",
                 "decision": "thumbs_down"}
        second = server.json("POST", FEEDBACK, least, 201)
        assert second["metadata"] == {} and second["match_id"] is None
        both = server.get(FEEDBACK)
        assert both["total"] == 2
        assert [i["feedback_id"] for i in both["items"]] == [second["feedback_id"],
                                                             made["feedback_id"]]
        assert THUMB.items() <= both["items"][1].items()
        assert both["items"][0]["event_timestamp"] == both["items"][0]["recorded_at"]
        for query, total in (("global_person_id=P4", 1), ("camera_id=c01", 1), ("session_id=tab_1", 1),
                             ("environment_id=campus", 2), ("decision=thumbs_down", 1),
                             ("start_time=2020-01-01T00:00:00Z&end_time=2021-01-01", 0),
                             ("start_time=2020-01-01T00:00:00%2B02:00", 2), ("global_person_id=P5", 0)):
            assert server.get(f"{FEEDBACK}?{query}")["total"] == total, query
        page = server.get(FEEDBACK + "?limit=1&offset=1")
        assert page["total"] == 2 and [i["camera_id"] for i in page["items"]] == ["c01"]
        refused = server.json("POST", FEEDBACK, {
            **THUMB, "decision": "maybe", "camera_id": None, "confidence": 2, "frame_number": -1,
            "event_timestamp": "noon", "metadata": [], "notes": "x" * 4001}, 422)
        assert sorted(loc_and_type(refused)) == sorted([
            (["body", "decision"], "enum"), (["body", "camera_id"], "string_type"),
            (["body", "confidence"], "less_than_equal"),
            (["body", "frame_number"], "greater_than_equal"),
            (["body", "event_timestamp"], "datetime_parsing"), (["body", "metadata"], "dict_type"),
            (["body", "notes"], "string_too_long")])
        assert loc_and_type(server.json("POST", FEEDBACK, {}, 422)) == [
            (["body", key], "missing") for key in
            ("global_person_id", "decision", "environment_id", "camera_id")]
        for query, found in (("limit=0", "greater_than_equal"), ("limit=501", "less_than_equal"),
                             ("offset=x", "int_parsing"), ("decision=x", "enum"),
                             ("start_time=x", "datetime_parsing")):
            answer = server.get(f"{FEEDBACK}?{query}", 422)
            assert loc_and_type(answer) == [(["query", query.partition("=")[0]], found)]
        file = tmp_path / "beside" / "feedback.jsonl"
        server.until(lambda: file.exists() and len(file.read_text().splitlines()) == 2)
    assert [p.name for p in file.parent.iterdir() if "feedback" in p.name] == ["feedback.jsonl"]
    with Serving(program, tmp_path, {}, args=args) as server:
        assert server.get(FEEDBACK) == both
        for i in range(1001):
            server.json("POST", FEEDBACK, {**least, "global_person_id": f"P{i}"}, 201)
        last = server.get(FEEDBACK + "?limit=500&offset=999")
        assert last["total"] == 1000 and [i["global_person_id"] for i in last["items"]] == ["P1"]
    lines = file.read_text().splitlines()
    assert len(lines) == 1000
    assert [json.loads(line)["global_person_id"] for line in lines] == [f"P{i}" for i in range(1, 1001)]


def test_feedback_that_cannot_be_kept_is_told(program, spoton, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"feedback_id": 3}\n')
    done = spoton("serve", "--feedback-file", bad, "--http-port", "0", expect=1)
    assert "line 1: not a feedback record" in done.stderr and bad.read_text() == '{"feedback_id": 3}\n'
    with Serving(program, tmp_path, {}, {"FEEDBACK_FILE": tmp_path / "nowhere" / "x"}) as server:
        server.json("POST", FEEDBACK, THUMB, 201)
        server.until(lambda: "feedback is kept in memory" in server.log())
        deep = server.get("/health/deep")
        assert deep["status"] == "degraded"
        assert "No such file" in deep["components"]["feedback"]["message"]
        (tmp_path / "nowhere").mkdir()  # the next try finds it
        server.json("POST", FEEDBACK, THUMB, 201)
        server.until(lambda: server.get("/health/deep")["status"] == "healthy")
        assert len((tmp_path / "nowhere" / "x").read_text().splitlines()) == 2


def test_analytics_tell_true_figures(server):
    def has_uptime():
        found = server.get("/api/v1/analytics/dashboard?environment_id=campus")["data"]["cameras"]
        return all(camera["uptime_percent"] > 0 for camera in found)
    server.until(has_uptime)  # it is looked at once a second
    server.json("POST", "/api/v2/cameras/c01/pause")
    server.json("POST", "/api/v2/cameras/c02/pause")
    paused = [server.until(lambda name=name: (c := server.get(f"/api/v2/cameras/{name}"))["state"] ==
                           "paused" and c["ledger"]["in_flight"] == 0 and c) for name in ("c01", "c02")]
    answer = server.get("/api/v1/analytics/dashboard?environment_id=campus&window_hours=1")
    assert answer["status"] == "success" and fits(answer["data"], DASHBOARD)
    data = answer["data"]
    cameras = {c["camera_id"]: c for c in data["cameras"]}
    assert cameras.keys() == {"c01", "c02"} and data["summary"]["total_cameras"] == 2
    for camera in paused:
        found = cameras[camera["name"]]
        # sim://walk shows three people in every frame; a track needs a frame or two to be one.
        assert 0 < found["detections"] <= 3 * camera["ledger"]["inferred"]
        assert found["detections"] >= 3 * (camera["ledger"]["inferred"] - 4)
        assert found["unique_entities"] >= 3
        assert 50 < found["average_confidence_percent"] <= 100
        assert 0 < found["uptime_percent"] <= 100
    total = data["summary"]["total_detections"]
    assert total == sum(c["detections"] for c in cameras.values())
    assert total == sum(b["detections"] for b in data["charts"]["detections_per_bucket"])
    mean = sum(c["detections"] * c["average_confidence_percent"] for c in cameras.values()) / total
    assert data["summary"]["average_confidence_percent"] == pytest.approx(mean, abs=0.02)
    assert 0 < data["summary"]["system_uptime_percent"] <= 100
    assert data["summary"]["uptime_delta_percent"] == 0  # nothing is known of the time before
    # Nothing came since: the same figures, also of a year, in buckets of days, and of all cameras.
    year = server.get("/api/v1/analytics/dashboard?environment_id=campus&window_hours=8760")["data"]
    assert year["summary"]["total_detections"] == total
    assert all("T00:00:00.000Z" in b["timestamp"] for b in year["charts"]["detections_per_bucket"])
    every = server.get("/api/v1/analytics/dashboard")["data"]
    assert {c["camera_id"] for c in every["cameras"]} == {"c01", "c02", "c09"}
    # A camera that is removed keeps what was counted of it.
    server.json("DELETE", "/api/v2/cameras/c02", status=204)
    server.until(lambda: len(server.get("/api/v2/cameras")["cameras"]) == 2)
    again = server.get("/api/v1/analytics/dashboard?environment_id=campus")["data"]
    assert again["summary"]["total_detections"] == total
    statistics = server.get("/api/v1/analytics/system/statistics")["data"]
    assert re.fullmatch(r"\d+:[0-5]\d:[0-5]\d", statistics["system_uptime"])
    assert statistics["total_processed"] >= sum(c["ledger"]["inferred"] for c in paused)


def test_an_environment_without_cameras_has_empty_analytics(program, tmp_path):
    """The page requests it, and fails completely on a 404."""
    with Serving(program, tmp_path, {"c01": "sim://walk?fps=10"}) as server:
        data = server.get("/api/v1/analytics/dashboard?environment_id=factory")["data"]
    assert fits(data, DASHBOARD) and data["cameras"] == []
    assert data["summary"]["total_detections"] == 0


def test_health_pages(program, tmp_path):
    with Serving(program, tmp_path, {"c01": "sim://walk?fps=10"}) as server:
        server.until_live("c01")
        live, ready, deep = (server.get("/health/" + name) for name in ("live", "ready", "deep"))
        assert live["status"] == "alive" and live["uptime_seconds"] > 0
        assert abs(live["timestamp"] - time.time()) < 60
        assert ready["status"] == "ready" and deep["status"] == "healthy"
        assert {name: part["status"] for name, part in deep["components"].items()} == dict.fromkeys(
            ("pipeline", "detector", "cameras", "feedback"), "healthy")
        server.json("POST", "/api/v2/cameras", {"name": "c02", "url": "rtsp://127.0.0.1:1/"}, 201)
        server.until(lambda: server.get("/api/v2/cameras/c02")["state"] == "offline")
        deep = server.get("/health/deep")
        assert deep["status"] == "degraded" and deep["message"] == "1 of 2 are live"
        server.json("DELETE", "/api/v2/cameras/c01", status=204)
        server.until(lambda: server.request("GET", "/health/ready")[0] == 503)
        assert "none of 1 cameras delivers" in server.get("/health/ready", 503)["detail"]
        assert server.get("/health/deep", 503)["status"] == "unhealthy"
        assert server.get("/health/live")["status"] == "alive"


def test_pages_of_allowed_origins(program, tmp_path, spoton):
    other, third = {"Origin": "https://front.example.com"}, {"Origin": "https://evil.example.com"}
    settings = {"ALLOWED_ORIGINS": "http://192.0.2.7:8080, https://front.example.com"}
    with Serving(program, tmp_path, {"c01": "sim://walk?fps=10"}, settings) as server:
        server.until_live("c01")
        status, headers, _ = server.request("OPTIONS", TASKS + "/start", headers=other)
        assert status == 204 and headers["Access-Control-Allow-Origin"] == "*"
        task = server.json("POST", TASKS + "/start", {"environment_id": "campus"}, 202,
                           headers=other)["task_id"]
        with connect(server.ws_url(f"/ws/tracking/{task}"), origin=other["Origin"]) as ws:
            assert ws.recv(LIMIT_S)
        status, headers, _ = server.request("GET", TASKS, headers=third)
        assert status == 200 and "Access-Control-Allow-Origin" not in headers
        assert headers["Vary"] == "Origin"
        assert server.request("POST", TASKS + "/start", "{}", third)[0] == 403
        with pytest.raises(InvalidStatus) as refusal:
            connect(server.ws_url(f"/ws/tracking/{task}"), origin=third["Origin"])
        assert refusal.value.response.status_code == 403
    for bad in ("front.example.com", "https://a.example/path", "https://", "*.example.com"):
        done = spoton("serve", "--allowed-origins", bad, expect=2)
        assert f"ALLOWED_ORIGINS={bad}" in done.stderr


def test_an_unknown_stream_stays_silent(server):
    viewer = server.raw(b"GET /api/v1/stream/no-task/c01 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    data = viewer.recv(4096)
    assert data.startswith(b"HTTP/1.1 200 ") and b"Access-Control-Allow-Origin: *" in data
    viewer.settimeout(0.7)
    with pytest.raises(TimeoutError):
        while viewer.recv(4096) in (b"--frame\r\nContent-Type: image/jpeg\r\n\r\n",):
            pass
    viewer.close()


def test_focus_shows_one_person(server):
    """Without a map, a camera's track identifies the person."""
    task = start(server)["task_id"]
    with connect(server.ws_url(f"/ws/tracking/{task}?tab_id=1")) as tracking, \
            connect(server.ws_url(f"/ws/focus/{task}?tab_id=1")) as focus:
        message = json.loads(tracking.recv(LIMIT_S))
        while message["camera_id"] != "c01" or len(message["camera_data"]["tracks"]) < 3:
            message = json.loads(tracking.recv(LIMIT_S))
        assert len(message["camera_data"]["tracks"]) == 3
        track = message["camera_data"]["tracks"][1]["track_id"]
        details = {"camera_id": "c01", "current_camera": "c01", "track_id": track,
                   "detection_id": f"track_{track:03}", "position_history": [],
                   "bbox": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}, "confidence": 0.9}
        focus.send(json.dumps({"type": "set_focus", "person_id": f"track_{track:03}",
                               "person_details": details}))
        told = json.loads(focus.recv(LIMIT_S))
        # The page takes any text for a global id: what is none, is null.
        assert told == {"type": "focus_update", "payload": {
            "focused_person_id": None, "is_active": True, "person_details": details}}
        with connect(server.ws_url(f"/ws/focus/{task}?tab_id=2")) as late:
            assert json.loads(late.recv(LIMIT_S)) == told
        shown = {}
        while len(shown) < 2:
            message = json.loads(tracking.recv(LIMIT_S))
            if len(message["camera_data"]["tracks"]) < 2:
                shown[message["camera_id"]] = message
        assert [(t["track_id"], t["is_focused"]) for t in shown["c01"]["camera_data"]["tracks"]] == \
            [(track, True)]
        assert [d["track_id"] for d in shown["c01"]["detection_data"]["detections"]] == [track]
        assert shown["c02"]["camera_data"]["tracks"] == []
        assert shown["c02"]["detection_data"]["detections"] == []
        focus.send(json.dumps({"type": "clear_focus"}))
        assert json.loads(focus.recv(LIMIT_S))["payload"] == {
            "focused_person_id": None, "is_active": False, "person_details": None}
        while len(message["camera_data"]["tracks"]) < 3:
            message = json.loads(tracking.recv(LIMIT_S))
        assert not any(t["is_focused"] for t in message["camera_data"]["tracks"])


def test_focus_is_told_to_all(server):
    task = start(server)["task_id"]
    url = server.ws_url(f"/ws/focus/{task}")
    with connect(url) as one, connect(url) as other:
        time.sleep(0.1)
        one.send(json.dumps({"type": "set_focus", "person_id": "P3",
                             "person_details": {"camera_id": "c01"}}))
        told = json.loads(other.recv(LIMIT_S))
        assert told == {"type": "focus_update", "payload": {
            "focused_person_id": "P3", "is_active": True,
            "person_details": {"camera_id": "c01"}}}
        other.send(json.dumps({"type": "clear_focus"}))
        assert json.loads(one.recv(LIMIT_S))["payload"]["is_active"] is True
        assert json.loads(one.recv(LIMIT_S))["payload"]["is_active"] is False
        for nonsense in ('{"type": "set_focus"}', '{"type": "set_focus", "person_id": 3}', "[", "5",
                         '{"type": "set_focus", "person_id": "P03", "person_details": 4}'):
            one.send(nonsense)
        one.send(json.dumps({"type": "set_focus", "person_id": "P4"}))
        assert json.loads(other.recv(LIMIT_S))["payload"]["focused_person_id"] is None  # the clearing
        assert json.loads(other.recv(LIMIT_S))["payload"] == {
            "focused_person_id": "P4", "is_active": True, "person_details": None}


def test_a_camera_that_comes_back_counts_on(server):
    """The page's map ignores points with a lower index."""
    task = start(server)["task_id"]
    url = server.get("/api/v2/cameras/c01")["url"]
    with connect(server.ws_url(f"/ws/tracking/{task}")) as ws:
        def index_of_c01():
            while (message := json.loads(ws.recv(LIMIT_S)))["camera_id"] != "c01":
                pass
            return message["global_frame_index"]
        server.until(lambda: index_of_c01() > 5)
        server.json("DELETE", "/api/v2/cameras/c01", status=204)
        server.until(lambda: server.request("GET", "/api/v2/cameras/c01")[0] == 404)
        # Another camera takes its place in the server.
        server.json("POST", "/api/v2/cameras", {"name": "z", "url": "sim://still?fps=5"}, 201)
        server.json("POST", "/api/v2/cameras", {"name": "c01", "url": url}, 201)
        server.until_live("c01")
        numbers = [index_of_c01() for _ in range(40)]
    assert all(a < b for a, b in zip(numbers, numbers[1:]))


@pytest.fixture
def videos(program, tmp_path, make_clip):
    """Two files of one environment; slow, so that they do not end early on a busy machine."""
    cameras = {"c01": make_clip(frames=60, rate=4), "c02": make_clip(frames=40, rate=4, first=7)}
    with Serving(program, tmp_path, cameras) as serving:
        serving.until_live("c01", "c02")
        yield serving


def test_seek_moves_all_cameras_or_none(videos):
    with watched(videos) as task:
        seek_all_or_none(videos, task)


def seek_all_or_none(server, task):
    control = f"/api/v1/controls/{task}"
    assert server.get(control + "/status")["total_frames"] == 40  # the shortest
    server.json("POST", control + "/pause")
    answer = server.json("POST", control + "/seek", {"frame_index": 12})
    assert (answer["last_frame_index"], answer["total_frames"]) == (12, 40)
    assert answer["state"] == "playing"
    # Past the end of one: none moves.
    server.json("POST", control + "/pause")
    server.until(lambda: all(server.get(f"/api/v2/cameras/{name}")["state"] == "paused"
                             for name in ("c01", "c02")))
    before = server.get(control + "/status")
    assert before["state"] == "paused"
    refused = server.json("POST", control + "/seek", {"frame_index": 40}, 400)
    assert "the shortest video has 40 frames" in refused["detail"]
    assert server.get(control + "/status") == before
    for body, found in (({}, "missing"), ({"frame_index": -1}, "greater_than_equal"),
                        ({"frame_index": "x"}, "int_type")):
        answer = server.json("POST", control + "/seek", body, 422)
        assert loc_and_type(answer) == [(["body", "frame_index"], found)]
    # A camera that is not open yet cannot be moved, so none is.
    server.json("POST", "/api/v2/cameras", {"name": "c03", "url": "rtsp://127.0.0.1:1/"}, 201)
    server.until(lambda: "c03" in {c["name"] for c in server.get("/api/v2/cameras")["cameras"]})
    with watched(server, "default") as default:
        refused = server.json("POST", f"/api/v1/controls/{default}/seek", {"frame_index": 1}, 409)
        assert "c03: not open yet" in refused["detail"]
    assert server.get(control + "/status")["last_frame_index"] == before["last_frame_index"]


def test_a_page_opened_on_a_paused_task_shows_it(videos):
    with watched(videos) as task:
        show_paused(videos, task)


def show_paused(server, task):
    server.json("POST", f"/api/v1/controls/{task}/pause")
    paused = server.until(lambda: (c := server.get("/api/v2/cameras/c01"))["state"] == "paused" and
                          c["ledger"]["in_flight"] == 0)
    assert paused
    newest = server.get("/api/v2/cameras/c01/tracks")
    viewer = stream_of(server, task, "c01")
    jpeg = read_parts(viewer, 1)[0]
    viewer.close()
    with connect(server.ws_url(f"/ws/tracking/{task}")) as ws:
        message = json.loads(ws.recv(LIMIT_S))
        while message["camera_id"] != "c01":
            message = json.loads(ws.recv(LIMIT_S))
        with pytest.raises(TimeoutError):
            while json.loads(ws.recv(0.5))["camera_id"] != "c01":
                pass
    assert message["global_frame_index"] == newest["sequence"]
    assert len(message["camera_data"]["tracks"]) == len(newest["tracks"])
    assert jpeg[:2] == b"\xff\xd8"


# Size, the part of 1920x1080 that the frame takes: left, top, right, bottom.
SHAPES = [((320, 240), (240, 0, 1680, 1080)), ((640, 272), (0, 132, 1920, 948)),
          ((320, 180), (0, 0, 1920, 1080))]


@pytest.mark.parametrize("size, part", SHAPES)
def test_frames_of_another_shape_are_padded_to_16_9(program, tmp_path, size, part):
    """Boxes match the frame's content, and are scaled by one factor."""
    clip = still_clip(tmp_path / "still.mp4", size)
    with Serving(program, tmp_path, {"c01": clip}) as server:
        server.until(lambda: len(tracks_of(server)) == 2)
        task = start(server)["task_id"]
        viewer = stream_of(server, task, "c01")
        image = Image.open(io.BytesIO(read_parts(viewer, 1)[0])).convert("L")
        viewer.close()
        with connect(server.ws_url(f"/ws/tracking/{task}")) as ws:
            tracks = server.until(lambda: len((found := json.loads(ws.recv(LIMIT_S))["camera_data"]["tracks"])) == 2 and found)
        # The server's own interface gives the camera's shape.
        own = Image.open(io.BytesIO(server.request("GET", "/api/v2/cameras/c01/frame.jpg")[2]))
        assert own.size == size
    assert image.width / image.height == pytest.approx(16 / 9, abs=0.01)
    luma, scale = numpy.asarray(image), image.width / 1920
    assert bounds(luma > 10) == pytest.approx([v * scale for v in part], abs=2)  # the rest is black
    factor = (part[2] - part[0]) / size[0]
    boxes = sorted(t["bbox_xyxy"] for t in tracks)
    expected = sorted([part[i % 2] + factor * value for i, value in enumerate(box)]
                      for box in clips.rectangles(4, size))
    for box, rectangle in zip(boxes, expected, strict=True):
        assert box == pytest.approx(rectangle, abs=2 * factor)
        x1, y1, x2, y2 = (round(v * scale) for v in rectangle)
        area = luma[y1 - 6:y2 + 6, x1 - 6:x2 + 6]
        assert bounds(area > 128) == pytest.approx([6, 6, 6 + x2 - x1, 6 + y2 - y1], abs=2)


def tracks_of(server):
    status, _, data = server.request("GET", "/api/v2/cameras/c01/tracks")
    return json.loads(data)["tracks"] if status == 200 else []


def still_clip(path, size):
    """The same rectangles in each frame, so that the tracker's lag moves no box."""
    subprocess.run(["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s",
                    f"{size[0]}x{size[1]}", "-r", "10", "-i", "-", "-c:v", "libx264", "-qp", "4",
                    str(path)], input=clips.image(4, size) * 30, check=True)
    return path


def bounds(mask):
    """The true left, top, right, bottom."""
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
