"""HTTP cameras with the quirks of real ones: a server on a free loopback port, whose paths a test
registers."""

import http.server
import io
import threading
import time

from PIL import Image

JPEG = "image/jpeg"
MULTIPART = "multipart/x-mixed-replace;boundary=frame"


def jpegs(count=8, size=(160, 120)):
    """Frames that differ, so that no camera is reported as frozen."""
    frames = []
    for number in range(count):
        image = Image.new("RGB", size, (40, 40, 40))
        image.paste((230, 230, 230), (number * 10, 20, number * 10 + 30, 90))
        data = io.BytesIO()
        image.save(data, "JPEG")
        frames.append(data.getvalue())
    return frames


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.asked.append((time.monotonic(), self.path, dict(self.headers)))
        serve = self.server.paths.get(path)
        try:
            if serve:
                serve(self)
            else:
                self.head(404)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def head(self, status, kind=None, length=0, **headers):
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def whole(self, data, kind, **headers):
        self.head(200, kind, len(data), **headers)
        self.wfile.write(data)

    def parts(self, kind=MULTIPART, part_kind=JPEG, mark=b"--frame", first=True, length=True,
              rate=10):
        """An MJPEG stream until the client or the server closes it."""
        self.close_connection = True
        self.head(200, kind, None)
        number = 0
        while not self.server.over.is_set():
            data = self.server.jpegs[number % len(self.server.jpegs)]
            head = mark + b"\r\n" if first or number else b""
            head += b"Content-Type: " + part_kind.encode() + b"\r\n"
            if length:
                head += b"Content-Length: %d\r\n" % len(data)
            self.wfile.write(head + b"\r\n" + data + b"\r\n")
            number += 1
            time.sleep(1 / rate)


class OddCamera(http.server.ThreadingHTTPServer):
    """`paths`: path -> function of the handler; `asked`: (time, path, headers) of each request."""

    daemon_threads = True

    def __init__(self, paths):
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths, self.asked, self.jpegs = paths, [], jpegs()
        self.over = threading.Event()
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, *_):
        pass

    def url(self, path, user=""):
        return f"http://{user}127.0.0.1:{self.port}{path}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.shutdown()
        self.server_close()
