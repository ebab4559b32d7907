"""The older interface: the front end's calls, in its order, with real clients."""

import json
import re
import time

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from serving import Serving, read_parts

pytestmark = [pytest.mark.sanitize, pytest.mark.threads]
TASKS = "/api/v1/detection-processing-tasks"
ORIGIN = {"Origin": "http://localhost:5173"}


@pytest.fixture
def server(program, tmp_path):
    cameras = {name: f"sim://walk?fps=10&seed={i}" for i, name in enumerate(["c01", "c02", "c09"])}
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
    return type(value) is kind  # true is no number


def start(server, environment="campus"):
    return server.json("POST", TASKS + "/start", {"environment_id": environment, "more": 1}, 202,
                       headers={"Content-Type": "application/json", **ORIGIN})


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
        messages = [json.loads(ws.recv(10)) for _ in range(12)]
        assert server.get(f"{TASKS}/{task}/status")["status"] == "PROCESSING"
    assert {m["camera_id"] for m in messages} == {"c01", "c02"}
    for camera in ("c01", "c02"):
        numbers = [m["global_frame_index"] for m in messages if m["camera_id"] == camera]
        assert numbers == sorted(set(numbers))
    message = messages[0]
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


def test_a_second_page_joins_and_sees_every_field(server):
    """It reloads: no start, but the list, the first task that is under way, its streams."""
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
                message = json.loads(ws.recv(10))
                assert fits(message, UPDATE), message
                assert message["task_id"] == task and len(message["camera_data"]["tracks"]) == 3
                assert all(len(t["bbox_xyxy"]) == 4 for t in message["camera_data"]["tracks"])
                assert [d["detection_id"] for d in message["detection_data"]["detections"]] == \
                    [f"track_{t['track_id']:03}" for t in message["camera_data"]["tracks"]]
        # The first page's end is not the second's.
        assert all(fits(json.loads(second.recv(10)), UPDATE) for _ in range(5))
    control = f"/api/v1/controls/{task}"
    for method, path in (("GET", "/status"), ("POST", "/pause"), ("POST", "/resume")):
        found = server.json(method, control + path)
        assert fits(found, PLAYBACK) and found["task_id"] == task
    ended = server.json("DELETE", f"{TASKS}/environment/campus/cleanup")
    assert fits(ended["data"], {"environment_id": str, "message": str, "stopped_tasks": [str]})
    assert fits(server.get(control + "/status"), PLAYBACK)
    # What this server does not have says so in the form that pages understand.
    for method, path in (("GET", "/api/v1/analytics/dashboard"),
                         ("GET", "/api/v1/analytics/system/statistics"),
                         ("POST", "/api/v1/feedback/reidentification")):
        status, headers, data = server.request(method, path, "{}", ORIGIN)
        assert status == 404 and json.loads(data)["detail"]
        assert headers["Access-Control-Allow-Origin"] == "*"


def test_playback(server):
    task = start(server)["task_id"]
    control = f"/api/v1/controls/{task}"
    assert server.get(control + "/status")["state"] == "playing"
    assert server.json("POST", control + "/pause")["state"] == "paused"
    server.until(lambda: server.get("/api/v2/cameras/c01")["state"] == "paused")
    assert server.get("/api/v2/cameras/c09")["state"] == "live"
    assert server.json("POST", control + "/resume")["state"] == "playing"
    server.until(lambda: server.get("/api/v2/cameras/c01")["state"] == "live")
    for body in ({}, {"frame_index": -1}, {"frame_index": "x"}):
        server.json("POST", control + "/seek", body, 422)
    other = "/api/v1/controls/00000000-0000-4000-8000-000000000000"
    assert server.get(other + "/status")["state"] == "stopped"
    server.json("POST", other + "/pause", status=404)


def test_a_new_task_stops_the_one_before(server):
    first, second = start(server)["task_id"], start(server, "factory")["task_id"]
    assert server.get(f"{TASKS}/{first}/status")["status"] == "STOPPED"
    assert server.get(f"{TASKS}/{second}/status")["status"] == "PROCESSING"
    failed = start(server, "nowhere")["task_id"]
    assert server.get(f"{TASKS}/{failed}/status")["status"] == "FAILED"


def test_what_is_wrong_is_refused(server):
    for body in ({}, {"environment_id": 3}, [], {"environment_id": ""}):
        server.json("POST", TASKS + "/start", body, 422)
    server.get(TASKS + "/no-id/status", 422)
    server.get(TASKS + "/00000000-0000-4000-8000-000000000000/status", 404)
    with pytest.raises(InvalidStatus) as refusal:
        connect(server.ws_url("/ws/tracking/no-id"))
    assert refusal.value.response.status_code == 404


def test_an_unknown_stream_stays_silent(server):
    viewer = server.raw(b"GET /api/v1/stream/no-task/c01 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    data = viewer.recv(4096)
    assert data.startswith(b"HTTP/1.1 200 ") and b"Access-Control-Allow-Origin: *" in data
    viewer.settimeout(0.7)
    with pytest.raises(TimeoutError):
        while viewer.recv(4096) in (b"--frame\r\n",):
            pass
    viewer.close()


def test_focus_is_told_to_all(server):
    task = start(server)["task_id"]
    url = server.ws_url(f"/ws/focus/{task}")
    with connect(url) as one, connect(url) as other:
        time.sleep(0.1)
        one.send(json.dumps({"type": "set_focus", "person_id": "P3",
                             "person_details": {"camera_id": "c01"}}))
        told = json.loads(other.recv(10))
        assert told == {"type": "focus_update", "payload": {
            "focused_person_id": "P3", "is_active": True,
            "person_details": {"camera_id": "c01"}}}
        other.send(json.dumps({"type": "clear_focus"}))
        assert json.loads(one.recv(10))["payload"]["is_active"] is True
        assert json.loads(one.recv(10))["payload"]["is_active"] is False
