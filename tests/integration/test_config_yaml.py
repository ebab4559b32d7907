"""spoton.yaml: schema, conversion, cameras with settings of their own, reloads."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections import Counter

import jsonschema_rs
import onnx
import pytest
import yaml

from checks import Results, read_summary
from conftest import ROOT
from odd_rtsp import OddRtsp
from serving import Serving
from tiny import write


class Loader(yaml.SafeLoader):
    """Reads !secret NAME as an editor does: as a text."""


Loader.add_constructor("!secret", lambda loader, node: loader.construct_scalar(node))

ACCEPTED = [
    "",
    "server: {host: 127.0.0.1, port: 3847}\ndetector: {input_size: 640, confidence: 0.3}\n"
    "cameras:\n  - {name: gate, url: rtsp://10.0.0.7/s, frame_skip: 2, classes: [person]}\n"
    "  - {name: lobby, url: lobby.mp4, confidence: 0.4, tracker: {buffer_size: 60}}\n",
    "detector: {threads: auto, devices: [0, 1], classes: 0}\nimages:\n",
    "server: {port: '${PORT}'}\noutputs: {plugins: 'jsonl?path=a.jsonl'}\n",
    "outputs:\n  - {type: mqtt, url: 'mqtt://127.0.0.1:1883', send: [tracks, events], rate: 5, home_assistant: true}\n",
]
REFUSED = [
    "detector: {frame_skp: 2}\n", "detektor: {}\n", "server: {port: '80'}\n", "server: {port: 70000}\n",
    "server: {port: 80.5}\n", "server: {allow_insecure: 1}\n", "detector: {precision: b16}\n",
    "detector: {input_size: 650}\n", "detector: {classes: []}\n", "detector: {model: [a]}\n", "server: []\n",
    "cameras: [{name: a}]\n", "cameras: [{url: a}]\n", "cameras: [{name: a, url: b, port: 3}]\n",
    "cameras: [{name: a, url: b, tracker: {dt: 3}}]\n", "cameras: {a: b}\n", "outputs: {plugin: a}\n", "[]\n",
    "outputs: [{url: a}]\n", "outputs: [mqtt]\n", "outputs: [{type: mqtt, tls: {ca: a}}]\n",
]


def test_schema_and_program_agree(spoton, tmp_path):
    schema = json.loads(spoton("config", "--schema", expect=0).stdout)
    validator = jsonschema_rs.Draft202012Validator(schema)
    path = tmp_path / "spoton.yaml"
    for text in ACCEPTED + REFUSED:
        path.write_text(text)
        done = spoton("track", "none", "-o", "out", "--config", path, env={"PORT": "1"})
        refused_file = done.returncode == 2 and f"{path}:" in done.stderr
        assert refused_file == (text in REFUSED), (text, str(done))
        assert validator.is_valid(yaml.load(text, Loader)) == (text in ACCEPTED), text
        assert not refused_file or len(done.error_lines) == 1
    example = (ROOT / "examples" / "spoton.yaml").read_text()
    assert validator.is_valid(yaml.load(example, Loader))


@pytest.mark.parametrize("content, problem", [
    (b"server: {port: 1, port: 2}\n", "1:19: port: duplicate key"), (b"a: &b 1\n", "1:4: anchor &b"),
    (b"server:\n\tport: 1\n", "2:1: tab"), (b"server: {host: \xff}\n", "1:16: not UTF-8"),
    (b"a: " + b"[" * 100, "nested deeper"), (b"\n" * 2000000, "larger than 1 MB"), (None, "is a directory")])
def test_bad_files(spoton, tmp_path, content, problem):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content) if content else path.mkdir()
    done = spoton("serve", "--config", path, expect=2)
    assert len(done.error_lines) == 1 and f"{path}:" in done.stderr and problem in done.stderr, done.stderr


def test_env_file_becomes_yaml(spoton, tmp_path):
    env, path = tmp_path / "env", tmp_path / "spoton.yaml"
    env.write_text("FRAME_SKIP=3\nHTTP_PORT=1234\nCAMERA_gate='rtsp://u:p@10.0.0.7/a b'\n")
    path.write_text(spoton("config", "--from-env", env, expect=0).stdout)
    assert yaml.safe_load(path.read_text()) == {
        "server": {"port": 1234}, "detector": {"frame_skip": 3},
        "cameras": [{"name": "gate", "url": "rtsp://u:p@10.0.0.7/a b"}]}
    env.write_text("FRAME_SKIP=many\n")
    assert "FRAME_SKIP=many" in spoton("config", "--from-env", env, expect=2).stderr
    for words in (["--from-env"], ["--schema", "x"], ["x"]):
        assert spoton("config", *words, expect=2).stderr.count("\n") == 1


def test_settings_of_one_camera_in_a_run(spoton, make_clip, tmp_path):
    clip = make_clip()
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "spoton.yaml").write_text(
        f"detector: {{engine: fake, model: fake, input_size: 320}}\ncameras:\n"
        f"  - {{name: plain, url: {clip}}}\n"
        f"  - {{name: skip, url: {clip}, frame_skip: 3}}\n"
        f"  - {{name: sure, url: {clip}, confidence: 0.96}}\n"
        f"  - {{name: small, url: {clip}, input_size: 160}}\n"
        f"  - {{name: strict, url: {clip}, tracker: {{new_threshold: 1, high_threshold: 0.99}}}}\n")
    out = tmp_path / "out"
    spoton("run", "--out", out, expect=0)
    logs = {name: Results(out, name).results_log for name in ("plain", "skip", "sure", "small", "strict")}
    inferred = {name: [line["sequence"] for line in log if line["inferred"]] for name, log in logs.items()}
    assert inferred["skip"] == list(range(0, 30, 3))
    assert all(inferred[name] == list(range(30)) for name in logs if name != "skip")
    found = {name: sum(len(line["detections"]) for line in log) for name, log in logs.items()}
    tracks = {name: sum(len(line["tracks"]) for line in log) for name, log in logs.items()}
    assert found == {"plain": 60, "skip": 20, "sure": 0, "small": 60, "strict": 60}
    assert tracks == {"plain": 60, "skip": 60, "sure": 0, "small": 60, "strict": 0}
    # An input of half the size has blocks of twice the size.
    assert logs["small"][4]["detections"] != logs["plain"][4]["detections"]
    assert all(v % 8 == 0 for box in logs["small"][4]["detections"] for v in box[:4])
    settings = read_summary(out)["settings"]
    assert settings["CAMERA_skip FRAME_SKIP"] == "3" and "CAMERA_plain FRAME_SKIP" not in settings
    # An option of the command line is for the cameras without a value of their own.
    spoton("run", "--out", out, "--frame-skip", "2", expect=0)
    assert [line["sequence"] for line in Results(out, "skip").results_log if line["inferred"]] == inferred["skip"]
    assert [line["sequence"] for line in Results(out, "plain").results_log if line["inferred"]] == list(range(0, 30, 2))


@pytest.mark.openvino
def test_classes_of_one_camera(spoton, make_clip, tmp_path):
    model = onnx.load(write(tmp_path / "three.onnx"))
    for tensor in model.graph.initializer:
        if tensor.name == "rows":
            rows = onnx.numpy_helper.to_array(tensor).copy()
            rows[0, :3, 5] = (0, 1, 2)
            tensor.CopyFrom(onnx.numpy_helper.from_array(rows, "rows"))
    onnx.helper.set_model_props(model, {"names": "{0: 'person', 1: 'dog', 2: 'traffic light'}"})
    onnx.save(model, tmp_path / "three.onnx")
    clip, out, path = make_clip(frames=3), tmp_path / "out", tmp_path / "classes.yaml"
    path.write_text(
        f"detector: {{engine: openvino, model: {tmp_path}/three.onnx, precision: f32, cache_dir: 'off'}}\ncameras:\n"
        f"  - {{name: plain, url: {clip}}}\n"
        f"  - {{name: dogs, url: {clip}, classes: [dog]}}\n"
        f"  - {{name: two, url: {clip}, classes: [person, traffic light]}}\n"
        f"  - {{name: all, url: {clip}, classes: all}}\n")
    spoton("run", "--config", path, "--out", out, engine=None, expect=0)
    seen = {name: Counter(box[5] for line in Results(out, name).results_log for box in line["detections"])
            for name in ("plain", "dogs", "two", "all")}
    assert seen == {"plain": {0: 3}, "dogs": {1: 3}, "two": {0: 3, 2: 3}, "all": {0: 3, 1: 3, 2: 3}}
    path.write_text(path.read_text().replace("[dog]", "[dogg]"))
    done = spoton("run", "--config", path, "--out", out, engine=None, expect=1)
    assert 'camera dogs: CLASSES: "dogg"' in done.stderr and 'did you mean "dog"?' in done.stderr
    path.write_text(path.read_text().replace("classes: [dogg]", "decoder: gpu"))
    done = spoton("run", "--config", path, "--out", out, engine=None, expect=1)
    assert "camera dogs: DECODER=gpu: engine openvino does not decode video" in done.stderr


class Silent:
    """A camera that sends JPEGs to each client for a second, and then nothing."""

    def __init__(self, image):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.image, self.clients = image.read_bytes(), []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self.send, args=(client,), daemon=True).start()

    def send(self, client):
        part = b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(self.image)
        try:
            client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n")
            for _ in range(25):
                client.sendall(part + self.image + b"\r\n")
                time.sleep(0.04)
        except OSError:
            client.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/mjpeg"


def cameras_of(server):
    return {camera["name"]: camera for camera in server.get("/api/v2/cameras")["cameras"]}


def test_new_cameras_of_the_api_have_the_settings_of_the_yaml(spoton):
    schema = json.loads(spoton("config", "--schema").stdout)["$defs"]["camera"]["properties"]
    described = json.loads((ROOT / "web" / "openapi.json").read_text())["components"]["schemas"]["NewCamera"]["properties"]
    assert set(described) == set(schema) - {"lines", "zones"}
    assert set(described["tracker"]["properties"]) == set(schema["tracker"]["properties"])


def test_settings_of_one_camera_in_serve(program, make_clip, tmp_path):
    """Cameras of one kind in pairs that differ in one setting."""
    image, path = make_clip.image("jpg"), tmp_path / "cameras.yaml"
    silent = Silent(image)
    with OddRtsp(make_clip(extension="h264", options=("-bf", "0", "-slices", "1")), refuse=("TCP",)) as rtsp:
        path.write_text(
            f"cameras:\n  - {{name: often, url: {image}, snapshot_interval_ms: 50}}\n"
            f"  - {{name: seldom, url: {image}, snapshot_interval_ms: 3600000}}\n"
            f"  - {{name: tcp, url: '{rtsp.url()}', rtsp_transport: tcp}}\n"
            f"  - {{name: udp, url: '{rtsp.url()}', rtsp_transport: udp}}\n"
            f"  - {{name: soon, url: '{silent.url}', stall_timeout_ms: 200}}\n"
            f"  - {{name: late, url: '{silent.url}', stall_timeout_ms: 600000}}\n"
            f"  - {{name: two, url: {make_clip()}, decode_threads: 2}}\n")
        with Serving(program, tmp_path, {}, args=("--config", str(path))) as server:
            server.until(lambda: all(cameras_of(server)[name]["ledger"]["inferred"] > 0
                                     for name in ("often", "seldom", "udp", "soon", "late", "two")))
            server.until(lambda: cameras_of(server)["often"]["ledger"]["received"] > 5)
            assert cameras_of(server)["seldom"]["ledger"]["received"] == 1
            server.until(lambda: "461" in (cameras_of(server)["tcp"]["reason"] or ""))
            server.until(lambda: cameras_of(server)["soon"]["reconnects"] > 0)
            assert "camera soon is stalled" in server.log() and "camera late is stalled" not in server.log()
            assert cameras_of(server)["late"]["state"] == "live"

            def decoders():
                """FFmpeg's decoder threads inherit the name of the thread that opened the file, or have their own."""
                names = []
                for task in os.listdir(f"/proc/{server.process.pid}/task"):
                    with contextlib.suppress(OSError), open(f"/proc/{server.process.pid}/task/{task}/comm") as file:
                        names.append(file.read().strip())  # unless it has ended
                return sum(name == "open" or name.startswith("av:h264") for name in names)
            server.until(lambda: decoders() >= 2)
    silent.listener.close()


