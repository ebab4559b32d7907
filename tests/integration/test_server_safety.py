"""Broken, slow or hostile clients: the server continues, frees their resources, and its cameras keep
their rate."""

import base64
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest
from websockets.exceptions import InvalidStatus

from conftest import SLOWER, cpu_seconds
from serving import LIMIT_S, Serving, connect, upgrade_request

# Under the sanitizers only what holds connections; requests and frames alone are tried there by
# tests/fuzz/fuzz_server.c.
SIM = "sim://walk?fps=10"


@pytest.fixture
def serve(program, tmp_path):
    started = []

    def start(cameras=None, env=None, args=()):
        started.append(Serving(program, tmp_path, {"c1": SIM} if cameras is None else cameras,
                               env, args))
        return started[-1]
    yield start
    for serving in started:
        serving.__exit__()


def get(path, more="", method="GET"):
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n".encode("latin-1")


def read_all(client, seconds):
    """Data received until the server closes, or until the timeout."""
    end = time.monotonic() + seconds * SLOWER
    data = b""
    try:
        while (left := end - time.monotonic()) > 0:
            client.settimeout(left)
            if not (more := client.recv(65536)):
                break
            data += more
    except (TimeoutError, ConnectionError):
        pass
    client.close()
    return data


def is_complete(data, count):
    """Whether so many replies have arrived; a stream or a WebSocket is one with its head."""
    while count > 0:
        head, end, data = data.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        length = int(length[1]) if length else 0
        if not end or len(data) < length:
            return False
        data, count = data[length:], count - 1
    return True


def receive(client, replies=1, data=b""):
    """All that the server sends up to its end of the connection or so many replies, and what follows them soon."""
    client.settimeout(LIMIT_S)
    try:
        while not is_complete(data, replies):
            if not (more := client.recv(65536)):
                break
            data += more
    except ConnectionError:
        pass
    return data + read_all(client, 0.3)


def exchange(s, data, replies=1):
    return receive(s.raw(data), replies)


def files_of(s):
    return len(os.listdir(f"/proc/{s.process.pid}/fd"))


def frame(opcode, data, final=True, masked=True, length=None):
    """A WebSocket frame (RFC 6455, section 5.2), its mask all zeros."""
    length = len(data) if length is None else length
    first, second = (0x80 if final else 0) | opcode, 0x80 if masked else 0
    if length < 126:
        head = struct.pack(">BB", first, second | length)
    elif length < 65536:
        head = struct.pack(">BBH", first, second | 126, length)
    else:
        head = struct.pack(">BBQ", first, second | 127, length)
    return head + (bytes(4) if masked else b"") + data


def start_task(s):
    return s.json("POST", "/api/v1/detection-processing-tasks/start", {"environment_id": "default"},
                  202)["task_id"]


# --- paths ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def one(program, tmp_path_factory):
    """A server that receives many requests, none of which changes it."""
    with Serving(program, tmp_path_factory.mktemp("one"), {"c1": SIM}) as s:
        s.until_live("c1")
        yield s


@pytest.mark.parametrize("path", [
    "/../../../../etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd",
    "/..\\..\\etc\\passwd", "/%252e%252e/etc/passwd", "/....//....//etc/passwd", "//etc/passwd",
    "/etc/passwd%00.js", "/app.js%00", "/app.js/../none", "/api/v2/cameras/..%2f..%2fsettings",
    "/api/v2/cameras/c1%00/frame.jpg", "/api/v2/cameras/c1/frame.jpg?width=160%00",
    "/%c0%ae%c0%ae/etc/passwd", "/\xff\xfe", "/api/v2/cameras/%ff%fe", "/%", "/%z1", "*",
    "http://127.0.0.1/etc/passwd", "/api/v2/cameras/%0d%0aX-Evil:%20yes", "/a b c"])
