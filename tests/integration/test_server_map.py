"""Cross-camera association in a running server: the map, the people, both APIs."""

import json
import os
import subprocess
import sys
import time

import onnx
import pytest

from conftest import ROOT, SLOWER
from serving import LIMIT_S, Serving, connect

sys.path.insert(0, str(ROOT / "tests" / "tools"))
from world_calibration import calibration  # noqa: E402

pytestmark = [pytest.mark.sanitize, pytest.mark.threads]
TASKS = "/api/v1/detection-processing-tasks"
HALL = {"c01": 0, "c02": 1, "c03": 2}
SIZE = (640, 360)


def url(camera, people=3):
    return (f"sim://world?camera={camera}&seed=4&people={people}&fps=10"
            f"&width={SIZE[0]}&height={SIZE[1]}")


def serving(program, folder, env=None):
    path = folder / "map.json"
    if not path.exists():
        path.write_text(json.dumps(calibration(HALL, *SIZE)))
    return Serving(program, folder, {name: url(view) for name, view in HALL.items()} |
                   {"c05": url(3)},
                   env={"HOMOGRAPHY_FILE_PATH": str(path), "YOLO_INPUT_SIZE": "640",
                        "LOG_LEVEL": "debug", **(env or {})})


def seen_by_several(server):
    people = server.get("/api/v2/people")["people"]
    return [p for p in people if p["visible"] and len({s["camera"] for s in p["observations"]}) >= 2]


def merges_of(server):
    events = server.get("/api/v2/people/events?after=0")["events"]
    return [e for e in events if e["what"] == "merged"]


def test_people_of_several_cameras_are_one(program, tmp_path):
    with serving(program, tmp_path) as server:
        server.until_live("c01", "c02", "c03", "c05")
        person = server.until(lambda: seen_by_several(server), 60)[0]
        assert person["person"].startswith("P") and 0 <= person["x"] <= 5600
        assert person["trail"] and person["why"]["what"] in ("created", "merged", "returned", "reassigned")
        found = server.get("/api/v2/map")
        assert [c["camera"] for c in found["cameras"]] == list(HALL)
        for camera in found["cameras"]:
            assert camera["usable"] and len(camera["view"]) >= 4
            assert all(point["fits"] and point["error_m"] < 0.01 for point in camera["points"])
        # A person that enters several views at once is created in all of them; other tracks merge later.
        merges = server.until(lambda: merges_of(server), 60)
        events = server.get("/api/v2/people/events?after=0")["events"]
        assert all(e["distance_m"] < 2 and e["votes"] >= 1 for e in merges)
        assert [e["serial"] for e in events] == sorted(e["serial"] for e in events)
        later = server.get(f"/api/v2/people/events?after={events[-1]['serial']}")["events"]
        assert all(e["serial"] > events[-1]["serial"] for e in later)

        # The newer protocol: people beside the tracks; a camera without a map says nothing of it.
        with connect(server.ws_url("/api/v2/ws")) as ws:
            messages = []

            def named_as_on_the_map():
                """People leave, and others come: until a message names one of those that are listed."""
                known = {p["person"] for p in server.get("/api/v2/people")["people"]}
                messages.extend(json.loads(ws.recv(LIMIT_S)) for _ in range(40))
                return any(p.get("person") in known for m in messages for p in m.get("people", []))
            server.until(named_as_on_the_map)
        assert all("people" not in m for m in messages if m["camera"] == "c05")
        named = [p for m in messages if m["camera"] != "c05" for p in m["people"]]
        for entry in named:
            assert set(entry) <= {"track", "person", "x", "y"}
        page = server.request("GET", "/metrics")[2].decode()
        assert 'stage="space"' in page and "spoton_people" in page
    space = [line.split("SpaceMatch=")[1].split("ms")[0]
             for line in server.log().splitlines() if "MEGA-BATCH" in line]
    assert space and any(float(text) >= 0 for text in space)


def test_the_front_ends_fields(program, tmp_path):
    with serving(program, tmp_path) as server:
        server.until_live("c01", "c02", "c03", "c05")
        server.until(lambda: seen_by_several(server), 60)
        task = server.json("POST", TASKS + "/start", {"environment_id": "campus"}, 202)["task_id"]
        with connect(server.ws_url(f"/ws/tracking/{task}")) as ws, \
                connect(server.ws_url(f"/ws/focus/{task}")) as focus:
            asked, focused, since = [], set(), 0
            deadline = time.monotonic() + 8 * LIMIT_S
            while time.monotonic() < deadline and not focused:
                message = json.loads(ws.recv(LIMIT_S))
                tracks = message["camera_data"]["tracks"]
                check_message(message, mapped=message["camera_id"] != "c05")
                focused = {t["global_id"] for t in tracks if t["is_focused"]}
                # The focused person may leave all views before a message shows it: then focus on the
                # person seen by most cameras, which is likely to stay.
                if not focused and time.monotonic() - since > 3 * SLOWER:
                    if seen := seen_by_several(server):
                        best = max(seen, key=lambda person: len(person["observations"]))["person"]
                        asked.append(best)
                        since = time.monotonic()
                        focus.send(json.dumps({"type": "set_focus", "person_id": best}))
                        told = json.loads(focus.recv(LIMIT_S))
                        assert told["payload"]["focused_person_id"] == best
            # One at a time; a message that was under way may still show one before.
            assert len(focused) == 1 and focused <= set(asked)


