"""Network cameras with the habits of real ones: passwords of every form, refused logins, odd MJPEG,
redirects to other servers, hosts that hang."""

import base64
import json
import time

import pytest

from checks import read_summary
from odd_camera import OddCamera
from odd_rtsp import OddRtsp
from serving import LIMIT_S, Serving, connect


@pytest.fixture
def serve(program, tmp_path):
    started = []

    def start(cameras, env=None, args=()):
        started.append(Serving(program, tmp_path, cameras, env, args))
        return started[-1]
    yield start
    for serving in started:
        serving.__exit__()


def basic(password):
    return "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()


def stream_for(password):
    def handle(handler):
        if handler.headers.get("Authorization") == basic(password):
            handler.parts()
        else:
            handler.head(401, WWW_Authenticate='Basic realm="camera"')
    return handle


# --- passwords --------------------------------------------------------------------------------

@pytest.mark.parametrize("typed, password", [
    ("p@ss/w:#%1", "p@ss/w:#%1"), ("a?b#c/d e@f", "a?b#c/d e@f"), ("p%40ss%2Fw", "p@ss/w"),
    ("100%", "100%"), ("12345/6", "12345/6"),
])
def test_unescaped_passwords_connect_and_are_not_shown(serve, typed, password):
    with OddCamera({"/live": stream_for(password)}) as camera:
        s = serve({"gate": camera.url("/live", f"admin:{typed}@")}, {"LOG_LEVEL": "debug"},
                  ["--api-token=hidden-token"])
        headers = {"Authorization": "Bearer hidden-token"}
        gate = s.until(lambda: [c for c in s.json("GET", "/api/v2/cameras", headers=headers)[
            "cameras"] if c["state"] == "live"])[0]
        assert gate["url"] == camera.url("/live", "admin:***@")
        shown = (open(f"/proc/{s.process.pid}/cmdline").read() + s.log() + str(gate) +
                 s.request("GET", "/metrics", headers=headers)[2].decode())
        assert typed not in shown and password not in shown
        assert "hidden-token" not in shown


# --- refused logins ---------------------------------------------------------------------------

def states(s):
    return {c["name"]: c["state"] for c in s.get("/api/v2/cameras")["cameras"]}


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_is_not_repeated_for_a_minute(serve, status):
    """Cameras lock out clients after too many wrong logins."""
    def refuse(handler):
        handler.head(status, WWW_Authenticate='Basic realm="camera"')

    with OddCamera({"/live": refuse}) as camera:
        s = serve({"gate": camera.url("/live", "admin:wrong@")})
        s.until(lambda: states(s)["gate"] == "unauthorized")
        asked = len(camera.asked)
        assert 1 <= asked <= 2  # the challenge, and the reply to it
        time.sleep(4)  # a camera that is offline is tried five times in that time
        assert len(camera.asked) == asked
        gate = s.get("/api/v2/cameras/gate")
        assert str(status) in gate["reason"] and "password" in gate["reason"]
        ready = s.request("GET", "/readyz")
        assert ready[0] == 503 and b"unauthorized" in ready[2]
        assert b'spoton_camera_state{camera="gate",state="unauthorized"} 1' in s.request(
            "GET", "/metrics")[2]
        assert s.log().count("gate is unauthorized") == 1
        # One with another password is a new camera, and is tried at once.
        s.request("DELETE", "/api/v2/cameras/gate")
        camera.paths["/live"] = stream_for("right")
        s.json("POST", "/api/v2/cameras",
               {"name": "gate2", "url": camera.url("/live", "admin:right@")}, 201)
        s.until_live("gate2")


# --- cameras that come and go -----------------------------------------------------------------

def test_a_camera_deleted_before_its_first_result_has_no_nameless_messages(serve):
    s = serve({})
    names = []
    with connect(s.ws_url("/api/v2/ws"), max_size=None) as client:
        for number in range(25):
            name = f"c{number}"
            s.json("POST", "/api/v2/cameras", {"name": name, "url": "sim://walk?fps=60"}, 201)
            s.request("DELETE", f"/api/v2/cameras/{name}")
        s.until(lambda: not s.get("/api/v2/cameras")["cameras"])
        s.json("POST", "/api/v2/cameras", {"name": "last", "url": "sim://walk?fps=60"}, 201)
        while "last" not in names:
            message = json.loads(client.recv(LIMIT_S))
            names += [message["camera"]] if "camera" in message else []
    assert "" not in names


