"""spoton serve over real HTTP and WebSocket clients: cameras, images, messages, health, limits."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from conftest import ROOT, SLOWER, clean_environment
from serving import LIMIT_S, STOP_LIMIT_S, Serving, connect, read_parts, read_until, upgrade_request

pytestmark = [pytest.mark.sanitize, pytest.mark.threads]
SIM = "sim://walk?fps=10"
STILL = "sim://still?fps=10"  # people who keep their tracks however many frames a busy machine drops


@pytest.fixture
def serve(program, tmp_path):
    started = []

    def start(cameras=None, env=None, args=()):
        if cameras is None:
            cameras = {"c1": SIM, "c2": SIM + "&seed=5"}
        started.append(Serving(program, tmp_path, cameras, env, args))
        return started[-1]
    yield start
    for serving in started:
        serving.__exit__()


def reader_of_docs(language):
    text = (ROOT / "docs" / "API.md").read_text()
    return next(code for code in re.findall(rf"```{language}\n(.*?)```", text, re.S) if re.search("read_?message", code, re.I))


def python_reader():
    scope = {}
    exec(reader_of_docs("python"), scope)
    return scope["read_message"]


@pytest.mark.alone
def test_cameras_come_and_go(serve):
    s = serve({"c1": SIM})
    s.until_live("c1")
    camera = s.get("/api/v2/cameras/c1")
    assert (camera["width"], camera["height"], camera["state"]) == (640, 360, "live")
    ledger = camera["ledger"]
    assert ledger["received"] == sum(v for k, v in ledger.items() if k != "received")
    added = s.json("POST", "/api/v2/cameras", {"name": "c2", "url": "sim://walk"}, 201)
    assert added["name"] == "c2"
    s.json("POST", "/api/v2/cameras", {"name": "c2", "url": "sim://walk"}, 409)
    s.until_live("c1", "c2")
    assert s.json("POST", "/api/v2/cameras/c2/pause")["state"] == "paused"
    s.until(lambda: s.get("/api/v2/cameras/c2")["state"] == "paused")
    s.json("POST", "/api/v2/cameras/c2/resume")
    s.until(lambda: s.get("/api/v2/cameras/c2")["state"] == "live")
    assert s.request("DELETE", "/api/v2/cameras/c2")[0] == 204
    s.until(lambda: [c["name"] for c in s.get("/api/v2/cameras")["cameras"]] == ["c1"])
    s.json("DELETE", "/api/v2/cameras/c2", status=404)
    s.json("POST", "/api/v2/cameras/c2/pause", status=404)
    assert s.get("/api/v2/ledger")["balanced"] is True
    s.stop()
    assert s.waited_s < STOP_LIMIT_S


def test_a_camera_beyond_the_capacity_is_refused(serve, spoton):
    s = serve({"c1": SIM}, env={"MAX_CAMERAS": 2})
    s.json("POST", "/api/v2/cameras", {"name": "c2", "url": "sim://walk"}, 201)
    refused = s.json("POST", "/api/v2/cameras", {"name": "c3", "url": "sim://walk"}, 409)
    assert "MAX_CAMERAS is 2" in json.dumps(refused) and "1 too many" in json.dumps(refused)
    assert s.request("DELETE", "/api/v2/cameras/c2")[0] == 204
    s.until(lambda: len(s.get("/api/v2/cameras")["cameras"]) == 1)
    s.json("POST", "/api/v2/cameras", {"name": "c3", "url": "sim://walk"}, 201)
    done = spoton("serve", "--camera", f"a={SIM}", "--camera", f"b={SIM}", "--http-port", "0",
                  env={"MAX_CAMERAS": 1}, expect=1)
    assert "1 too many" in done.stderr


def test_tracks_and_images(serve):
    s = serve({"c1": STILL})
    s.until_live("c1")
    result = s.until(lambda: len((found := s.get("/api/v2/cameras/c1/tracks"))["tracks"]) == 3 and found)
    assert result["width"] == 640
    for track in result["tracks"]:
        x1, y1, x2, y2 = track["box"]
        assert 0 <= x1 < x2 <= 640 and 0 <= y1 < y2 <= 360 and track["class"] == "person"
    images = {}
    for path in ("frame.jpg", "snapshot.jpg", "frame.jpg?width=160"):
        status, headers, data = s.request("GET", f"/api/v2/cameras/c1/{path}")
        assert (status, headers["Content-Type"]) == (200, "image/jpeg")
        assert data[:3] == b"\xff\xd8\xff" and data[-2:] == b"\xff\xd9"
        images[path] = data
    assert len(images["frame.jpg?width=160"]) < len(images["frame.jpg"])
    assert b"\x00\x5a\x00\xa0" in images["frame.jpg?width=160"][:700]  # 90 lines of 160
    s.get("/api/v2/cameras/unknown/frame.jpg", 404)
    s.get("/api/v2/cameras/c1/frame.jpg?width=5", 400)
    status, _, data = s.request("HEAD", "/api/v2/cameras/c1/frame.jpg")
    assert (status, data) == (200, b"")


def test_mjpeg_is_encoded_only_while_watched_and_once_for_all(serve):
    s = serve({"c1": "sim://walk?fps=2"})  # few, so that viewers who are read late are not let go
    s.until_live("c1")

    def encoded():
        return float(re.search(r"^spoton_jpeg_encoded_total (\S+)$",
                               s.request("GET", "/metrics")[2].decode(), re.M)[1])
    time.sleep(0.5)
    assert encoded() == 0
    viewers = []
    for _ in range(50):
        viewers.append(s.raw(b"GET /api/v2/cameras/c1/stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
    for viewer in viewers:
        for jpeg in read_parts(viewer, 2):
            assert jpeg[:3] == b"\xff\xd8\xff" and jpeg[-2:] == b"\xff\xd9"
    frames = s.get("/api/v2/cameras/c1")["ledger"]["received"]
    assert s.get("/api/v2/stats")["viewers"]["mjpeg"] == 50
    assert 2 <= encoded() <= frames
    for viewer in viewers:
        viewer.close()
    s.until(lambda: s.get("/api/v2/stats")["viewers"]["mjpeg"] == 0)
    before = encoded()
    time.sleep(0.5)
    assert encoded() <= before + 1


def test_json_messages(serve):
    s = serve({"c1": STILL, "c2": STILL + "&seed=5"})
    s.until_live("c1", "c2")
    s.until(lambda: len(s.get("/api/v2/cameras/c2/tracks")["tracks"]) == 3)
    with connect(s.ws_url("/api/v2/ws?cameras=c2")) as ws:
        messages = [json.loads(ws.recv(LIMIT_S)) for _ in range(5)]
    assert {m["camera"] for m in messages} == {"c2"}
    assert [m["sequence"] for m in messages] == sorted({m["sequence"] for m in messages})
    for message in messages:
        assert (message["schema"], message["type"]) == (1, "tracks")
        assert len(message["tracks"]) == 3 and message["tracks"][0][6] == "person"
    with connect(s.ws_url("/api/v2/ws")) as ws:
        seen = set()
        s.until(lambda: seen.add(json.loads(ws.recv(LIMIT_S))["camera"]) or seen == {"c1", "c2"})


def test_binary_messages_say_the_same(serve):
    s = serve({"c1": STILL + "&people=12"})
    s.until_live("c1")
    s.until(lambda: len(s.get("/api/v2/cameras/c1/tracks")["tracks"]) == 12)
    read = python_reader()
    with connect(s.ws_url("/api/v2/ws")) as text, \
            connect(s.ws_url("/api/v2/ws?format=binary")) as binary:
        texts, binaries = {}, {}

        def both_have():
            data = text.recv(LIMIT_S)
            texts[json.loads(data)["sequence"]] = data
            data = binary.recv(LIMIT_S)
            binaries[read(data)["sequence"]] = data
            return sorted(set(texts) & set(binaries))
        s.until(lambda: len(both_have()) > 3)
        both = both_have()
    for number in both:
        a, b = json.loads(texts[number]), read(binaries[number])
        assert len(binaries[number]) * 4 <= len(texts[number].encode())
        assert (a["camera"], a["pts_us"], a["wall_us"], a["inferred"]) == \
            (b["camera"], b["pts_us"], b["wall_us"], b["inferred"])
        assert [t[0] for t in a["tracks"]] == [t["id"] for t in b["tracks"]]
        for mine, theirs in zip(a["tracks"], b["tracks"]):
            assert mine[1:5] == pytest.approx(theirs["box"], abs=640 / 16383 / 2 + 0.01)
            assert mine[5] == pytest.approx(theirs["confidence"], abs=0.003)


@pytest.mark.parametrize("url, whole", [("sim://still?fps=10", True), (SIM, False)])
def test_binary_messages_with_images_read_by_all_readers(serve, tmp_path, url, whole):
    s = serve({"c1": url})
    s.until_live("c1")
    with connect(s.ws_url("/api/v2/ws?format=binary&jpeg=1&width=320"), max_size=None) as ws:
        # The first boxes of a track are the engine's whole pixels; those of people who walk are filtered from then on.
        data = s.until(lambda: len(python_reader()(found := ws.recv(LIMIT_S))["tracks"]) >= 2
                       and bool(found[4] & 16) == whole and found)
    assert data[4] & 2
    message = python_reader()(data)
    assert message["jpeg"][:3] == b"\xff\xd8\xff" and message["jpeg"][-2:] == b"\xff\xd9"
    if not shutil.which("node"):
        pytest.skip("no node: the JavaScript reader was not tried")
    (tmp_path / "message").write_bytes(data)
    (tmp_path / "docs.mjs").write_text(reader_of_docs("javascript") + "\nexport { readMessage };")
    shutil.copy(ROOT / "web" / "wire.js", tmp_path / "page.mjs")
    script = """
