"""API v1 in a real browser: a page on another port that calls and draws as SpotOn's front end does, with
`spoton serve`."""

import io
import json
import os
import subprocess

import numpy
import pytest
from PIL import Image

from real_server import RealServer, serve_pages

TASKS = "/api/v1/detection-processing-tasks"


@pytest.fixture(scope="module")
def pages():
    server = serve_pages()
    yield f"http://localhost:{server.server_port}/v1_page.html"
    server.shutdown()
    server.server_close()


def numbered_clip(path, size, frames=60):
    """Frame n shows n in eight blocks, lowest bit first; the engine detects each bright block as a person."""
    raw = b""
    for number in range(1, frames + 1):
        luma = numpy.full((size[1], size[0]), 32, numpy.uint8)
        for bit in range(8):
            luma[64:88, 16 + 36 * bit:40 + 36 * bit] = 235 if number >> bit & 1 else 32
        raw += luma.tobytes() + bytes([128]) * (size[0] * size[1] // 2)
    subprocess.run(["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{size[0]}x{size[1]}",
                    "-r", "8", "-i", "-", "-c:v", "libx264", "-qp", "8", str(path)], input=raw, check=True)
    return path


def number_of(jpeg):
    luma = numpy.asarray(Image.open(io.BytesIO(jpeg)).convert("L"))
    return sum(1 << bit for bit in range(8) if luma[76, 28 + 36 * bit] > 128)


def opened(page, pages, server, environment="campus"):
    page.open(f"{pages}?base={server.base}&environment={environment}")
    page.wait("window.state?.updates > 0")
    return page.run("state.task")


# 4:3 is padded: the blocks stand in the middle then.
@pytest.mark.parametrize("size", [(320, 180), (320, 240)])
def test_the_frame_that_was_sent_is_the_frame_that_is_shown(tmp_path, make_page, pages, size):
    clip = numbered_clip(tmp_path / "clip.mp4", size)
    with RealServer(tmp_path, {"c01": clip}) as server:
        server.until_shown("c01")
        page = make_page()
        task = opened(page, pages, server)
        seen = set()
        for _ in range(4):
            server.json(f"/api/v1/controls/{task}/pause", "POST")
            server.until(lambda: server.settled("c01"))
            newest = number_of(server.bytes("/api/v2/cameras/c01/frame.jpg"))
            number = f"number('c01', {list(size)})"
            page.wait(f"{number} === {newest}")
            late = make_page()  # nothing is sent any more but what it is opened with
            opened(late, pages, server)
            late.wait(f"{number} === {newest}")
            late.open("about:blank")
            seen.add(newest)
            server.json(f"/api/v1/controls/{task}/resume", "POST")
            page.wait(f"![null, {newest}].includes({number})")
        assert len(seen) > 1
        assert page.errors() == []


def test_the_own_interface_shows_the_frame_that_was_sent(tmp_path, make_page, pages):
    clip = numbered_clip(tmp_path / "clip.mp4", (320, 180))
    with RealServer(tmp_path, {"c01": clip}) as server:
        server.until_shown("c01")
        page = make_page()
        opened(page, pages, server)
        page.run(f"document.querySelector('#c01 img').src = '{server.base}/api/v2/cameras/c01/stream.mjpg'")
        for _ in range(3):
            server.json("/api/v2/cameras/c01/pause", "POST")
            server.until(lambda: server.settled("c01"))
            newest = number_of(server.bytes("/api/v2/cameras/c01/frame.jpg"))
            page.wait(f"number('c01', [320, 180]) === {newest}")
            server.json("/api/v2/cameras/c01/resume", "POST")
            page.wait(f"![null, {newest}].includes(number('c01', [320, 180]))")


# The middle of each box is bright, and the area just outside is not.
ON_WHAT_THEY_SHOW = """(() => {
  const view = shown('c01'), scale = view.width / 1920;
  return state.messages.c01.camera_data.tracks.map(({bbox_xyxy: box}) => {
    const [x1, y1, x2, y2] = box.map((value) => value * scale);
    const x = (x1 + x2) / 2, y = (y1 + y2) / 2;
    return view.at(x, y) > 128 && [[x1 - 6, y], [x2 + 5, y], [x, y1 - 6], [x, y2 + 5]].every((at) => view.at(...at) < 90);
  });
})()"""


def test_boxes_lie_on_a_camera_of_another_shape(tmp_path, make_page, pages):
    clip = numbered_clip(tmp_path / "clip.mp4", (320, 240))
    with RealServer(tmp_path, {"c01": clip}) as server:
        server.until_shown("c01")
        page = make_page(1200, 420)
        task = opened(page, pages, server)

        def paused_on_two_people():
            """From frame 48 on two blocks are bright; a busy server may pause later, or drop the frames that make tracks."""
            server.json(f"/api/v1/controls/{task}/seek", "POST", {"frame_index": 50})
            server.until(lambda: server.json(f"/api/v1/controls/{task}/status")["last_frame_index"] >= 54)
            server.json(f"/api/v1/controls/{task}/pause", "POST")
            server.until(lambda: server.settled("c01"))
            return (server.json(f"/api/v1/controls/{task}/status")["last_frame_index"] >= 54 and
                    len(server.json("/api/v2/cameras/c01/tracks")["tracks"]) >= 2)
        server.until(paused_on_two_people)
        newest = number_of(server.bytes("/api/v2/cameras/c01/frame.jpg"))
        page.wait(f"number('c01', [320, 240]) === {newest}")
        sequence = server.json("/api/v2/cameras/c01/tracks")["sequence"]
        page.wait(f"state.messages.c01.global_frame_index === {sequence}")
        if folder := os.environ.get("SPOTON_SCREENSHOTS"):
            page.image(os.path.join(folder, "v1-4x3.png"))
        found = page.run(ON_WHAT_THEY_SHOW)
        assert len(found) >= 2 and all(found), found


FOUR = {name: f"sim://walk?fps=8&seed={i}" for i, name in enumerate(["c01", "c02", "c03", "c05"])}


def test_a_second_tab_takes_over(tmp_path, make_page, pages):
    """Otherwise the second tab would wait: a browser opens six connections to a host, and a tab uses four."""
    with RealServer(tmp_path, FOUR) as server:
        server.until_shown(*FOUR)
        first, stranger = make_page(), make_page()
        task = opened(first, pages, server)
        first.wait("Object.keys(FOUR).every((name) => shown(name))".replace("FOUR", json.dumps(FOUR)))
        second = make_page(context=first.context)
        assert opened(second, pages, server) == task  # it rejoins
        first.wait("state.closed !== null")
        assert first.run("state.closed") == [1000, "New tab connected"]
        second.wait("Object.keys(FOUR).every((name) => shown(name))".replace("FOUR", json.dumps(FOUR)))
        assert second.run("state.closed") is None
        # Another browser is no tab of this one.
        opened(stranger, pages, server)
        stranger.wait("shown('c01')")
        assert second.run("state.closed") is None and stranger.run("state.closed") is None


def test_an_ended_task_ends_the_page(tmp_path, make_page, pages):
    with RealServer(tmp_path, FOUR) as server:
        server.until_shown(*FOUR)
        page = make_page()
        opened(page, pages, server)
        page.wait("shown('c05')")
        server.until(lambda: server.json("/api/v2/stats")["viewers"] == {"mjpeg": 4, "ws": 2})
        server.json(f"{TASKS}/environment/campus/cleanup", "DELETE")
        page.wait("state.closed !== null")
        assert page.run("state.closed") == [1000, "Task ended"]
        server.until(lambda: server.json("/api/v2/stats")["viewers"] == {"mjpeg": 0, "ws": 0})


THUMB = {"global_person_id": "P3", "environment_id": "campus", "camera_id": "c01", "frame_number": 12,
         "decision": "thumbs_up", "confidence": 0.8, "metadata": {}}


def test_every_call_passes_the_browser(tmp_path, make_page, pages):
    """In the page's order; the browser blocks calls that are not allowed to a page of another port."""
    clip = numbered_clip(tmp_path / "clip.mp4", (320, 180))
    with RealServer(tmp_path, {"c01": clip}) as server:
        server.until_shown("c01")
        page = make_page()
        task = opened(page, pages, server)
        page.run(f"state.focus.send(JSON.stringify({{type: 'set_focus', person_id: 'P3', person_details: "
                 f"{{camera_id: 'c01', track_id: 1}}}}))")
        page.wait("state.focused?.focused_person_id === 'P3'")
        page.run("state.focus.send(JSON.stringify({type: 'clear_focus'}))")
        page.wait("state.focused.is_active === false")
        control, feedback = f"/api/v1/controls/{task}", "/api/v1/feedback/reidentification"
        for method, path, body, status in [
                ("GET", control + "/status", None, 200), ("POST", control + "/pause", None, 200),
                ("POST", control + "/resume", None, 200), ("POST", control + "/seek", {"frame_index": 9}, 200),
                ("POST", control + "/seek", {"frame_index": 60}, 400), ("POST", control + "/seek", {}, 422),
                ("GET", "/api/v1/analytics/dashboard?environment_id=campus&window_hours=8760", None, 200),
                ("GET", "/api/v1/analytics/system/statistics", None, 200),
                ("POST", feedback, THUMB, 201), ("GET", feedback + "?limit=50&offset=0", None, 200),
                ("GET", f"{TASKS}/{task}", None, 200), ("GET", "/health/deep", None, 200),
                ("DELETE", f"{TASKS}/environment/campus/cleanup", None, 200),
                ("DELETE", f"{TASKS}/{task}/stop", None, 404)]:
            words = json.dumps([method, path] + ([] if body is None else [body]))
            assert page.run(f"call(...{words}).then((reply) => reply.status)") == status, (method, path)
        made = [tuple(one) for one in page.run("state.calls")]
        assert made[:5] == [("GET", "/health", 200), ("GET", TASKS + "/environments", 200), ("GET", TASKS, 200),
                            ("POST", TASKS + "/start", 202), ("GET", f"{TASKS}/ID/status", 200)]
