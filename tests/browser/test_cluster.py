"""The dashboard of one node of a cluster, with the cameras of another."""

import contextlib
import shutil
import subprocess

import pytest

from real_server import RealServer, free_port

pytestmark = pytest.mark.skipif(not shutil.which("nats-server"), reason="no nats-server: run ./setup test")


@contextlib.contextmanager
def nats_server(folder):
    port = free_port()
    process = subprocess.Popen(["nats-server", "-js", "-sd", str(folder), "-a", "127.0.0.1", "-p", str(port)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"nats://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def node(folder, name, nats, cameras):
    home, port = folder / name, free_port()
    home.mkdir()
    return RealServer(home, cameras, {"CLUSTER_URL": nats, "CLUSTER_NODE": name, "CLUSTER_ADVERTISE": f"http://127.0.0.1:{port}"}, port)


def test_a_node_shows_the_cameras_of_another(tmp_path, make_page):
    with nats_server(tmp_path / "nats") as nats, node(tmp_path, "a", nats, {"gate": "sim://walk?fps=8"}) as a, \
            node(tmp_path, "b", nats, {}) as b:
        a.until(lambda: [c["state"] for c in b.json("/api/v2/cameras")["cameras"]] == ["live"], 60)
        owner = b.json("/api/v2/cameras")["cameras"][0]["node"]
        page = make_page()
        page.open((b if owner == "a" else a).base + "/")
        page.wait("document.querySelector('[data-camera=gate] [data-state=live].state') !== null")
        page.run("""window.frame = () => document.querySelector('[data-camera=gate] canvas').toDataURL(); window.first = null""")
        page.wait("document.querySelector('[data-camera=gate] canvas').width > 300")
        for _ in range(3):
            page.wait("""(() => {const now = frame(), changed = window.first !== null && window.first !== now;
                      window.first = now; return changed})()""")
        # Boxes: the page draws them from the tracks that came with the frame.
        page.run("document.querySelector('[data-camera=gate] [data-do=enlarge]').click()")
        page.wait("document.querySelectorAll('#big-tracks li').length >= 1")
        page.wait("/Node[ab]/.test(document.querySelector('#big-facts').textContent)")
        assert page.errors() == []