import { readFileSync } from "fs";
for (const name of ["docs", "page"]) {
  const { readMessage } = await import(`./${name}.mjs`), b = readFileSync("message");
  const m = readMessage(b.buffer.slice(b.byteOffset, b.byteOffset + b.length));
  console.log(JSON.stringify({ ...m, jpeg: m.jpeg.length }));
}
"""
    (tmp_path / "read.mjs").write_text(script)
    done = subprocess.run(["node", "read.mjs"], cwd=tmp_path, capture_output=True, text=True,
                          check=True)
    docs, page = [json.loads(line) for line in done.stdout.splitlines()]
    for key in ("camera", "sequence", "pts_us", "wall_us", "inferred", "width", "height"):
        assert docs[key] == message[key]
        assert key not in page or page[key] == message[key]
    for theirs in (docs, page):
        assert theirs["jpeg"] == len(message["jpeg"])
        for key in ("id", "confidence", "box"):
            assert [t[key] for t in theirs["tracks"]] == \
                [pytest.approx(t[key]) for t in message["tracks"]]


@pytest.mark.parametrize("query", ["format=xml", "jpeg=1", "format=binary&jpeg=2", "width=0"])
def test_bad_subscriptions_are_refused_before_the_upgrade(serve, query):
    s = serve({"c1": SIM})
    with pytest.raises(InvalidStatus) as refusal:
        connect(s.ws_url("/api/v2/ws?" + query))
    assert refusal.value.response.status_code == 400
    assert "detail" in json.loads(refusal.value.response.body)


def test_slow_clients_delay_no_other_client(serve):
    s = serve({"c1": "sim://walk?fps=100&people=20"})
    s.until_live("c1")
    before = s.memory_bytes()
    sleepers = []
    for i in range(20):
        path = "/api/v2/ws" if i % 2 else "/api/v2/cameras/c1/stream.mjpg"
        request = upgrade_request(path) if i % 2 else \
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        sleeper = socket.socket()
        sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sleeper.connect(("127.0.0.1", s.port))
        sleeper.sendall(request)
        sleepers.append(sleeper)
    with connect(s.ws_url("/api/v2/ws")) as ws:
        numbers = [json.loads(ws.recv(LIMIT_S))["sequence"] for _ in range(200)]
    # A busy machine skips frames, too, but a client that waits for the others' 10 s misses all of these.
    assert max(later - earlier for earlier, later in zip(numbers, numbers[1:])) < 1000 * SLOWER
    assert s.memory_bytes() - before < 64 << 20
    # Those who take nothing are let go after 10 s.
    s.until(lambda: s.get("/api/v2/stats")["viewers"]["mjpeg"] == 0, 25)
    for sleeper in sleepers:
        sleeper.close()


def network_seconds(server):
    """CPU time of the HTTP thread."""
    for task in os.listdir(f"/proc/{server.process.pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{server.process.pid}/task/{task}/stat") as file:  # it may have ended
            name, _, rest = file.read().partition("(")[2].rpartition(")")
            if name == "network":
                return sum(map(int, rest.split()[11:13])) / os.sysconf("SC_CLK_TCK")


def test_viewers_are_throttled_while_late_frames_are_dropped(serve):
    """The engine infers 200 of 400 frames/s; 100 clients per camera would cost more than 2 % of the cores."""
    s = serve({"c1": "sim://walk?fps=400"}, {"ENGINE_OPTIONS": "delay_us=10000"})
    s.until(lambda: "limiting the HTTP thread to 2 % of the CPU" in s.log())
    clients = [s.raw(upgrade_request("/api/v2/ws")) for _ in range(100)]
    for client in clients:
        client.setblocking(False)

    def drain(seconds):
        until, got = time.monotonic() + seconds, [0] * len(clients)
        while time.monotonic() < until:
            for i, client in enumerate(clients):
                with contextlib.suppress(BlockingIOError):
                    got[i] += len(client.recv(1 << 20))
            time.sleep(0.02)
        return got
    drain(1)
    until = time.monotonic() + 120 * SLOWER
    before, at = network_seconds(s), time.monotonic()
    got = drain(3)
    share = (network_seconds(s) - before) / (time.monotonic() - at)
    assert share < 0.02 * os.cpu_count() * 1.25 + 0.01, share
    while min(got) == 0 and time.monotonic() < until:  # every client gets frames, on a busy machine too
        got = [sum(pair) for pair in zip(got, drain(1))]
    assert min(got) > 0
    for client in clients:
        client.close()
    assert s.json("DELETE", "/api/v2/cameras/c1", status=204) is None
    s.until(lambda: "HTTP thread not limited any more" in s.log())


def test_every_file_of_the_pages_is_served(serve):
    s = serve({"c1": SIM})
    for path in (ROOT / "web").iterdir():
        assert s.request("GET", f"/{path.name}")[2] == path.read_bytes(), path.name


def test_health_turns_red(serve):
    s = serve({"c1": "sim://offline"})
    assert s.request("GET", "/healthz")[0] == 200
    ready = s.until(lambda: s.request("GET", "/readyz")[0] == 503 and s.get("/readyz", 503))
    assert "none of 1 cameras delivers frames" in ready["reasons"]
    s.json("POST", "/api/v2/cameras", {"name": "good", "url": SIM}, 201)
    s.until(lambda: s.request("GET", "/readyz")[0] == 200)


METRIC = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-z_]+="[^"\\]*",?)*\})? '
                    r'(NaN|[+-]?Inf|[-+0-9.e]+)$')


def test_metrics_are_well_formed(serve):
    s = serve()
    s.until_live("c1", "c2")
    status, headers, data = s.request("GET", "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    types, helped, buckets, seen = {}, set(), {}, set()
    for line in data.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types
            types[name] = kind
        elif line.startswith("# HELP "):
            helped.add(line.split(" ")[2])
        else:
            found = METRIC.match(line)
            assert found, line
            assert line.rpartition(" ")[0] not in seen
            seen.add(line.rpartition(" ")[0])
            base = re.sub(r"_(bucket|sum|count)$", "", found[1])
            assert found[1] in types or types.get(base) == "histogram", line
            if found[1].endswith("_bucket"):
                labels = re.sub(r',?le="[^"]*"', "", found[2])
                buckets.setdefault(base + "_count" + labels, []).append(float(found[3]))
    assert helped == set(types)
    assert buckets and all(counts == sorted(counts) for counts in buckets.values())
    for name, counts in buckets.items():
        assert f"{name} {counts[-1]:.0f}" in data.decode()


def series(server):
    _, _, data = server.request("GET", "/metrics")
    return [line for line in data.decode().splitlines() if not line.startswith("#")]


def test_metrics_of_64_cameras_are_few(serve):
    s = serve({f"c{i}": "sim://walk?fps=0.5&width=64&height=64" for i in range(64)})

    def complete():
        lines = series(s)
        measured = [line for line in lines if "latency_seconds_count{" in line]
        stages = [line for line in lines if "stage_seconds_count{" in line]
        return len(measured) == 64 and len(stages) >= 6 and lines
    lines = s.until(complete, 60)
    assert 64 * 10 < len(lines) <= 2500
    assert not any("stage_seconds" in line and "camera=" in line for line in lines)


def test_the_start_time_stays(serve):
    s = serve({})
    times = set()
    for _ in range(20):
        times |= {line for line in series(s) if line.startswith("process_start_time_seconds")}
        time.sleep(0.01)
    assert len(times) == 1
    assert abs(float(times.pop().split()[1]) - time.time()) < 60 * SLOWER


def test_requests_do_not_probe_the_engine(serve, tmp_path):
    probes = tmp_path / "probes"
    s = serve({}, {"SPOTON_FAKE_PROBES": str(probes)})
    before = probes.stat().st_size
    assert before > 0
    for _ in range(5):
        assert s.get("/api/v2/stats")["engine"]["device"] == "none"
        s.request("GET", "/metrics")
    assert probes.stat().st_size == before


# --- safety -----------------------------------------------------------------------------------

def test_an_open_address_wants_a_token(spoton):
    done = spoton("serve", "--http-host", "0.0.0.0", "--http-port", "0", expect=1)
    assert "API_TOKEN" in done.stderr


def test_token_and_login(serve):
    s = serve({"c1": SIM}, {"API_TOKEN": "open sesame"})
    assert s.request("GET", "/healthz")[0] == 200 and s.request("GET", "/")[0] == 200
    for path in ("/api/v2/cameras", "/metrics", "/api/v2/settings", "/api/v2/openapi.json",
                 "/api/v2/cameras/c1/stream.mjpg", "/api/v1/detection-processing-tasks"):
        assert s.request("GET", path)[0] == 401, path
        wrong = {"Authorization": "Bearer open sesam"}
        assert s.request("GET", path, headers=wrong)[0] == 401, path
    with pytest.raises(InvalidStatus) as refusal:
        connect(s.ws_url("/api/v2/ws"))
    assert refusal.value.response.status_code == 401
    right = {"Authorization": "Bearer open sesame"}
    settings = s.json("GET", "/api/v2/settings", headers=right)["settings"]
    assert settings["API_TOKEN"] == "***"
    s.json("POST", "/api/v2/login", {"token": "wrong"}, 401)
    status, headers, _ = s.request("POST", "/api/v2/login", {"token": "open sesame"})
    cookie = headers["Set-Cookie"]
    assert status == 204 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert "sesame" not in cookie
    session = {"Cookie": "a=b; " + cookie.partition(";")[0]}
    assert s.request("GET", "/api/v2/cameras", headers=session)[0] == 200
    with connect(s.ws_url("/api/v2/ws"), additional_headers=right) as ws:
        ws.recv(LIMIT_S)
    assert "sesame" not in s.log()


def test_foreign_pages_may_neither_change_nor_watch(serve):
    s = serve({"c1": SIM})
    foreign = {"Origin": "https://evil.example"}
    camera = {"name": "x", "url": "sim://walk"}
    assert s.request("POST", "/api/v2/cameras", camera, foreign)[0] == 403
    assert "Access-Control-Allow-Origin" not in s.request("GET", "/api/v2/cameras",
                                                          headers=foreign)[1]
    with pytest.raises(InvalidStatus):
        connect(s.ws_url("/api/v2/ws"), origin="https://evil.example")
    assert s.request("GET", "/api/v2/cameras", headers={"Host": "evil.example"})[0] == 403
    own = {"Origin": "http://localhost:5173"}
    status, headers, _ = s.request("GET", "/health", headers=own)
    assert status == 200 and headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("url", [
    "/etc/passwd", "file:///etc/passwd", "../outside.mp4", "videos/../../outside.mp4", "link.mp4",
    "ftp://host/x", "concat:/etc/passwd", "pipe:0", "data:text/plain,x", "rtsp://", "http:///x",
    "/dev/video0", "v4l2:///dev/video9", "", "subfile,,start,0,end,0,,:/etc/passwd",
    "rtsp://host/\n"])
def test_urls_that_may_not_come_over_http(serve, tmp_path, url):
    videos = tmp_path / "videos"
    videos.mkdir()
    (tmp_path / "outside.mp4").write_bytes(b"x")
    (videos / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    s = serve({}, {"VIDEO_DIR": str(videos), "V4L2_DEVICES": "/dev/video7"})
    s.json("POST", "/api/v2/cameras", {"name": "x", "url": url}, 400)
    assert s.get("/api/v2/cameras")["cameras"] == []


def test_files_under_the_folder_may(serve, tmp_path, make_clip):
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy(make_clip(frames=20), videos / "clip.mp4")
    s = serve({}, {"VIDEO_DIR": str(videos)})
    s.json("POST", "/api/v2/cameras", {"name": "x", "url": "clip.mp4"}, 201)
    s.until_live("x")


def test_passwords_are_never_shown(serve):
    s = serve({"c1": "rtsp://user:secret1@127.0.0.1:1/x"})
    s.json("POST", "/api/v2/cameras", {"name": "c2", "url": "http://u:secret2@127.0.0.1:1/y"}, 201)
    s.until(lambda: all(c["state"] == "offline" for c in s.get("/api/v2/cameras")["cameras"]))
    for path in ("/api/v2/cameras", "/api/v2/settings", "/metrics", "/readyz", "/api/v2/stats"):
        data = s.request("GET", path)[2]
        assert b"secret" not in data, path
    assert "secret" not in s.log()


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b'"x"', b'{"name": 1, "url": 2}', b'{"name": "x"}',
    b'{"name": "../x", "url": "sim://walk"}', b'{"name": "", "url": "sim://walk"}',
    b'{"name": "\xff\xfe", "url": "sim://walk"}', b'{"name": "a\\u0000b", "url": "sim://walk"}',
    b'{"name": "x", "url": "sim://walk", "name": "y"}', b"[" * 60000,
    b'{"name": "' + b"x" * 200 + b'", "url": "sim://walk"}',
    b'{"name": "x", "url": "http://' + b"h" * 3000 + b'/"}'])
def test_bad_bodies_are_refused(serve, body):
    s = serve({})
    status, _, data = s.request("POST", "/api/v2/cameras", body)
    assert status == 400 and json.loads(data)["detail"]
    assert s.get("/api/v2/cameras")["cameras"] == []


def test_malformed_and_oversized_requests(serve):
    s = serve({"c1": SIM})
    s.until_live("c1")
    for data in (b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n",
                 b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 100000 + b"\r\n\r\n",
                 b"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                 b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                 b"POST /api/v2/cameras HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\n",
                 b"POST /api/v2/cameras HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
                 b"POST /api/v2/cameras HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 9,
                 upgrade_request("/api/v2/nothing")):
        client = s.raw(data)
        client.settimeout(LIMIT_S)
        try:
            reply = client.recv(4096)
        except ConnectionError:
            reply = b""
        assert b"root:" not in reply
        assert reply == b"" or re.match(rb"HTTP/1\.[01] [345]\d\d ", reply), (data[:60], reply[:80])
        client.close()
    assert s.get("/api/v2/cameras")["cameras"][0]["state"] == "live"


def test_websocket_messages_have_a_limit(serve):
    s = serve({"c1": SIM})
    with connect(s.ws_url("/api/v2/ws"), max_size=None) as ws:
        ws.send("x" * 200000)
        with pytest.raises(ConnectionClosed):
            for _ in range(500):
                ws.recv(LIMIT_S)
    s.get("/api/v2/cameras")


def test_idle_connections_and_slow_headers(serve):
    s = serve({"c1": SIM})
    s.until_live("c1")
    idle = [s.raw() for _ in range(250)]
    slow = [s.raw(b"GET / HTTP/1.1\r\nHost: ") for _ in range(250)]
    begin = s.get("/api/v2/cameras/c1")["ledger"]["received"]
    s.until(lambda: s.get("/api/v2/cameras/c1")["ledger"]["received"] > begin + 10)
    for client in slow + idle:
        client.close()
    s.get("/api/v2/cameras")


def test_hangup_reads_the_settings_again(serve, tmp_path):
    env = tmp_path / "env"
    env.write_text("API_TOKEN=first\n")
    s = serve({"c1": SIM}, args=("--env", str(env)))
    assert s.request("GET", "/api/v2/cameras", headers={"Authorization": "Bearer first"})[0] == 200
    env.write_text("API_TOKEN=second\n")
    s.process.send_signal(signal.SIGHUP)
    s.until(lambda: s.request("GET", "/api/v2/cameras",
                              headers={"Authorization": "Bearer second"})[0] == 200)
    env.write_text("API_TOKEN=third\nNONSENSE=1\n")
    s.process.send_signal(signal.SIGHUP)
    s.until(lambda: "settings not reloaded" in s.log())
    assert s.request("GET", "/api/v2/cameras", headers={"Authorization": "Bearer second"})[0] == 200


def test_a_hangup_from_the_first_instruction_on_waits(program, tmp_path):
    def hang_up():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        os.kill(os.getpid(), signal.SIGHUP)  # pending, and so it stays over exec()
    env = clean_environment(tmp_path, {"ENGINE": "fake", "HTTP_PORT": "0"})
    with subprocess.Popen([program, "serve", "--camera", f"c1={SIM}"], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=hang_up) as process:
        try:
            assert process.stdout.readline().startswith("dashboard: ")
            said = ""
            while line := process.stderr.readline():
                said += line
                if "settings reloaded" in said:
                    break
            assert "settings reloaded" in said
        finally:
            process.terminate()


def test_systemd_is_told(serve, tmp_path):
    path = str(tmp_path / "notify")
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(path)
    told = []

    def read():
        """All the time, because the socket holds few messages."""
        while b"STOPPING=1" not in b"".join(told):
            told.append(manager.recv(200))
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    s = serve({}, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})
    s.until(lambda: len(told) >= 2)
    assert told[0].startswith(b"READY=1") and told[1].startswith(b"WATCHDOG=1")
    s.stop()
    reader.join(LIMIT_S)
    assert not reader.is_alive(), told
    manager.close()


def test_a_port_in_use_is_told(serve, spoton):
    s = serve({})
    done = spoton("serve", "--http-port", s.port, expect=1)
    assert f"port {s.port}" in done.stderr and "in use" in done.stderr


def own_addresses(name):
    """The addresses of `name` on which a server can listen."""
    for domain, kind, _, _, address in socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM):
        with socket.socket(domain, kind) as probe:
            try:
                probe.bind(address)
            except OSError:
                continue
        yield domain, address[0]


def test_a_name_is_listened_on_at_every_address(serve, spoton):
    """A browser may use either address of localhost without trying the other."""
    addresses = list(own_addresses("localhost"))
    assert addresses
    s = serve({}, {"HTTP_HOST": "localhost"})
    for domain, address in addresses:
        with socket.socket(domain, socket.SOCK_STREAM) as client:
            client.settimeout(LIMIT_S)
            client.connect((address, s.port))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200 "), address
    for domain, address in addresses:  # taken on one is taken
        with socket.socket(domain, socket.SOCK_STREAM) as other:
            other.bind((address, 0))
            other.listen()
            port = other.getsockname()[1]
            done = spoton("serve", "--http-host", "localhost", "--http-port", port, expect=1)
            assert f"{address} port {port}" in done.stderr and "in use" in done.stderr


def test_an_address_of_version_6(serve):
    if (socket.AF_INET6, "::1") not in list(own_addresses("::1") if socket.has_ipv6 else []):
        pytest.skip("this machine has no ::1")
    s = serve({}, {"HTTP_HOST": "::1"})
    with socket.create_connection(("::1", s.port), timeout=LIMIT_S) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
