"""Simulated ONVIF cameras: the device and media service over HTTP, and WS-Discovery.

Written from the specifications (ONVIF Core, WS-UsernameToken), not from the program: it verifies digests, clocks and nonces
itself. `Camera(...)` serves until it is closed; `mode` makes it a broken one."""

import base64
import datetime
import hashlib
import http.server
import re
import secrets
import socket
import struct
import threading
import time
import urllib.request
from xml.sax.saxutils import escape

GROUP, PORT = "239.255.255.250", 3702
NAMESPACES = ('xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope" xmlns:tds="http://www.onvif.org/ver10/device/wsdl" '
              'xmlns:trt="http://www.onvif.org/ver10/media/wsdl" xmlns:tt="http://www.onvif.org/ver10/schema" '
              'xmlns:ter="http://www.onvif.org/ver10/error" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
              'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"')
PROFILES = [("main", "H264", 2560, 1440, 25), ("sub", "H264", 704, 576, 12), ("tiny", "JPEG", 320, 240, 5)]


def envelope(body):
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<SOAP-ENV:Envelope {NAMESPACES}><SOAP-ENV:Body>{body}'
            "</SOAP-ENV:Body></SOAP-ENV:Envelope>").encode()


NOT_AUTHORIZED = envelope('<SOAP-ENV:Fault><SOAP-ENV:Code><SOAP-ENV:Value>SOAP-ENV:Sender</SOAP-ENV:Value><SOAP-ENV:Subcode>'
                          "<SOAP-ENV:Value>ter:NotAuthorized</SOAP-ENV:Value></SOAP-ENV:Subcode></SOAP-ENV:Code>"
                          "<SOAP-ENV:Reason><SOAP-ENV:Text>Sender not authorized</SOAP-ENV:Text></SOAP-ENV:Reason>"
                          "</SOAP-ENV:Fault>")