@pytest.mark.sanitize
def test_reloads_touch_changed_cameras_only(program, make_clip, tmp_path):
    clip, path = make_clip(frames=300, rate=25), tmp_path / "cameras.yaml"
    base = f"cameras:\n  - {{name: quiet, url: {clip}}}\n"
    extra = f"  - {{name: %s, url: {clip}, frame_skip: %d}}\n"

    def settle(server, wanted):
        """{name: frame_skip} of the cameras that have to be live."""
        path.write_text(base + "".join(extra % pair for pair in wanted.items()))
        reloads = server.log().count("cameras reloaded")
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: server.log().count("cameras reloaded") > reloads)
        server.until(lambda: set(cameras_of(server)) == {"quiet", "api", *wanted})
        server.until_live("quiet", "api", *wanted)
        return server.log().splitlines()

    def said(lines):
        return [line.split("cameras reloaded: ")[1] for line in lines if "cameras reloaded: " in line]

    path.write_text(base + extra % ("gate", 1))
    with Serving(program, tmp_path, {}, args=("--config", str(path))) as server:
        server.until_live("quiet", "gate")
        camera = {"name": "api", "url": "sim://walk", "frame_skip": 2, "tracker": {"buffer_size": 9}}
        server.json("POST", "/api/v2/cameras", camera, 201)
        for more, named in (({"frame_skip": 0}, "frame_skip: 0; must be a whole number from 1"),
                            ({"frameskip": 2}, "frameskip: unknown key; did you mean frame_skip?"),
                            ({"tracker": {"high_threshold": 0.05}}, "tracker.low_threshold=0.1: not below"),
                            ({"classes": ["dog"]}, 'CLASSES: "dog"'),
                            ({"lines": []}, "lines: not part of this request; send them with PUT")):
            refused = server.json("POST", "/api/v2/cameras", {"name": "x", "url": "sim://walk", **more}, 400)
            assert named in refused["detail"], refused
        server.until(lambda: cameras_of(server)["api"]["ledger"]["skipped"] > 0)
        assert cameras_of(server)["quiet"]["ledger"]["skipped"] == 0
        before = cameras_of(server)["quiet"]["ledger"]["received"]
        settle(server, {"gate": 2})                       # changed
        settle(server, {"gate": 2, "yard": 1})            # added
        settle(server, {"gate": 2, "yard": 1})            # nothing
        lines = settle(server, {"yard": 1})               # removed
        assert said(lines) == ["0 added, 0 removed, 1 changed", "1 added, 0 removed, 0 changed",
                               "0 added, 0 removed, 0 changed", "0 added, 1 removed, 0 changed"]
        # A file that is refused changes nothing.
        path.write_text(base + "  - {name: yard, url: x, frame_skip: 0}\n")
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: f"settings not reloaded: {path}:3:38: cameras[1].frame_skip: 0" in server.log())
        path.write_text(base + "  - {name: yard, url: x, classes: [dog]}\n")
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: 'settings not reloaded: camera yard: CLASSES: "dog"' in server.log())
        after = cameras_of(server)
        assert set(after) == {"quiet", "api", "yard"} and after["yard"]["state"] == "live"
        # The camera that did not change was opened once and went on.
        assert after["quiet"]["reconnects"] == 0 and after["quiet"]["ledger"]["received"] > before
        assert server.log().count("camera quiet is live") == 1
        assert server.get("/api/v2/ledger")["balanced"]