def test_paths_lead_nowhere_else(one, path):
    reply = exchange(one, get(path))
    assert b"root:" not in reply and b"X-Evil" not in reply.partition(b"\r\n\r\n")[0]
    assert reply == b"" or re.match(rb"HTTP/1\.[01] 4\d\d ", reply), reply[:200]
    body = reply.partition(b"\r\n\r\n")[2]
    if b"application/json" in reply:
        assert json.loads(body.decode())["detail"]  # valid UTF-8, whatever the path held


def test_a_zero_byte_ends_no_path(one):
    for path in ("/%00", "/healthz%00", "/api/v2/ledger%00", "/app.js%00x", "/api/v2/ledger?a=%00"):
        assert exchange(one, get(path)).startswith(b"HTTP/1.1 400 ")


# --- requests ---------------------------------------------------------------------------------

@pytest.mark.parametrize("data, status", [
    (get("/", "X: " + "a" * 100000 + "\r\n"), 431),
    (get("/", "".join(f"X{i}: y\r\n" for i in range(3000))), 431),
    (get("/" + "a" * 1100), 414),
    (get("/" + "a" * 5000), 414),
    (get("/api/v2/ledger?" + "a=b&" * 1500), 414),
    (get("/api/v2/cameras", "Content-Length: 99999999\r\n", "POST"), 413),
    (get("/api/v2/cameras", "Content-Length: 65537\r\n", "POST") + b"x" * 65537, 413),
    (get("/api/v2/cameras", "Content-Length: 65537\r\n", "POST") + b"x" * 4000000, 413),
    (get("/api/v2/cameras", "Content-Length: -5\r\n", "POST"), 400),
    (get("/api/v2/cameras", "Content-Length: 0x10\r\n", "POST"), 400),
    (get("/api/v2/cameras", "Content-Length: 99999999999999999999\r\n", "POST"), 400),
    (get("/api/v2/cameras", "Content-Length: 5\r\nContent-Length: 6\r\n", "POST") + b"helloo", 400),
    (get("/api/v2/cameras", "Transfer-Encoding: chunked\r\n", "POST") + b"5\r\nhello\r\n0\r\n\r\n",
     411),
    (get("/api/v2/cameras", "Transfer-Encoding: gzip\r\n", "POST"), 411),
    (get("/api/v2/cameras", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "POST"), 400),
    (b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
    (get("/healthz", "Host: 127.0.0.1\r\n"), 400),  # twice
    (b"GET /healthz HTTP/1.1\r\n\r\n", 400),  # without one
    (get("/healthz", "Cookie: " + "a" * 3000 + "\r\n"), 431),
    (get("/healthz", "Expect: a cake\r\n"), 417),
    (get("/%z1"), 400),
    (get("nothing"), 400),
    (get("/none"), 404),
    (get("/healthz", method="PUT"), 405),
    (get("/none", method="PUT"), 404),
    (b"BREW /coffee HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 501),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 501),
    (b"GET /healthz HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n", 505),
    (b"GET /healthz\r\n\r\n", 505),
    (b"GET / HTTP/1.1\r\n: x\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400),
    (b"\x00" * 20000, 400),
])
def test_bad_requests_are_refused(one, data, status):
    reply = exchange(one, data)
    assert reply.startswith(f"HTTP/1.1 {status} ".encode()), reply[:200]
    head, _, body = reply.partition(b"\r\n\r\n")
    assert b"\r\nContent-Type: application/json\r\n" in head and json.loads(body)["detail"]
    assert one.get("/healthz")["status"] == "ok"


def test_line_breaks_are_no_request(one):
    assert exchange(one, b"\r\n" * 2000, 0) == b""
    replies = replies_of(exchange(one, b"\r\n" + get("/healthz") + b"\r\n\r\n" + get("/healthz"), 2))
    assert [status for status, _, _ in replies] == [200, 200]


@pytest.mark.parametrize("data", [b"GET /hea", get("/healthz")[:-2],
                                  get("/api/v2/login", "Content-Length: 14\r\n", "POST") + b"{"])
def test_what_does_not_arrive_is_said(one, data):
    reply = read_all(one.raw(data), 160)
    assert reply.startswith(b"HTTP/1.1 408 ") and json.loads(reply.partition(b"\r\n\r\n")[2])["detail"]


def replies_of(data):
    """[(status, headers, body)] of all replies with a length."""
    replies = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end and head.startswith(b"HTTP/1.1 "), head[:100]
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        status = int(lines[0].split()[1])
        if status == 101 or headers.get("Content-Type", "").startswith("multipart/"):
            replies.append((status, headers, data))
            break
        length = int(headers.get("Content-Length", 0))
        replies.append((status, headers, data[:length]))
        assert len(data) >= length
        data = data[length:]
    return replies


LOGIN = get("/api/v2/login", "Content-Length: 14\r\n", "POST") + b'{"token": "x"}'
FIRST = [(get("/healthz"), [200]), (LOGIN, [204]), (get("/api/v2/cameras/c1/snapshot.jpg"), [200]),
         (get("/api/v2/cameras/c1/stream.mjpg"), [200, None]), (get("/nothing"), [404]),
         (upgrade_request("/api/v2/ws"), [101])]
MORE = {"get": (get("/healthz"), [200]), "post": (LOGIN, [204]),
        "post-and-more": (LOGIN + get("/")[:9], [204]), "posts": (LOGIN * 2, [204, 204]),
        "upgrade": (upgrade_request("/api/v2/ws"), [101]),
        "upgrade-and-more": (upgrade_request("/api/v2/ws?x=y") + LOGIN, [101])}


@pytest.mark.parametrize("first", FIRST, ids=lambda first: first[0].split()[1].decode())
@pytest.mark.parametrize("more", MORE.values(), ids=MORE.keys())
@pytest.mark.sanitize
def test_requests_of_one_packet_are_answered_in_turn(one, first, more):
    """A body in one packet with other requests made libwebsockets 4.1 loop forever. After a stream or a
    WebSocket there is no further request."""
    one.until_live("c1")
    statuses = first[1] + more[1]
    for end in (101, None):
        if end in statuses:
            statuses = statuses[:statuses.index(end) + (end == 101)]
    replies = replies_of(exchange(one, first[0] + more[0], len(statuses)))
    assert [status for status, _, _ in replies] == statuses
    for status, headers, body in replies:
        assert status != 200 or headers["Content-Type"] != "image/jpeg" or body.endswith(b"\xff\xd9")
    with one.raw(first[0]) as client:  # and those of the packet after it
        client.settimeout(LIMIT_S)
        data = client.recv(100)
        client.sendall(more[0])
        data = receive(client, len(statuses), data)
    assert [status for status, _, _ in replies_of(data)] == statuses
    assert one.get("/healthz")["status"] == "ok"


@pytest.mark.sanitize
def test_many_requests_of_one_packet(one):
    """All are answered in order; requests that do not fit the buffers wait."""
    paths = [f"/none-{i}" if i % 3 else "/healthz" for i in range(1500)]
    data, client = b"", one.raw()
    client.settimeout(LIMIT_S)
    sender = threading.Thread(target=client.sendall, args=(b"".join(get(path) for path in paths),))
    sender.start()
    while data.count(b"HTTP/1.1 ") < len(paths) and (more := client.recv(65536)):
        data += more
    sender.join()
    data = receive(client, len(paths), data)
    assert [status for status, _, _ in replies_of(data)] == [404 if i % 3 else 200 for i in range(1500)]


@pytest.mark.sanitize
def test_bytes_that_come_one_by_one(one):
    """For every split of the packet."""
    with one.raw() as client:
        client.settimeout(LIMIT_S)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in LOGIN + get("/healthz"):
            client.sendall(bytes([byte]))
        assert [status for status, _, _ in replies_of(receive(client, 2))] == [204, 200]


@pytest.mark.parametrize("line, more, kept", [
    ("HTTP/1.1", "", True), ("HTTP/1.1", "Connection: close\r\n", False),
    ("HTTP/1.0", "", False), ("HTTP/1.0", "Connection: keep-alive\r\n", True),
    ("HTTP/1.1", "Connection: Keep-Alive\r\n", True)])
def test_a_connection_is_kept_as_asked(one, line, more, kept):
    request = f"GET /healthz {line}\r\nHost: 127.0.0.1\r\n{more}\r\n".encode()
    with one.raw(request) as client:
        client.settimeout(LIMIT_S)
        reply = client.recv(65536)
        assert (b"\r\nConnection: keep-alive\r\n" in reply) == kept
        assert (b"\r\nConnection: close\r\n" in reply) != kept
        if not kept:
            assert client.recv(100) == b""
            return
        client.sendall(request)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("expect", ["100-continue", "100-Continue"])
def test_a_client_may_wait_before_it_sends_the_body(one, expect):
    with one.raw(get("/api/v2/login", f"Content-Length: 14\r\nExpect: {expect}\r\n", "POST")) as client:
        client.settimeout(LIMIT_S)
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b'{"token": "x"}')
        assert client.recv(65536).startswith(b"HTTP/1.1 204 ")


# --- upgrades ---------------------------------------------------------------------------------

H2C = ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
       "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n")


@pytest.mark.parametrize("path, status", [("/healthz", 200), ("/none", 404), ("/api/v2/ws", 404)])
def test_an_upgrade_that_is_not_known_is_answered_in_http_1(one, path, status):
    """RFC 9110, section 7.8: sent by curl --http2 and Java's HttpClient."""
    for protocol in ("h2c", "h3", "spoton", "websocket2", "h2c, foo/1"):
        request = get(path, H2C.replace("h2c", protocol))
        replies = replies_of(exchange(one, request + request, 2))
        assert [reply[0] for reply in replies] == [status, status], protocol
    body = get("/api/v2/login", H2C + "Content-Length: 14\r\n", "POST") + b'{"token": "x"}'
    assert [reply[0] for reply in replies_of(exchange(one, body + get("/healthz"), 2))] == [204, 200]


def test_curl_asks_for_http_2(one):
    curl = shutil.which("curl")
    if not curl:
        pytest.skip("there is no curl")
    url = f"http://127.0.0.1:{one.port}"
    done = subprocess.run([curl, "-sS", "--http2", "-m", str(LIMIT_S), f"{url}/healthz", f"{url}/healthz", "-d",
                           '{"token": "x"}', f"{url}/api/v2/login", "-w", "%{http_code} %{http_version} %{num_connects}\n",
                           "-o", os.devnull, "-o", os.devnull, "-o", os.devnull],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["1.1"] * 3


@pytest.mark.parametrize("change, status", [
    (("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"), 426),
    (("Sec-WebSocket-Key: ", "X-Key: "), 400),
    (("GET ", "POST "), 404),
    (("Connection: Upgrade", "Connection: keep-alive"), 404),
])
def test_a_bad_handshake_is_refused(one, change, status):
    request = upgrade_request("/api/v2/ws").decode().replace(*change).encode()
    reply = replies_of(exchange(one, request))[0]
    assert reply[0] == status and json.loads(reply[2])["detail"]
    assert (reply[1].get("Sec-WebSocket-Version") == "13") == (status == 426)


@pytest.mark.parametrize("name", ["websocket", "WebSocket", "h2c, websocket"])
def test_a_websocket_is_opened(one, name):
    request = upgrade_request("/api/v2/ws?cameras=none").replace(b"websocket", name.encode())
    reply = exchange(one, request)
    # The key "MDEyMzQ1Njc4OWFiY2RlZg==" by RFC 6455, section 4.2.2.
    digest = hashlib.sha1(b"MDEyMzQ1Njc4OWFiY2RlZg==258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    assert reply.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n" in reply


@pytest.mark.parametrize("more", ["Content-Length: 0\r\n", ""])
def test_a_post_without_a_body(one, more):
    reply = exchange(one, get("/api/v2/logout", more, "POST"))
    assert reply.startswith(b"HTTP/1.1 204 ") and b"Content-Length" not in reply


def test_a_connection_has_many_requests(one):
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=LIMIT_S)
    for method, path, body, status in [("GET", "/healthz", None, 200), ("POST", "/api/v2/logout", None, 204),
                                       ("POST", "/api/v2/login", '{"token": "x"}', 204),
                                       ("DELETE", "/api/v2/cameras/none", None, 404),
                                       ("GET", "/healthz", None, 200)]:
        connection.request(method, path, body)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == status, path
        assert connection.sock is not None, "it was closed"


@pytest.mark.parametrize("host", ["evil.example", "127.evil.example", "localhost.evil.example",
                                  "[evil]", "[::1].evil.example", "[", "127.0.0.1.evil.example"])
def test_rebound_names_are_refused(one, host):
    reply = exchange(one, f"GET /api/v2/cameras HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 403 "), reply[:100]
    with pytest.raises(InvalidStatus):
        connect(one.ws_url("/api/v2/ws"), origin=f"http://{host}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:3847", "[::1]:3847", "192.0.2.7"])
def test_own_names_are_served(one, host):
    reply = exchange(one, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.evil.example",
                                    "http://localhost.evil.example", "file://"])