def check_message(message, mapped):
    mapping = message["future_pipeline_data"]["mapping_coordinates"]
    assert isinstance(mapping, list)
    for track in message["camera_data"]["tracks"] + message["detection_data"]["detections"]:
        # A number here crashes the front end.
        assert track["global_id"] is None or track["global_id"].startswith("P")
        assert mapped or track["global_id"] is None
    for track in message["camera_data"]["tracks"]:
        coordinates = track["map_coords"]
        assert coordinates is None or set(coordinates) == {"map_x", "map_y"}
        assert mapped or coordinates is None
    for entry in mapping:
        assert mapped and entry["projection_successful"] is True
        assert isinstance(entry["map_x"], float | int)
        assert len(entry["trail"]) <= 3
        for offset, point in enumerate(entry["trail"]):
            assert set(point) == {"x", "y", "frame_offset", "timestamp"}
            assert point["frame_offset"] == offset and point["timestamp"].endswith("Z")


def written(folder):
    return [c["id"] for c in json.loads((folder / "map.json").read_text())["cameras"]]


def test_no_request_waits_for_the_disk(program, tmp_path):
    """Opening a FIFO without a reader blocks, like a write to a hanging disk."""
    with serving(program, tmp_path) as server:
        part = tmp_path / "map.json.part"
        os.mkfifo(part)
        plane = {"width": 4000, "height": 1600, "units_per_m": 100}
        assert server.json("POST", "/api/v2/map", plane)["width"] == 4000
        assert server.get("/healthz")["status"] == "ok"
        assert server.get("/api/v2/map")["width"] == 4000
        assert json.loads(part.read_text())["cameras"]  # the writer continues
        server.until(lambda: "map.json: cannot be written" in server.log())  # a FIFO syncs nothing
        assert "cannot be written" in server.json("POST", "/api/v2/map", plane, 500)["detail"]
        server.until(lambda: json.loads((tmp_path / "map.json").read_text())["ground_plane"]["width"] == 4000)
        assert server.json("POST", "/api/v2/map", plane)["width"] == 4000


def test_a_camera_is_calibrated_while_it_runs(program, tmp_path):
    with serving(program, tmp_path) as server:
        server.until_live("c05")
        whole = calibration({"c05": 3}, *SIZE)["cameras"][0]
        points = [{"frame": p, "map": m} for p, m in
                  zip(whole["source_points"], whole["destination_points"])]
        path = "/api/v2/map/cameras/c05"
        body = {"points": points, "image_size": SIZE, "try": True}
        tried = server.json("POST", path, body)
        assert tried["stored"] is False and tried["rms_px"] < 0.01 and len(tried["view"]) > 4
        assert len(server.get("/api/v2/map")["cameras"]) == 3

        mirrored = [{"frame": [SIZE[0] - p["frame"][0], p["frame"][1]], "map": p["map"]}
                    for p in points]
        for bad, status, why in [
                ({"points": points[:3], "image_size": SIZE}, 422, "at least four"),
                ({"points": mirrored, "image_size": SIZE}, 422, "mirrored"),
                ({"points": points}, 422, "image_size"),
                ({"points": [{"frame": [1], "map": [2, 3]}], "image_size": SIZE}, 422, "points"),
                ([1], 400, "object")]:
            assert why in server.json("POST", path, bad, status)["detail"]
        assert "c77: not found" in server.json("POST", "/api/v2/map/cameras/c77", body, 404)["detail"]

        stored = server.json("POST", path, {"points": points, "image_size": SIZE})
        assert stored["stored"] is True
        server.until(lambda: any(s["camera"] == "c05" for p in server.get("/api/v2/people")["people"]
                                 for s in p["observations"]), 60)
        server.until(lambda: written(tmp_path) == [*HALL, "c05"])
        assert not (tmp_path / "map.json.part").exists()
        server.json("DELETE", path)
        server.json("DELETE", path, status=404)
        server.until(lambda: len(written(tmp_path)) == 3)
        plane = {"width": 4000, "height": 1600, "units_per_m": 100}
        assert server.json("POST", "/api/v2/map", plane)["width"] == 4000
        assert "above 0" in server.json("POST", "/api/v2/map", {"width": -1}, 422)["detail"]