# --- MJPEG and still images -------------------------------------------------------------------

@pytest.mark.parametrize("habit", [
    dict(first=False), dict(part_kind="image/jpg"), dict(part_kind="image/jpeg;charset=UTF-8"),
    dict(length=False), dict(mark=b"--other"), dict(kind="application/octet-stream"),
    dict(mark=b"frame", part_kind="Image/JPEG"),
], ids=["nofirst", "jpgtype", "charset", "nolength", "mismatch", "octet", "nodashes"])
def test_odd_mjpeg_is_live_and_timed_by_its_arrival(serve, habit):
    with OddCamera({"/live": lambda handler: handler.parts(**habit)}) as camera:
        s = serve({"gate": camera.url("/live")})
        s.until_live("gate")
        gate = s.until(lambda: [c for c in [s.get("/api/v2/cameras/gate")]
                                if c["ledger"]["inferred"] >= 20])[0]
        assert (gate["width"], gate["height"], gate["codec"]) == (160, 120, "mjpeg")
        assert gate["ledger"]["failed"] == 0 and gate["reconnects"] == 0


def test_jpegs_one_after_the_other(serve):
    def bare(handler):
        handler.close_connection = True
        handler.head(200, "video/x-motion-jpeg", None)
        for number in range(10000):
            handler.wfile.write(handler.server.jpegs[number % 8])
            time.sleep(0.1)

    with OddCamera({"/live": bare}) as camera:
        s = serve({"gate": camera.url("/live")})
        s.until_live("gate")


@pytest.mark.parametrize("path, kind", [("/snap.jpg", "image/jpeg"), ("/snap", "image/jpg"),
                                        ("/snap.cgi", "image/jpeg; charset=utf-8")])
def test_still_image_urls_are_paced(serve, path, kind):
    def still(handler):
        handler.whole(handler.server.jpegs[len(handler.server.asked) % 8], kind)

    with OddCamera({path: still}) as camera:
        begin = time.monotonic()
        s = serve({"gate": camera.url(path)}, {"SNAPSHOT_INTERVAL_MS": "200"})
        s.until_live("gate")
        s.until(lambda: len(camera.asked) >= 22)
        # Never faster than the interval. From before the start on: a busy machine notes single requests late.
        assert camera.asked[21][0] - begin > 19 * 0.19


# --- what an address may open -----------------------------------------------------------------

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"


@pytest.fixture(scope="module")
def segment(make_clip):
    return make_clip("h264", frames=20, extension="ts")


def test_a_playlist_over_http_reads_its_own_server(spoton, segment, tmp_path):
    with OddCamera({}) as camera:
        camera.paths["/seg.ts"] = lambda handler: handler.whole(segment.read_bytes(), "video/mp2t")
        camera.paths["/list.m3u8"] = lambda handler: handler.whole(
            HLS.format("seg.ts").encode(), "application/vnd.apple.mpegurl")
        done = spoton("run", "--camera", "a=" + camera.url("/list.m3u8"), "--out", tmp_path / "o")
        assert done.returncode == 0, str(done)
        assert read_summary(tmp_path / "o")["cameras"][0]["frames_out"] == 20


@pytest.mark.parametrize("target", ["http://127.0.0.1:{port}/seg.ts", "tcp://127.0.0.1:{port}",
                                    "crypto+http://127.0.0.1:{port}/seg.ts", "redirect"])
def test_a_playlist_over_http_opens_no_other_server(spoton, segment, tmp_path, target):
    with OddCamera({}) as inside, OddCamera({}) as camera:
        inside.paths["/seg.ts"] = lambda handler: handler.whole(segment.read_bytes(), "video/mp2t")
        camera.paths["/away.ts"] = lambda handler: handler.head(302, Location=inside.url("/seg.ts"))
        name = "away.ts" if target == "redirect" else target.format(port=inside.port)
        camera.paths["/list.m3u8"] = lambda handler: handler.whole(
            HLS.format(name).encode(), "application/vnd.apple.mpegurl")
        done = spoton("run", "--camera", "a=" + camera.url("/list.m3u8"), "--out", tmp_path / "o")
        assert done.returncode == 1, str(done)
        assert inside.asked == []