def test_foreign_pages_change_nothing(one, origin):
    for method, path in (("POST", "/api/v2/cameras"), ("DELETE", "/api/v2/cameras/c1"),
                         ("POST", "/api/v2/cameras/c1/pause"),
                         ("POST", "/api/v1/detection-processing-tasks/start")):
        assert one.request(method, path, b"{}", {"Origin": origin})[0] == 403
    status, headers, _ = one.request("GET", "/api/v2/cameras/c1/frame.jpg",
                                     headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Cross-Origin-Resource-Policy"] == "same-site"
    with pytest.raises(InvalidStatus) as refusal:
        connect(one.ws_url("/api/v2/ws"), origin=origin)
    assert refusal.value.response.status_code == 403


def test_the_page_trusts_nothing_but_itself(one):
    headers = one.request("GET", "/")[1]
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


# --- WebSocket --------------------------------------------------------------------------------

def close_code(s, data, path="/api/v2/ws?cameras=none"):
    """The close code of the server after `data`; None: it does not close, "cut": without a code."""
    client = s.raw(upgrade_request(path))
    client.settimeout(LIMIT_S)
    reply = client.recv(4096)
    assert reply.startswith(b"HTTP/1.1 101"), reply
    rest = reply.partition(b"\r\n\r\n")[2]
    try:
        client.sendall(data)
        while more := client.recv(4096):
            rest += more
    except ConnectionError:
        pass
    except TimeoutError:
        return None
    finally:
        client.close()
    at = rest.find(b"\x88")
    return struct.unpack(">H", rest[at + 2:at + 4])[0] if at >= 0 and rest[at + 1] >= 2 else "cut"


@pytest.mark.parametrize("data, codes", [
    (frame(1, b"\xff\xfe"), {1007}),
    (frame(1, b"\xc3", final=False) + frame(0, b"\x28"), {1007}),
    (frame(1, b"x" * 65537), {1009}),
    (b"".join(frame(1 if i == 0 else 0, b"x" * 8000, final=False) for i in range(9)), {1009}),
    (frame(1, b"abc", length=1 << 62), {1009}),
    (frame(1, b"hello", masked=False), {1002}),
    (frame(3, b"reserved"), {1002, "cut"}),
    (frame(0, b"no beginning"), {1002, "cut"}),
    (frame(9, b"p" * 126), {1002, "cut"}),
    (b"\xf1\x80\0\0\0\0", {1002, "cut"}),
])
def test_bad_frames_end_the_connection(one, data, codes):
    assert close_code(one, data) in codes
    assert one.get("/healthz")["status"] == "ok"


@pytest.mark.parametrize("data", [
    frame(1, b"hello"), frame(2, bytes(range(256))), frame(9, b"ping"), frame(10, b"pong"),
    frame(1, b"x" * 65000), b"".join(frame(1, b"x") for _ in range(50)),
    frame(1, b'{"type": ', final=False) + frame(9, b"between") + frame(0, b'"x"}')])
def test_good_frames_do_not(one, data):
    client = one.raw(upgrade_request("/api/v2/ws"))
    client.settimeout(LIMIT_S)
    received, limit = client.recv(4096), time.monotonic() + 60 * SLOWER
    client.sendall(data)
    while received.count(b'"type":"tracks"') < 5 and time.monotonic() < limit:
        received += client.recv(65536)
    assert received.count(b'"type":"tracks"') >= 5
    client.close()


@pytest.mark.sanitize
def test_fragments_are_one_message(serve):
    s = serve()
    s.until_live("c1")
    task = start_task(s)
    with connect(s.ws_url(f"/ws/focus/{task}")) as other:
        client = s.raw(upgrade_request(f"/ws/focus/{task}"))
        assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
        text = '{"type": "set_focus", "person_id": "P7", "person_details": {"note": "\u00e4"}}'.encode()
        client.sendall(b"".join(frame(1 if i == 0 else 0, text[i:i + 1], i + 1 == len(text))
                                for i in range(len(text))))
        payload = json.loads(other.recv(LIMIT_S))["payload"]
        assert (payload["focused_person_id"], payload["person_details"]) == ("P7", {"note": "\u00e4"})
        client.sendall(frame(1, b'{"type": "clear_focus"}'))
        assert json.loads(other.recv(LIMIT_S))["payload"]["is_active"] is False
        client.close()


# --- many of them -----------------------------------------------------------------------------

@pytest.mark.sanitize
@pytest.mark.threads
@pytest.mark.parametrize("end", ["close", "half"])
def test_viewers_of_a_silent_camera_are_seen_to_leave(serve, end):
    s = serve({"off": "sim://offline"})
    paths = ["/api/v2/cameras/off/stream.mjpg", "/api/v1/stream/none/off"]
    viewers = [s.raw(get(path)) for path in paths]
    s.until(lambda: s.get("/api/v2/stats")["viewers"]["mjpeg"] == 2)
    for viewer in viewers:
        viewer.close() if end == "close" else viewer.shutdown(socket.SHUT_WR)
    s.until(lambda: s.get("/api/v2/stats")["viewers"]["mjpeg"] == 0)
    for viewer in viewers:
        viewer.close()


@pytest.mark.sanitize
def test_slow_and_idle_clients_cost_nothing(serve):
    """500 clients that send nothing, or a byte now and then: the camera keeps its rate, others are served,
    and within the request timeout all are disconnected and their resources freed."""
    s = serve({"c1": "sim://walk?fps=20"})
    s.until_live("c1")
    s.get("/api/v2/stats")
    files, memory = files_of(s), s.memory_bytes()

    def cost(seconds=2):
        """CPU time per image: unlike a rate, independent of the load of the machine."""
        begin, at = s.get("/api/v2/cameras/c1")["ledger"], cpu_seconds(s.process.pid)
        time.sleep(seconds)
        s.until(lambda: s.get("/api/v2/cameras/c1")["ledger"]["inferred"] >= begin["inferred"] + 10)
        end = s.get("/api/v2/cameras/c1")["ledger"]
        return (cpu_seconds(s.process.pid) - at) / (end["inferred"] - begin["inferred"])
    before = cost()
    idle = [s.raw() for _ in range(250)]
    slow = [s.raw(get("/")[:20]) for _ in range(150)]
    bodies = [s.raw(get("/api/v2/login", "Content-Length: 1000\r\n", "POST")) for _ in range(100)]
    begin = time.monotonic()
    between = cost()
    assert between < 3 * before + 0.01, (before, between)
    while time.monotonic() - begin < 8:  # a byte a second does not buy more time
        for client in slow + bodies:
            try:
                client.send(b"x")
            except OSError:
                pass
        s.get("/healthz")
        time.sleep(0.5)
    s.until(lambda: files_of(s) <= files + 2, 30)
    assert s.memory_bytes() - memory < (16 << 20 if SLOWER == 1 else 256 << 20)
    for client in idle + slow + bodies:
        client.close()
    assert cost() < 3 * before + 0.01


@pytest.mark.sanitize
@pytest.mark.threads
def test_bad_clients_leave_nothing_behind(serve):
    s = serve()
    s.until_live("c1")

    def round_of_bad_clients():
        for data in (get("/%zz"), get("/")[:10], b"\xff" * 100, get("/" + "a" * 3000),
                     get("/api/v2/cameras", "Content-Length: 50\r\n", "POST") + b"{",
                     get("/api/v2/cameras/c1/stream.mjpg"), upgrade_request("/api/v2/ws"),
                     upgrade_request("/api/v2/ws?format=binary&jpeg=1") + frame(1, b"abc")[:5],
                     upgrade_request("/api/v2/ws") + frame(1, b"\xff"),
                     upgrade_request("/ws/tracking/none")):
            client = s.raw(data)
            if len(data) % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    for _ in range(10):
        round_of_bad_clients()
    s.until(lambda: s.get("/api/v2/stats")["viewers"] == {"mjpeg": 0, "ws": 0}, 30)
    files, memory = files_of(s), s.memory_bytes()
    for _ in range(60):
        round_of_bad_clients()
    s.until(lambda: s.get("/api/v2/stats")["viewers"] == {"mjpeg": 0, "ws": 0}, 30)
    s.until(lambda: files_of(s) <= files + 2, 30)
    # Sanitizers keep freed memory for a while.
    assert s.memory_bytes() - memory < (8 << 20 if SLOWER == 1 else 256 << 20)
    ledger = s.get("/api/v2/ledger")
    assert ledger["balanced"] and ledger["total"]["failed"] == 0


def own_address():
    """A non-loopback address of this machine, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
            address = probe.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith(("127.", "0.")) else address


@pytest.mark.sanitize
def test_connections_of_one_address_are_limited(serve):
    address = own_address()
    if not address:
        pytest.skip("this machine has no address besides loopback")
    s = serve(env={"HTTP_HOST": "0.0.0.0", "API_TOKEN": "t"})
    # Of WebSockets, as a connection without a request is closed after a while.
    silent = upgrade_request("/api/v2/ws?cameras=none", "Authorization: Bearer t\r\n")
    clients = []
    for _ in range(256):
        clients.append(socket.create_connection((address, s.port)))
        clients[-1].sendall(silent)
    for client in clients:
        assert client.recv(100).startswith(b"HTTP/1.1 101 ")
    late = socket.create_connection((address, s.port))
    late.sendall(get("/healthz"))
    assert read_all(late, 80).startswith(b"HTTP/1.1 429 ")
    late = socket.create_connection((address, s.port))
    late.sendall(upgrade_request("/api/v2/ws", "Authorization: Bearer t\r\n"))
    assert read_all(late, 80).startswith(b"HTTP/1.1 429 ")
    assert s.get("/healthz")["status"] == "ok"  # this machine itself is let in
    for client in clients:
        client.close()

    def served():
        with socket.create_connection((address, s.port)) as client:
            client.sendall(get("/healthz"))
            return client.recv(100).startswith(b"HTTP/1.1 200 ")
    s.until(served)


# --- token --------------------------------------------------------------------------------

@pytest.mark.sanitize
def test_a_new_token_ends_old_sessions(serve, tmp_path):
    env = tmp_path / "env"
    env.write_text("API_TOKEN=first\n")
    s = serve(args=("--env", str(env)))
    cookie = s.request("POST", "/api/v2/login", {"token": "first"})[1]["Set-Cookie"].split(";")[0]
    assert s.request("GET", "/api/v2/cameras", headers={"Cookie": cookie})[0] == 200
    env.write_text("API_TOKEN=second\n")
    s.process.send_signal(1)
    s.until(lambda: s.request("GET", "/api/v2/cameras",
                              headers={"Authorization": "Bearer second"})[0] == 200)
    assert s.request("GET", "/api/v2/cameras", headers={"Cookie": cookie})[0] == 401
    for wrong in ("Bearer ", "Bearer", "Basic second", "Bearer secondsecond", "bearer second ",
                  "Bearer secon\xff"):
        assert s.request("GET", "/api/v2/cameras", headers={"Authorization": wrong})[0] == 401
    for wrong in ("spoton_session=", "spoton_session", "=", ";;;", "spoton_session=" + "0" * 64):
        assert s.request("GET", "/api/v2/cameras", headers={"Cookie": wrong})[0] == 401


def login(s, token="t", source="127.0.0.1"):
    connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=LIMIT_S, source_address=(source, 0))
    connection.request("POST", "/api/v2/login", json.dumps({"token": token}))
    reply = connection.getresponse()
    reply.read()
    connection.close()
    return reply.status, reply.headers


@pytest.mark.sanitize
def test_a_logout_ends_its_session_alone(serve):
    s = serve(env={"API_TOKEN": "t"})
    cookies = [login(s)[1]["Set-Cookie"].split(";")[0] for _ in range(2)]
    assert cookies[0] != cookies[1]

    def status(cookie):
        return s.request("GET", "/api/v2/cameras", headers={"Cookie": cookie})[0]
    assert [status(cookie) for cookie in cookies] == [200, 200]
    done = s.request("POST", "/api/v2/logout", headers={"Cookie": cookies[0]})
    assert done[0] == 204 and "Max-Age=0" in done[1]["Set-Cookie"]
    assert [status(cookie) for cookie in cookies] == [401, 200]
    assert s.request("POST", "/api/v2/logout", headers={"Origin": "https://evil.example", "Cookie": cookies[1]})[0] == 403
    assert status(cookies[1]) == 200


@pytest.mark.sanitize
def test_wrong_logins_are_slowed(serve):
    s = serve(env={"API_TOKEN": "a-right-token"})
    results = [login(s, f"guess-{i}") for i in range(30)]
    assert [status for status, _ in results[:10]] == [401] * 10
    assert [status for status, _ in results].count(401) < 30  # one more every 6 s
    late = next(headers for status, headers in results if status == 429)
    assert 1 <= int(late["Retry-After"]) <= 7

    def refused_in_time():
        """The right token before the next one is allowed: else a guess would show."""
        begin = time.monotonic()
        status, headers = login(s, "guess")
        if status != 429:
            return False
        allowed = begin + int(headers["Retry-After"]) - 1
        status, headers = login(s, "a-right-token")
        if time.monotonic() > allowed:
            return False
        assert status == 429 and "Set-Cookie" not in headers
        return True
    s.until(refused_in_time)
    assert login(s, "a-right-token", source="127.0.0.2")[0] == 204
    assert s.request("GET", "/api/v2/cameras", headers={"Authorization": "Bearer a-right-token"})[0] == 200
    assert 1 <= s.log().count("login: ") < 10 and "from 127.0.0.1" in s.log()  # a line a minute
    assert "guess" not in s.log() and "a-right" not in s.log()


def test_the_description_wants_the_token(serve):
    s = serve(env={"API_TOKEN": "t"})
    for path in ("/api/v2/openapi.json", "/openapi.json"):
        assert s.request("GET", path)[0] == 401
        status, headers, data = s.request("GET", path, headers={"Authorization": "Bearer t"})
        assert status == 200 and headers["Content-Type"] == "application/json" and json.loads(data)["openapi"]
    assert s.request("GET", "/")[0] == 200
