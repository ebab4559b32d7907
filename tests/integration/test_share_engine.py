"""Two spotons: one infers for the other (`spoton serve --share-engine`, the kserve engine, spill-over)."""

import http.client
import json
import struct
import threading

import pytest

from conftest import ROOT
from serving import Serving

pytestmark = pytest.mark.sanitize

WIDTH, HEIGHT = 640, 384
PIXELS = WIDTH * HEIGHT


@pytest.fixture
def shared_engine(program, tmp_path):
    """Starts a server that shares the fake engine."""
    opened = []

    def start(cameras=None, name="sharing", **env):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        server = Serving(program, folder, cameras or {}, env=env, args=["--share-engine"])
        opened.append(server)
        server.until(lambda: server.request("GET", "/v2/health/ready")[0] == 200)
        return server
    yield start
    for server in opened:
        server.__exit__()


def url_of(server):
    return f"http://127.0.0.1:{server.port}/v2/models/person"


def request_of(pixels, shape=(1, 3, HEIGHT, WIDTH), datatype="UINT8", binary=True, more=None):
    """(headers, body) of an inference request."""
    head = json.dumps({
        "id": "42",
        "inputs": [{"name": "images", "shape": list(shape), "datatype": datatype,
                    "parameters": {"binary_data_size": len(pixels)}}],
        "outputs": [{"name": "output0", "parameters": {"binary_data": binary}}]}).encode()
    return {"Inference-Header-Content-Length": str(len(head)), **(more or {})}, head + pixels


def infer(server, pixels, **options):
    headers, body = request_of(pixels, **options)
    return server.request("POST", "/v2/models/person/infer", body, headers)


def bright_square():
    """A planar image with one white square of 80 px at 160, 80."""
    row = bytes(160) + b"\xff" * 80 + bytes(WIDTH - 240)
    plane = bytes(WIDTH) * 80 + row * 80 + bytes(WIDTH) * (HEIGHT - 160)
    return plane * 3


def detections(folder):
    return [json.loads(line)["detections"] for line in (folder / "c.jsonl").read_text().splitlines()]


def test_the_remote_engine_gives_the_results_of_the_local_one(shared_engine, spoton, make_clip, tmp_path):
    server = shared_engine()
    words = ["run", "--camera", f"c={make_clip(size=(640, 360))}", "--out"]
    local = spoton(*words, tmp_path / "local", expect=0)
    remote = spoton(*words, tmp_path / "remote", engine="kserve", expect=0,
                    env={"KSERVE_URL": url_of(server), "KSERVE_TIMEOUT_MS": "60000",
                         "YOLO_MODEL_PATH": str(ROOT / "models" / "person.onnx")})
    ours, theirs = detections(tmp_path / "local"), detections(tmp_path / "remote")
    assert sum(map(len, ours)) > 20, str(local)
    assert ours == theirs, str(remote)
    assert server.request("GET", "/metrics")[2].count(b"spoton_shared_inferences_total 3") == 1