@pytest.mark.parametrize("protocol", ["RTP/AVP", "TCP/MP2T"])
def test_a_session_description_over_http_opens_nothing(spoton, tmp_path, protocol):
    sdp = f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 45678 {protocol} 33\n"
    with OddCamera({"/cam": lambda handler: handler.whole(sdp.encode(), "application/sdp")}) as camera:
        done = spoton("run", "--camera", "a=" + camera.url("/cam"), "--out", tmp_path / "o")
    assert done.returncode == 1, str(done)
    assert "it refers to files or addresses that it may not open" in done.stderr


@pytest.mark.parametrize("text", [HLS, "ffconcat version 1.0\nfile '{}'\n"], ids=["hls", "concat"])
def test_a_playlist_in_a_folder_reads_nothing_outside_it(spoton, segment, tmp_path, text):
    outside, folder = tmp_path / "secret.ts", tmp_path / "videos"
    folder.mkdir()
    outside.write_bytes(segment.read_bytes())
    (folder / "inside.ts").write_bytes(segment.read_bytes())
    name = "list.m3u8" if "M3U" in text else "list.ffconcat"
    for target in (outside, "../secret.ts", f"file://{outside}", f"file:{outside}"):
        (folder / name).write_text(text.format(target))
        done = spoton("run", "--camera", f"a={folder / name}", "--out", tmp_path / "o")
        assert done.returncode == 1, str(done)
        assert read_summary(tmp_path / "o")["cameras"][0]["frames_out"] == 0
    if "M3U" in text:
        (folder / name).write_text(text.format("inside.ts"))
        done = spoton("run", "--camera", f"a={folder / name}", "--out", tmp_path / "o")
        assert done.returncode == 0, str(done)


# --- RTSP -------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def recording(make_clip):
    """H.264 whose SPS announces 50 frames per second."""
    return make_clip("h264", frames=40, rate=50, extension="h264", options=(
        "-x264-params", "bframes=0:keyint=10:slices=1:sliced-threads=0"))


def jitter(number, t):
    return t + (number * 7919 % 13 - 6) / 300


@pytest.mark.parametrize("stamp", [
    jitter, lambda number, t: t - 2 if number % 10 == 9 else t,
    lambda number, t: t - 9800 if number % 20 == 15 else t,
    lambda number, t: t + 36000 if number % 20 == 15 else t,
    lambda number, t: t - 36000 if number >= 30 else t,
], ids=["jitters", "back", "far back", "ahead", "set back"])
def test_rtsp_times_and_the_measured_rate(spoton, recording, tmp_path, stamp):
    out = tmp_path / "o"
    with OddRtsp(recording, stamp=stamp) as camera:
        done = spoton("run", "--camera", "a=" + camera.url(), "--limit", "60", "--out", out)
    assert done.returncode == 0, str(done)
    assert read_summary(out)["cameras"][0]["frame_rate"] == 10  # not the 50 of the SPS
    rows = [json.loads(line) for line in (out / "a.jsonl").read_text().splitlines()]
    times = [row["pts_us"] for row in rows if "pts_us" in row]
    assert len(times) == 60 and all(a < b for a, b in zip(times, times[1:]))
    # 59 intervals at 10 frames/s: no outlier shifts it.
    assert 5.7e6 < times[-1] - times[0] < 6.1e6


def test_a_camera_that_refuses_tcp_is_read_over_udp(serve, recording):
    with OddRtsp(recording, refuse=("TCP",)) as camera:
        s = serve({"gate": camera.url()})
        s.until_live("gate")
        assert s.get("/api/v2/cameras/gate")["reconnects"] == 0


def test_the_url_chooses_udp(serve, recording):
    with OddRtsp(recording, refuse=("TCP",)) as camera:
        s = serve({"gate": camera.url("/live?udp")})
        s.until_live("gate")
        assert camera.asked.count("SETUP") == 1


def test_rtsp_passwords_and_refused_logins(serve, recording):
    login = basic("p@ss/w:#%1")
    with OddRtsp(recording, login=login) as other, OddRtsp(recording, login=login) as camera:
        s = serve({"good": other.url(user="admin:p@ss/w:#%1@")})
        s.until_live("good")
        s.json("POST", "/api/v2/cameras", {"name": "bad", "url": camera.url(user="admin:no@")},
               201)
        s.until(lambda: states(s)["bad"] == "unauthorized")
        asked = camera.asked.count("DESCRIBE") + camera.asked.count("OPTIONS")
        time.sleep(3)
        assert camera.asked.count("DESCRIBE") + camera.asked.count("OPTIONS") == asked
        assert "p@ss" not in s.log() and states(s)["good"] == "live"
