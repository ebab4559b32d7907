"""https and wss, and invalid certificates."""

import http.client
import json
import socket
import ssl
import subprocess
import warnings

import pytest

from conftest import SLOWER
from serving import Serving, connect


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    for name in ("a", "b"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / f"{name}.key",
             "-out", folder / f"{name}.pem"], check=True, capture_output=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", folder / "rsa.key", "-out", folder / "rsa.pem"], check=True, capture_output=True)
    return folder


@pytest.fixture
def server(program, tmp_path, certificates):
    with Serving(program, tmp_path, {"c1": "sim://walk?fps=10"},
                 {"TLS_CERT": certificates / "a.pem", "TLS_KEY": certificates / "a.key",
                  "API_TOKEN": "t"}) as serving:
        yield serving


@pytest.mark.sanitize
@pytest.mark.threads
def test_https_and_wss(server, certificates):
    s = server
    trust = ssl.create_default_context(cafile=certificates / "a.pem")
    connection = http.client.HTTPSConnection("127.0.0.1", s.port, context=trust, timeout=20 * SLOWER)
    connection.request("POST", "/api/v2/login", '{"token": "t"}')
    reply = connection.getresponse()
    reply.read()
    assert reply.status == 204 and "; Secure" in reply.headers["Set-Cookie"]
    # This client reads and writes on two threads, which Python's TLS 1.3 at times answers by losing what is
    # written beside a session ticket; one thread never did.
    older = ssl.create_default_context(cafile=certificates / "a.pem")
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(f"wss://127.0.0.1:{s.port}/api/v2/ws", ssl=older,
                 additional_headers={"Authorization": "Bearer t"}) as ws:
        assert json.loads(ws.recv(20 * SLOWER))["schema"] == 1
    with s.raw(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as plain:
        try:
            assert b" 200 " not in plain.recv(4096)
        except OSError:
            pass  # plain HTTP gets nothing
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()


def handshake(port, version, ciphers=None):
    """The negotiated (protocol, cipher), or None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # OpenSSL would not try the old ones by itself.
    context.set_ciphers((ciphers or "ALL") + ":@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), timeout=20 * SLOWER) as plain:
        try:
            with context.wrap_socket(plain) as client:
                return client.version(), client.cipher()[0]
        except (ssl.SSLError, ConnectionError):
            return None


@pytest.mark.parametrize("kind", ["EC", "RSA"])
def test_only_forward_secrecy(program, tmp_path, certificates, kind):
    name = {"EC": "a", "RSA": "rsa"}[kind]
    sign = {"EC": "ECDSA", "RSA": "RSA"}[kind]
    with Serving(program, tmp_path, {}, {"TLS_CERT": certificates / f"{name}.pem",
                                         "TLS_KEY": certificates / f"{name}.key"}) as s:
        version = ssl.TLSVersion
        for old in (version.TLSv1, version.TLSv1_1):
            assert handshake(s.port, old) is None
        for good in (f"ECDHE-{sign}-AES128-GCM-SHA256", f"ECDHE-{sign}-AES256-GCM-SHA384",
                     f"ECDHE-{sign}-CHACHA20-POLY1305"):
            assert handshake(s.port, version.TLSv1_2, good) == ("TLSv1.2", good)
        for bad in ("AES128-GCM-SHA256", "AES256-SHA", "DHE-RSA-AES128-GCM-SHA256", f"ECDHE-{sign}-AES128-SHA",
                    f"ECDHE-{sign}-AES256-SHA384", "aNULL", "eNULL"):
            assert handshake(s.port, version.TLSv1_2, bad) is None, bad
        assert handshake(s.port, version.TLSv1_3)[0] == "TLSv1.3"


@pytest.mark.sanitize
def test_a_connection_is_kept(server, certificates):
    """A handshake costs more than a hundred requests."""
    trust = ssl.create_default_context(cafile=certificates / "a.pem")
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=trust, timeout=20 * SLOWER)
    connection.connect()
    before = connection.sock
    for _ in range(200):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
    assert connection.sock is before
    with trust.wrap_socket(socket.create_connection(("127.0.0.1", server.port)), server_hostname="127.0.0.1",
                           suppress_ragged_eofs=False) as client:
        request = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        client.sendall((request + b"\r\n") * 20 + request + b"Connection: close\r\n\r\n")
        data = b""
        while more := client.recv(65536):  # an end without a close_notify is an SSLError
            data += more
    assert data.count(b"HTTP/1.1 200 ") == 21


# Not under sanitizers: the library leaks some bytes where it fails to start.
@pytest.mark.parametrize("cert, key, named", [
    ("a.pem", "b.key", "its own key"),
    ("a.key", "a.pem", "a.key with"),
    ("none.pem", "a.key", "none.pem: No such file"),
    ("a.pem", "none.key", "none.key: No such file"),
    (".", "a.key", "TLS_CERT"),
    ("empty", "a.key", "TLS_CERT"),
    ("a.pem", "", "TLS_CERT: set without TLS_KEY"),
])
def test_wrong_tls_files_are_named(spoton, certificates, cert, key, named):
    (certificates / "empty").write_text("")
    done = spoton("serve", "--http-port", "0", "--tls-cert", certificates / cert,
                  *(["--tls-key", certificates / key] if key else []), expect=None)
    assert done.returncode in (1, 2) and named in done.stderr, done.stderr