def test_the_protocol(shared_engine):
    server = shared_engine()
    assert server.get("/v2")["extensions"] == ["binary_tensor_data"]
    assert server.get("/v2/health/live") == {"live": True}
    assert server.get("/v2/models/person/ready") == {"ready": True}
    model = server.get("/v2/models/person")
    assert model["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [1, 3, HEIGHT, WIDTH]}]
    assert model["outputs"] == [{"name": "output0", "datatype": "FP32", "shape": [1, 5, -1]}]

    status, headers, body = infer(server, bright_square())
    assert status == 200, body
    length = int(headers["Inference-Header-Content-Length"])
    reply = json.loads(body[:length])
    assert reply["id"] == "42" and reply["outputs"][0]["shape"] == [1, 5, 100]
    values = struct.unpack("<500f", body[length:])
    assert [values[i * 100] for i in range(5)] == pytest.approx([200, 120, 80, 80, 0.95])

    status, _, body = infer(server, bright_square(), binary=False)
    assert status == 200 and json.loads(body)["outputs"][0]["data"] == pytest.approx(values)


@pytest.mark.parametrize("options, pixels, status, word", [
    ({"datatype": "FP32"}, PIXELS * 3, 400, "UINT8"),
    ({"shape": (1, 3, 32, 32)}, 32 * 32 * 3, 400, "shape"),
    ({"shape": (2, 3, HEIGHT, WIDTH)}, PIXELS * 6, 400, "shape"),
    ({}, PIXELS * 3 - 1, 400, "differ"),
    ({"more": {"Inference-Header-Content-Length": "x"}}, PIXELS * 3, 400, "Content-Length"),
    ({"more": {"Inference-Header-Content-Length": "99999999"}}, PIXELS * 3, 400, "larger than the body"),
    ({"shape": (8, 3, HEIGHT, WIDTH)}, PIXELS * 24, 413, "65536"),
])
def test_invalid_requests_are_refused(shared_engine, options, pixels, status, word):
    server = shared_engine()
    try:
        found, _, body = infer(server, bytes(pixels), **options)
    except (BrokenPipeError, ConnectionResetError):
        assert status == 413  # refused before the body had arrived
        return
    assert found == status and word in body.decode(), body
    assert infer(server, bright_square())[0] == 200


def test_the_token_guards_the_engine(shared_engine, spoton, make_clip, tmp_path):
    server = shared_engine(API_TOKEN="geheim")
    assert server.request("GET", "/v2/models/person")[0] == 401
    assert infer(server, b"small")[0] == 401
    try:
        assert infer(server, bright_square())[0] == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before the body had arrived
    assert infer(server, bright_square(), more={"Authorization": "Bearer geheim"})[0] == 200
    words = ["run", "--camera", f"c={make_clip(size=(640, 360), frames=3)}", "--out", tmp_path / "out"]
    env = {"KSERVE_URL": url_of(server), "KSERVE_TOKEN": "falsch", "KSERVE_TIMEOUT_MS": "60000"}
    refused = spoton(*words, engine="kserve", env=env)
    assert refused.returncode != 0 and "KSERVE_TOKEN" in refused.stderr, str(refused)
    assert "falsch" not in refused.stderr
    spoton(*words, engine="kserve", env={**env, "KSERVE_TOKEN": "geheim"}, expect=0)


def test_without_the_setting_nothing_is_shared(program, tmp_path):
    with Serving(program, tmp_path, {}) as server:
        status, _, body = server.request("GET", "/v2/models/person")
        assert status == 404 and b"--share-engine" in body


def test_too_many_requests_are_refused_and_own_cameras_go_on(shared_engine):
    server = shared_engine({"own": "sim://still"}, ENGINE_OPTIONS="delay_us=300000", ENGINE_STREAMS="1")
    server.until_live("own")
    replies = []

    def ask():
        status, headers, _ = infer(server, bright_square())
        replies.append((status, headers["Retry-After"]))
    threads = [threading.Thread(target=ask) for _ in range(40)]
    before = server.get("/api/v2/cameras")["cameras"][0]["ledger"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replies) == 40 and set(replies) <= {(200, None), (503, "1")}, replies
    assert (503, "1") in replies
    ledger = server.until(lambda: (found := server.get("/api/v2/cameras")["cameras"][0]["ledger"])["inferred"]
                          > before["inferred"] + 3 and found)
    assert ledger["failed"] == 0


def servers_of(client):
    return client.get("/api/v2/stats")["engine"]["servers"]


def ledger_of(client):
    return client.get("/api/v2/cameras")["cameras"][0]["ledger"]


def test_spill_over_uses_the_server_and_survives_its_death(shared_engine, program, tmp_path):
    """A local engine that is too slow for its cameras; the server is killed and comes back."""
    server = shared_engine()
    env = {"ENGINE_OPTIONS": "delay_us=200000", "ENGINE_STREAMS": "1", "KSERVE_URL": url_of(server),
           "KSERVE_BUDGET_MS": "60000", "KSERVE_TIMEOUT_MS": "10000"}
    cameras = {"a": "sim://still", "b": "sim://still"}
    with Serving(program, tmp_path, cameras, env=env) as client:
        client.until_live("a", "b")
        client.until(lambda: servers_of(client)[0]["requests"] > 20)
        assert servers_of(client)[0]["state"] == "ready"
        server.stop(9, -9)
        client.until(lambda: servers_of(client)[0]["state"] == "failed")
        inferred = ledger_of(client)["inferred"]
        client.until(lambda: ledger_of(client)["inferred"] > inferred + 5)
        metrics = client.request("GET", "/metrics")[2].decode()
        assert f'spoton_inference_server_ready{{server="127.0.0.1:{server.port}/person",state="failed"}} 0' in metrics
        again = shared_engine(name="again", HTTP_PORT=str(server.port))
        client.until(lambda: servers_of(client)[0]["state"] == "ready")
        sent = servers_of(client)[0]["requests"]
        client.until(lambda: servers_of(client)[0]["requests"] > sent + 5)
        assert infer(again, bright_square())[0] == 200
        for camera in client.get("/api/v2/cameras")["cameras"]:
            assert camera["ledger"]["failed"] == 0, client.log()


def test_spill_over_starts_without_its_server(program, tmp_path):
    env = {"KSERVE_URL": "http://127.0.0.1:9/v2/models/person", "KSERVE_TOKEN": "geheim"}
    with Serving(program, tmp_path, {"a": "sim://still"}, env=env) as client:
        client.until_live("a")
        client.until(lambda: servers_of(client) and servers_of(client)[0]["state"] == "failed")
        assert servers_of(client)[0]["error"]
        assert "geheim" not in client.log() + json.dumps(client.get("/api/v2/settings"))
