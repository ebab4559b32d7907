"""An RTSP camera that loops an H.264 file at any rate and with any timestamps, over TCP or UDP, with
optional authentication."""

import base64
import re
import socket
import threading
import time

CLOCK = 90000
PAYLOAD = 1300


def access_units(data):
    """Lists of NAL units, one list a frame, of an Annex B stream with one slice a frame."""
    units, frames = [u.rstrip(b"\0") for u in re.split(b"\0\0\1", data)[1:]], []
    frame = []
    for unit in units:
        frame.append(unit)
        if unit[0] & 31 in (1, 5):
            frames.append(frame)
            frame = []
    return frames


class OddRtsp:
    """`stamp(i, t)`: the timestamp in seconds of frame i, due at t. `refuse`: transports answered with
    461. `login`: the required Authorization header. `asked`: the methods received."""

    def __init__(self, path, rate=10, stamp=lambda number, t: t, refuse=(), login=None):
        self.frames = access_units(path.read_bytes())
        self.rate, self.stamp, self.refuse, self.login = rate, stamp, refuse, login
        self.asked, self.over = [], threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, tail="/live", user=""):
        return f"rtsp://{user}127.0.0.1:{self.port}{tail}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _play(self, put):
        sequence, number, begin = 1, 0, time.monotonic()
        while not self.over.is_set():
            due = number / self.rate
            stamp = round((1000 + self.stamp(number, due)) * CLOCK) & 0xFFFFFFFF
            units = self.frames[number % len(self.frames)]
            packets = [p for unit in units for p in self._packets(unit)]
            try:
                for i, packet in enumerate(packets):
                    mark = 0x80 if i == len(packets) - 1 else 0
                    put(bytes([0x80, mark | 96]) + (sequence & 0xFFFF).to_bytes(2, "big") +
                        stamp.to_bytes(4, "big") + b"\0\0\0\7" + packet)
                    sequence += 1
            except OSError:
                return
            number += 1
            time.sleep(max(0, begin + number / self.rate - time.monotonic()))

    @staticmethod
    def _packets(unit):
        """RFC 6184: whole, or in fragments (FU-A)."""
        if len(unit) <= PAYLOAD:
            return [unit]
        head, body = unit[0], unit[1:]
        parts = [body[i:i + PAYLOAD] for i in range(0, len(body), PAYLOAD)]
        return [bytes([head & 0xE0 | 28, (0x80 if i == 0 else 0) |
                       (0x40 if i == len(parts) - 1 else 0) | head & 31]) + part
                for i, part in enumerate(parts)]

    def _sdp(self):
        kinds = {unit[0] & 31: base64.b64encode(unit).decode() for unit in self.frames[0]}
        return ("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
                "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;"
                f"sprop-parameter-sets={kinds[7]},{kinds[8]}\r\na=control:track1\r\n")

    def _serve(self, client):
        lock, udp = threading.Lock(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        transport = ""
        stream = client.makefile("rb")

        def answer(request, status, *lines, body=""):
            lines = [f"CSeq: {request.get('cseq', '0')}", *lines]
            if body:
                lines.append(f"Content-Length: {len(body)}")
            with lock:
                client.sendall(("\r\n".join([f"RTSP/1.0 {status}", *lines]) + "\r\n\r\n" + body)
                               .encode())

        def put(packet):
            port = re.search(r"client_port=(\d+)", transport)
            if port:
                udp.sendto(packet, ("127.0.0.1", int(port[1])))
                return
            with lock:
                client.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)

        try:
            while line := stream.readline():
                if line[:1] == b"$":  # RTCP of the client, interleaved
                    head = line + stream.read(max(0, 4 - len(line)))
                    stream.read(int.from_bytes(head[2:4], "big") + 4 - len(head))
                    continue
                method = line.decode(errors="replace").split(" ")[0]
                request = {}
                while (field := stream.readline().strip()):
                    name, _, value = field.decode(errors="replace").partition(":")
                    request[name.lower()] = value.strip()
                self.asked.append(method)
                if self.login and request.get("authorization") != self.login:
                    answer(request, "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"')
                elif method == "OPTIONS":
                    answer(request, "200 OK", "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
                elif method == "DESCRIBE":
                    answer(request, "200 OK", "Content-Type: application/sdp", body=self._sdp())
                elif method == "SETUP":
                    transport = request.get("transport", "")
                    kind = "TCP" if "TCP" in transport else "UDP"
                    if kind in self.refuse:
                        answer(request, "461 Unsupported Transport")
                        continue
                    more = "" if kind == "TCP" else ";server_port=%d-%d" % (
                        udp.getsockname()[1], udp.getsockname()[1] + 1)
                    answer(request, "200 OK", f"Transport: {transport}{more}", "Session: 1")
                elif method == "PLAY":
                    answer(request, "200 OK", "Session: 1")
                    threading.Thread(target=self._play, args=(put,), daemon=True).start()
                else:
                    answer(request, "200 OK", "Session: 1")
        except OSError:
            pass
        finally:
            client.close()
            udp.close()