@pytest.mark.sanitize
def test_cameras_of_the_api_are_written_to_the_yaml(spoton, program, make_clip, tmp_path):
    clip, path = make_clip(frames=300, rate=25), tmp_path / "cameras.yaml"
    (tmp_path / "secrets.yaml").write_text(f"clip: {clip}\n")
    text = f"cameras:  # all\n  - name: quiet\n    url: !secret clip  # kept\n\n  - name: gate\n    url: {clip}\n# end\n"
    added = '  - name: api\n    url: sim://walk\n    frame_skip: 2\n    tracker:\n      buffer_size: 9\n# end\n'
    path.write_text(text)
    path.chmod(0o640)
    flags = ("--config", str(path), "--config-write")

    def reload(server):
        reloads = server.log().count("cameras reloaded")
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: server.log().count("cameras reloaded") > reloads)
        return server.log().split("cameras reloaded: ")[-1].splitlines()[0]

    with Serving(program, tmp_path, {"own": "sim://walk", "quiet": clip}, {"STORE": "history"}, flags) as server:
        server.until_live("quiet", "gate", "own")
        camera = {"name": "api", "url": "sim://walk", "frame_skip": 2, "tracker": {"buffer_size": 9}}
        assert server.json("POST", "/api/v2/cameras", camera, 201)["name"] == "api"
        assert path.read_text() == text.replace("# end\n", added) and path.stat().st_mode & 0o777 == 0o640
        server.until_live("api")
        shown = {name: server.json("GET", f"/api/v2/cameras/{name}")["settings"] for name in ("api", "gate")}
        assert shown == {"api": {"frame_skip": 2, "tracker": {"buffer_size": 9}}, "gate": {}}
        assert reload(server) == "0 added, 0 removed, 0 changed"
        assert server.request("DELETE", "/api/v2/cameras/gate")[0] == 204
        changed = path.read_text()
        assert changed == text.replace(f"  - name: gate\n    url: {clip}\n# end\n", added)
        server.until(lambda: set(cameras_of(server)) == {"quiet", "api", "own"})
        assert reload(server) == "0 added, 0 removed, 0 changed"
        # What is refused changes nothing.
        assert "not in" in server.json("DELETE", "/api/v2/cameras/own", status=409)["detail"]
        refused = server.json("DELETE", "/api/v2/cameras/quiet", status=409)["detail"]
        assert f"its URL is not that of {path}; remove it first where it is set: --camera" in refused
        server.json("DELETE", "/api/v2/cameras/none", status=404)
        server.json("POST", "/api/v2/cameras", camera, 409)
        server.json("POST", "/api/v2/cameras", {"name": "x", "url": "sim://walk", "classes": ["dog"]}, 400)
        path.write_text(changed + "sever: {}\n")
        for method, where, body in (("POST", "", {"name": "x", "url": "sim://walk"}), ("DELETE", "/api", None)):
            refused = server.json(method, "/api/v2/cameras" + where, body, 409)
            assert f"{path}:" in refused["detail"] and "unknown key" in refused["detail"], refused
        path.rename(tmp_path / "away.yaml")
        refused = server.json("POST", "/api/v2/cameras", {"name": "x", "url": "sim://walk"}, 503)
        assert f"{path}: cannot be written: No such file" in refused["detail"]
        path.write_text(changed)
        assert reload(server) == "0 added, 0 removed, 0 changed"
        assert set(cameras_of(server)) == {"quiet", "api", "own"} and "in use" not in server.log()
        for name in ("quiet", "api"):
            assert cameras_of(server)[name]["reconnects"] == 0 and server.log().count(f"camera {name} is live") == 1
        assert path.read_text() == changed and sorted(p.name for p in tmp_path.glob("*.yaml*")) == [
            "away.yaml", "cameras.yaml", "secrets.yaml"]
        # The body that no such request has is freed.
        assert server.request("GET", "/api/v2/history/people", "x" * 999)[0] == 200
    done = spoton("serve", *flags, env={"CLUSTER_URL": "nats://127.0.0.1:1"}, expect=2)
    assert len(done.error_lines) == 1 and "--config-write: CLUSTER_URL is set" in done.stderr
    done = spoton("serve", "--config-write", "sim://walk", expect=2)
    assert len(done.error_lines) == 1 and "--config-write: no spoton.yaml was read" in done.stderr


def test_example_is_served(program, tmp_path):
    with Serving(program, tmp_path, {}, args=("--config", str(ROOT / "examples" / "spoton.yaml"))) as server:
        server.until_live("gate", "lobby")
        server.until(lambda: cameras_of(server)["gate"]["ledger"]["skipped"] > 0)
        assert cameras_of(server)["lobby"]["ledger"]["skipped"] == 0