class Camera:
    """mode: None; "http-digest" (asks for HTTP Digest, as some do); "malformed", "huge", "silent", "entities"."""

    def __init__(self, login=("admin", "p&ss:w/rd"), mode=None, clock_ahead_s=0, profiles=PROFILES, sources=1, rtsp=None,
                 name="Front%20door", address="127.0.0.1", discoverable=False):
        self.login, self.mode, self.clock_ahead_s = login, mode, clock_ahead_s
        self.profiles, self.sources, self.name = profiles, sources, name
        self.rtsp = rtsp or f"rtsp://{address}:554/live"
        self.nonces, self.refused, self.requests, self.challenge = set(), [], [], secrets.token_hex(8)
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                camera.answer(self, body)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.server.daemon_threads = True
        self.address, self.port = address, self.server.server_port
        self.url = f"http://{address}:{self.port}/onvif/device_service"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.discovery = Discovery(self) if discoverable else None
        self.closed = threading.Event()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed.set()
        if self.discovery:
            self.discovery.close()
        self.server.shutdown()
        self.server.server_close()

    def now(self):
        return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.clock_ahead_s)

    def token_is_good(self, body):
        """WS-UsernameToken: a digest of the right password, of this minute, with a new nonce."""
        def value(name):
            found = re.search(rf"<(?:\w+:)?{name}(?: [^>]*)?>([^<]*)<", body)
            return found[1] if found else ""
        if not value("Username"):
            return None
        nonce, created = base64.b64decode(value("Nonce")), value("Created")
        digest = hashlib.sha1(nonce + created.encode() + self.login[1].encode()).digest()
        made = datetime.datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
        fresh = abs((self.now() - made).total_seconds()) < 90 and nonce not in self.nonces
        self.nonces.add(nonce)
        good = (value("Username") == escape(self.login[0]) and fresh
                and value("Password") == base64.b64encode(digest).decode())
        if not good:
            self.refused.append(value("Username"))
        return good

    def http_digest_is_good(self, header):
        if not header or not header.startswith("Digest "):
            return None
        fields = urllib.request.parse_keqv_list(urllib.request.parse_http_list(header[7:]))

        def md5(*words):
            return hashlib.md5(":".join(words).encode()).hexdigest()
        secret = md5(self.login[0], "camera", self.login[1])
        answer = md5(secret, fields["nonce"], fields["nc"], fields["cnonce"], fields["qop"], md5("POST", fields["uri"]))
        good = fields["username"] == self.login[0] and fields["nonce"] == self.challenge and fields["response"] == answer
        if not good:
            self.refused.append(fields["username"])
        return good

    def send(self, handler, status, body, headers=()):
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Type", "application/soap+xml")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def challenge_client(self, handler):
        self.send(handler, 401, b"", [("WWW-Authenticate", f'Digest realm="camera", nonce="{self.challenge}", qop="auth"')])

    def answer(self, handler, body):
        found = re.search(r"<(?:\w+:)?Body>\s*<(?:\w+:)?(\w+)", body)
        if not found and self.mode == "http-digest":  # a client that expects the challenge
            self.challenge_client(handler)
            return
        action = found[1]
        self.requests.append((action, body))
        if self.mode == "silent":
            self.closed.wait(60)
            return
        if self.mode == "malformed":
            self.send(handler, 200, b'<?xml version="1.0"?><a><b></a>')
        elif self.mode == "entities":
            self.send(handler, 200, b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 1000 + b'">]><a>' + b"&b;" * 1000 + b"</a>")
        elif self.mode == "huge":
            try:
                self.send(handler, 200, envelope("<tds:Filler>" + "x" * (4 << 20) + "</tds:Filler>"))
            except OSError:  # the client has left
                pass
        elif action == "GetSystemDateAndTime":
            self.send(handler, 200, self.time())
        elif self.login and self.mode == "http-digest":
            if self.http_digest_is_good(handler.headers.get("Authorization")):
                self.send(handler, 200, self.reply(action, body))
            else:
                self.challenge_client(handler)
        elif self.login and not self.token_is_good(body) and action != "GetCapabilities":
            self.send(handler, 400, NOT_AUTHORIZED)
        else:
            self.send(handler, 200, self.reply(action, body))

    def time(self):
        t = self.now()
        return envelope("<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType>"
                        f"<tt:UTCDateTime><tt:Time><tt:Hour>{t.hour}</tt:Hour><tt:Minute>{t.minute}</tt:Minute><tt:Second>"
                        f"{t.second}</tt:Second></tt:Time><tt:Date><tt:Year>{t.year}</tt:Year><tt:Month>{t.month}</tt:Month>"
                        f"<tt:Day>{t.day}</tt:Day></tt:Date></tt:UTCDateTime></tds:SystemDateAndTime>"
                        "</tds:GetSystemDateAndTimeResponse>")

    def reply(self, action, body):
        if action == "GetCapabilities":  # with an address that only the camera itself knows
            return envelope("<tds:GetCapabilitiesResponse><tds:Capabilities><tt:Media><tt:XAddr>"
                            f"http://192.0.2.1:{self.port}/onvif/media</tt:XAddr></tt:Media></tds:Capabilities>"
                            "</tds:GetCapabilitiesResponse>")
        if action == "GetProfiles":
            return envelope("<trt:GetProfilesResponse>" + "".join(
                self.profile(source, *row) for source in range(self.sources) for row in self.profiles)
                + "</trt:GetProfilesResponse>")
        assert action == "GetStreamUri", action
        token = re.search(r"<ProfileToken>([^<]*)<", body)[1]
        assert "<Protocol" in body and ">RTSP<" in body
        return envelope(f"<trt:GetStreamUriResponse><trt:MediaUri><tt:Uri>{escape(self.rtsp)}/{token}?a=1&amp;b=2</tt:Uri>"
                        "</trt:MediaUri></trt:GetStreamUriResponse>")

    @staticmethod
    def profile(source, name, encoding, width, height, rate):
        return (f'<trt:Profiles token="{name}{source}" fixed="true"><tt:Name>{name}</tt:Name>'
                f'<tt:VideoSourceConfiguration token="vsc"><tt:SourceToken>source{source}</tt:SourceToken>'
                '<tt:Bounds x="0" y="0" width="2560" height="1440"/></tt:VideoSourceConfiguration>'
                f'<tt:VideoEncoderConfiguration token="vec"><tt:Encoding>{encoding}</tt:Encoding><tt:Resolution><tt:Width>{width}'
                f'</tt:Width><tt:Height>{height}</tt:Height></tt:Resolution><tt:RateControl><tt:FrameRateLimit>{rate}'
                "</tt:FrameRateLimit></tt:RateControl></tt:VideoEncoderConfiguration></trt:Profiles>")


class Discovery:
    """Answers probes for network video transmitters on the loopback interface."""

    def __init__(self, camera):
        self.camera, self.probes = camera, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((GROUP, PORT))
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                               struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton(camera.address)))
        self.socket.settimeout(0.1)
        self.running = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        self.running = False
        self.thread.join()
        self.socket.close()

    def run(self):
        while self.running:
            try:
                data, sender = self.socket.recvfrom(65536)
            except TimeoutError:
                continue
            request = data.decode()
            if "NetworkVideoTransmitter" not in request:
                continue
            self.probes += 1
            message = re.search(r"MessageID>([^<]*)<", request)[1]
            reply = envelope(
                f"<d:ProbeMatches><wsa:RelatesTo>{message}</wsa:RelatesTo><d:ProbeMatch><wsa:EndpointReference><wsa:Address>"
                f"urn:uuid:{self.camera.challenge}</wsa:Address></wsa:EndpointReference><d:Types>dn:NetworkVideoTransmitter"
                f"</d:Types><d:Scopes>onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/{self.camera.name} "
                f"onvif://www.onvif.org/hardware/X1</d:Scopes><d:XAddrs>http://192.0.2.9/onvif/device_service "
                f"{self.camera.url}</d:XAddrs></d:ProbeMatch></d:ProbeMatches>")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.bind((self.camera.address, 0))
                out.sendto(b"\x00not XML", sender)
                out.sendto(reply, sender)


if __name__ == "__main__":
    with Camera(discoverable=True) as running:
        print(running.url, flush=True)
        time.sleep(3600)
