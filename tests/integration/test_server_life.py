"""Life cycle of the server: seeks, tasks without viewers, reloads, shutdown."""

import contextlib
import json
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import InvalidStatus

from clips import rectangles
from conftest import SLOWER
from serving import LIMIT_S, STOP_LIMIT_S, Serving, connect, read_parts, upgrade_request

TASKS = "/api/v1/detection-processing-tasks"


@pytest.fixture
def serve(program, tmp_path):
    started = []

    def start(cameras, env=None, args=()):
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Serving(program, folder, cameras, env, args))
        return started[-1]
    yield start
    for serving in started:
        serving.__exit__()


def start_task(server, environment):
    return server.json("POST", TASKS + "/start", {"environment_id": environment}, 202)["task_id"]


def status(server, task):
    return server.get(f"{TASKS}/{task}/status")["status"]


@pytest.mark.sanitize
def test_seek_shows_the_image_that_was_asked_for(serve, make_clip):
    clip = make_clip(frames=300, objects=1, rate=10)
    s = serve({"c01": clip})
    s.until_live("c01")
    task = start_task(s, "campus")
    control = f"/api/v1/controls/{task}"
    with connect(s.ws_url(f"/ws/tracking/{task}")) as ws:
        def next_message():
            return json.loads(ws.recv(LIMIT_S))

        def place():
            return s.get(control + "/status")["last_frame_index"]

        def paused():
            camera = s.get("/api/v2/cameras/c01")
            return camera["state"] == "paused" and camera["ledger"]["in_flight"] == 0

        def paused_behind(target):
            """The place and the tracks; nothing if a busy machine paused later, or dropped the frames of a track."""
            found = s.json("POST", control + "/seek", {"frame_index": target})
            assert (found["state"], found["total_frames"]) == ("playing", 300)
            s.until(lambda: target + 5 <= place() < target + 20)
            s.json("POST", control + "/pause")
            s.until(paused)
            tracks = s.get("/api/v2/cameras/c01/tracks")["tracks"]
            return target + 5 <= place() < target + 20 and tracks and (place(), tracks)
        last = next_message()["global_frame_index"]
        for target in (200, 37, 280):
            # Paused, it shows what stands at this place of the file.
            at, tracks = s.until(lambda: paused_behind(target))
            box = tracks[0]["box"]
            expected = rectangles(at, objects=1)[0]
            assert abs(box[0] - expected[0]) <= 8 and abs(box[2] - expected[2]) <= 8, (at, box)
            # Numbers of frames go on rising, also after a step back.
            message = next_message()
            assert message["global_frame_index"] > last
            last = message["global_frame_index"]
    s.json("POST", control + "/seek", {"frame_index": 300}, 400)
    assert s.get("/api/v2/ledger")["balanced"] is True


def test_tasks_without_viewers_stop(serve):
    """15 s after the start without any viewer, 12 s after the last viewer left. The
    cameras that its task had paused are resumed."""
    never, left = serve({"c01": "sim://walk?fps=5"}), serve({"c01": "sim://walk?fps=5"})
    for s in (never, left):
        s.until_live("c01")
    began = time.monotonic()
    first = start_task(never, "campus")

    def task_and_viewer():
        task = start_task(left, "campus")
        with contextlib.suppress(InvalidStatus):  # it was stopped before a busy machine connected
            return task, connect(left.ws_url(f"/ws/tracking/{task}"))
    second, viewer = left.until(task_and_viewer)
    with viewer as ws:
        ws.recv(LIMIT_S)
        left.json("POST", f"/api/v1/controls/{second}/pause")
        left.until(lambda: left.get("/api/v2/cameras/c01")["state"] == "paused")
        gone = time.monotonic()

    def stopped_after(server, task, begin):
        """The seconds to the first reply that says so; it polls all the time."""
        server.until(lambda: status(server, task) == "STOPPED")
        return time.monotonic() - begin
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(stopped_after, left, second, gone), pool.submit(stopped_after, never, first, began)
    assert waits[0].result() > 11 and waits[1].result() > 14
    left.until(lambda: left.get("/api/v2/cameras/c01")["state"] == "live")
    assert never.get("/api/v2/cameras/c01")["state"] == "live"