def test_a_bad_file_is_named_and_no_map_is_none(program, tmp_path):
    (tmp_path / "map.json").write_text('{"cameras": [{"id": "c01", "source_points": [[1]]}]}')
    with pytest.raises(AssertionError, match="HOMOGRAPHY_FILE_PATH.*camera c01"):
        serving(program, tmp_path)
    (tmp_path / "map.json").unlink()
    with serving(program, tmp_path, {"SPATIAL_MATCH_ENABLED": "false"}) as server:
        assert "SPATIAL_MATCH_ENABLED" in server.get("/api/v2/people", 404)["detail"]


def any_embeddings(server):
    return any(person["embeddings"] for person in server.get("/api/v2/people")["people"])


@pytest.mark.openvino
def test_people_have_embeddings(program, demo_clip, shared, tmp_path):
    model = shared / "models" / "peers" / "osnet_x0_25.onnx"
    if not model.exists():
        pytest.skip("no model of crops in ../shared")
    size = (768, 576)
    points = [[0, 200], [size[0], 200], [size[0], size[1]], [0, size[1]]]
    (tmp_path / "map.json").write_text(json.dumps({
        "ground_plane": {"width": 768, "height": 576, "pixels_per_meter": 30, "y_axis": "down"},
        "cameras": [{"id": name, "image_size": size, "source_points": points,
                     "destination_points": points} for name in ("a", "b")]}))
    env = {"ENGINE": "openvino", "HOMOGRAPHY_FILE_PATH": str(tmp_path / "map.json"),
           "REID_MODEL_PATH": str(model), "REID_KEEP_SECONDS": "20"}
    # People who stand keep their tracks however few frames a busy machine infers.
    clip = tmp_path / "standing.avi"
    subprocess.run(["ffmpeg", "-v", "error", "-ss", "10", "-i", demo_clip, "-vf",
                    "select=eq(n\\,0),loop=29:1,setpts=N/10/TB,noise=alls=4:allf=t", "-r", "10", "-c:v", "mpeg4", "-q:v", "2", clip],
                   check=True)
    with Serving(program, tmp_path, {"a": str(clip), "b": str(clip)}, env) as server:
        server.until(lambda: any_embeddings(server), 60)
        server.until(lambda: 'stage="embed"' in server.request("GET", "/metrics")[2].decode())
        for name in ("a", "b"):  # what is kept goes, also when nothing comes any more
            server.request("POST", f"/api/v2/cameras/{name}/pause")
        server.until(lambda: not any_embeddings(server), 30)


def tiny_model(path):
    """Means of a crop's patches, as an embedding of colours and their positions."""
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [helper.make_node("AveragePool", ["crops"], ["patches"], kernel_shape=[16, 16],
                              strides=[16, 16]),
             helper.make_node("Flatten", ["patches"], ["row"])]
    graph = helper.make_graph(
        nodes, "embedder",
        [helper.make_tensor_value_info("crops", number, ["batch", 3, 64, 32])],
        [helper.make_tensor_value_info("row", number, ["batch", 24])])
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]),
              path)


def test_another_engine_runs_the_embedder(program, tmp_path):
    """The fake engine supports no mean and deviation, like the CUDA one: another engine runs the embedder."""
    if not (program.parent / "engines" / "spoton-engine-onnxruntime.so").exists():
        pytest.skip("built without ONNX Runtime")
    tiny_model(tmp_path / "embedder.onnx")
    env = {"REID_MODEL_PATH": str(tmp_path / "embedder.onnx"), "REID_KEEP_SECONDS": "5"}
    with serving(program, tmp_path, env) as server:
        lines = [line for line in server.log().splitlines() if "using engine onnxruntime for it" in line]
        assert len(lines) == 1 and "REID_MODEL_PATH" in lines[0]
        server.until(lambda: any_embeddings(server), 60)
        for name in (*HALL, "c05"):
            server.request("POST", f"/api/v2/cameras/{name}/pause")
        server.until(lambda: not any_embeddings(server), 30)


def test_invalid_reid_models_are_refused(program, tmp_path):
    with serving(program, tmp_path, {"REID_MODEL_PATH": "weights/osnet.pth.tar"}) as server:
        assert "is a PyTorch checkpoint" in server.log()
    with pytest.raises(AssertionError, match="REID_STD: invalid value; use three numbers"):
        serving(program, tmp_path, {"REID_MODEL_PATH": "x.onnx", "REID_STD": "0.2,0,0.2"})
    with pytest.raises(AssertionError, match="REID_MODEL_PATH"):
        serving(program, tmp_path, {"REID_MODEL_PATH": str(tmp_path / "none.onnx")})