class Load:
    """Viewers of all kinds, some of which never read."""

    def __init__(self, server, count=20):
        stream = b"GET /api/v2/cameras/c1/stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        self.sockets = [server.raw(stream if i % 2 else upgrade_request("/api/v2/ws"))
                        for i in range(count)]
        self.threads = [threading.Thread(target=self.read, args=(socket,))
                        for socket in self.sockets[:count * 3 // 4]]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def read(socket):
        try:
            while socket.recv(1 << 16):
                pass
        except OSError:
            pass

    def end(self):
        for socket in self.sockets:
            socket.close()
        for thread in self.threads:
            thread.join()


@pytest.mark.alone
@pytest.mark.sanitize
@pytest.mark.threads
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_in_time_under_load(serve, number):
    cameras = {f"c{i + 1}": f"sim://walk?fps=50&seed={i}" for i in range(4)}
    cameras["gone"] = "sim://offline"
    cameras["slow"] = "sim://walk?latency_ms=600000"
    s = serve(cameras, {"ENGINE_OPTIONS": "delay_us=30000"})
    s.until_live("c1", "c2", "c3", "c4")
    load = Load(s)
    s.until(lambda: s.get("/api/v2/stats")["viewers"] == {"mjpeg": 10, "ws": 10})
    s.until(lambda: s.get("/api/v2/ledger")["total"]["dropped"] > 0)  # it really is too much
    s.stop(number)
    assert s.waited_s < STOP_LIMIT_S
    load.end()


@pytest.mark.alone
@pytest.mark.sanitize
def test_ends_in_time_while_an_engine_is_opened(serve):
    s = serve({"c1": "sim://walk"}, {"ENGINE_OPTIONS": "open_ms=600000"})
    s.until(lambda: s.get("/api/v2/cameras/c1")["ledger"]["dropped"] > 3)
    s.stop()
    assert s.waited_s < STOP_LIMIT_S


def width_of(jpeg):
    at = re.search(rb"\xff[\xc0\xc1\xc2]..\x08..(..)", jpeg, re.S)
    return int.from_bytes(at[1], "big")


@pytest.mark.alone
@pytest.mark.sanitize
def test_reload_under_load(serve, tmp_path):
    env = tmp_path / "env"
    env.write_text("STREAM_MAX_WIDTH=320\n")
    s = serve({"c1": "sim://walk?fps=20"}, args=("--env", str(env)))
    s.until_live("c1")
    load = Load(s, 8)

    def new_viewer_sees():
        with s.raw(b"GET /api/v2/cameras/c1/stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as viewer:
            return width_of(read_parts(viewer, 1)[0])
    with connect(s.ws_url("/api/v2/ws")) as ws:
        numbers = [json.loads(ws.recv(LIMIT_S))["sequence"] for _ in range(5)]
        assert new_viewer_sees() == 320
        env.write_text("STREAM_MAX_WIDTH=160\nFRAME_JPEG_QUALITY=40\n")
        s.process.send_signal(signal.SIGHUP)
        s.until(lambda: new_viewer_sees() == 160)
        assert s.get("/api/v2/settings")["settings"]["STREAM_MAX_WIDTH"] == "160"
        for _ in range(20):  # reloads in a row, beside everything else
            s.process.send_signal(signal.SIGHUP)
            numbers.append(json.loads(ws.recv(LIMIT_S))["sequence"])
        assert numbers == sorted(set(numbers))
    camera = s.get("/api/v2/cameras/c1")
    assert (camera["state"], camera["reconnects"]) == ("live", 0)
    s.stop()
    assert s.waited_s < STOP_LIMIT_S
    load.end()
