"""`make deb`: what is in the packages. tests/packages installs them in a clean root."""

import os
import re
import shutil
import subprocess

import pytest

from conftest import ROOT

VERSION = re.search(r"^  version: '([\d.]+)'", (ROOT / "meson.build").read_text(), re.M)[1]


@pytest.fixture(scope="module")
def packages(program, tmp_path_factory):
    if not shutil.which("dh"):
        pytest.skip("no debhelper (./setup package)")
    folder = tmp_path_factory.mktemp("deb")
    done = subprocess.run([ROOT / "tools" / "deb", program.parent, folder], capture_output=True, text=True, timeout=600,
                          env={**os.environ, "SPOTON_DEB_OPTIONS": "-Znone"})
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name.split("_")[0]: path for path in folder.glob("*.deb")}


def files(package):
    listing = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 5) for line in listing.splitlines()]
    assert all(row[1] == "root/root" for row in rows)
    return {row[5].removeprefix("."): row[0] for row in rows if not row[5].endswith("/")}


def field(package, name):
    return subprocess.run(["dpkg-deb", "-f", package, name], capture_output=True, text=True, check=True).stdout.strip()


def extract(package, folder):
    """The control files, and the settings and the unit."""
    folder.mkdir()
    subprocess.run(["dpkg-deb", "-e", package, folder / "DEBIAN"], check=True)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as tar:
        subprocess.run(["tar", "-x", "-C", folder, "./etc", "./lib"], stdin=tar.stdout, check=True)


@pytest.mark.openvino
def test_packages_have_their_files(packages):
    arch = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    assert packages["spoton"].name == f"spoton_{VERSION}_{arch}.deb"
    program, onnxruntime, dev = (files(packages[name]) for name in ("spoton", "spoton-onnxruntime", "spoton-dev"))
    for path in ("/usr/bin/spoton", "/etc/spoton/spoton.yaml", "/lib/systemd/system/spoton.service",
                 "/usr/lib/spoton/engines/spoton-engine-openvino.so", "/usr/lib/spoton/openvino/libopenvino_intel_cpu_plugin.so",
                 "/usr/share/spoton/models/person.onnx", "/usr/share/man/man1/spoton.1.gz",
                 "/usr/share/doc/spoton/copyright", "/usr/share/doc/spoton/runtimes/openvino/LICENSE"):
        assert path in program, path
    # Of OpenVINO the CPU's device and the readers of the accepted formats, nothing else.
    assert {re.sub(r"\.so.*", "", path.split("/")[-1]) for path in program if "/openvino/lib" in path} == {
        "libhwloc", "libopenvino", "libopenvino_c", "libopenvino_intel_cpu_plugin", "libopenvino_ir_frontend",
        "libopenvino_onnx_frontend", "libopenvino_tensorflow_lite_frontend", "libtbb", "libtbbbind_2_5", "libtbbmalloc"}
    assert any(path.startswith("/usr/lib/spoton/onnxruntime/libonnxruntime.so") for path in onnxruntime)
    assert "/usr/include/spoton/engine.h" in dev and "/usr/share/pkgconfig/spoton-engine.pc" in dev
    everything = [path for package in packages.values() for path in files(package)]
    assert len(everything) == len(set(everything)) and not [path for path in everything if "fake" in path]


def test_unit_and_control_name_the_installed_paths(packages, tmp_path):
    extract(packages["spoton"], tmp_path / "tree")
    unit = (tmp_path / "tree/lib/systemd/system/spoton.service").read_text()
    assert "ExecStart=/usr/bin/spoton serve --config /etc/spoton/spoton.yaml" in unit and not re.search(r"@\w+@", unit)
    assert (tmp_path / "tree/DEBIAN/conffiles").read_text().split() == ["/etc/spoton/spoton.yaml"]
    depends = field(packages["spoton"], "Depends")
    assert "libavformat" in depends and "fonts-dejavu-core" in depends and "openvino" not in depends
    # Without its library an output plugin fails, and nothing else does; PostgreSQL's and that of video devices are opened by name.
    recommends = field(packages["spoton"], "Recommends")
    plugins = {re.search(r"spoton-output-(\w+)", path)[1] for path in files(packages["spoton"]) if "spoton-output-" in path}
    libraries = {"mqtt": "libmosquitto1", "redis": "libhiredis", "kafka": "librdkafka1"}
    assert all(libraries[name] in recommends for name in plugins & set(libraries)) and "libpq5" in recommends, recommends
    assert re.search(r"\blibavdevice\d", recommends) and "libavdevice" not in depends
    assert not [name for name in libraries.values() if name in depends]
    assert field(packages["spoton-dev"], "Depends").startswith(("spoton (=", "libspoton0 (="))
    for script in ("postinst", "postrm", "prerm"):
        text = (tmp_path / "tree/DEBIAN" / script).read_text()
        assert subprocess.run(["sh", "-n"], input=text, text=True).returncode == 0
        assert not re.search(r"\b(curl|wget|apt|apt-get|pip)\b", text), f"{script} uses the network"


def test_settings_of_the_package_start_a_server(packages, program, tmp_path):
    extract(packages["spoton"], tmp_path / "tree")
    settings = (tmp_path / "tree/etc/spoton/spoton.yaml").read_text()
    (tmp_path / "spoton.yaml").write_text(settings.replace("port: 3847", "port: 0"))
    server = subprocess.Popen([program, "serve", "--config", tmp_path / "spoton.yaml"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, env={**os.environ, "ENGINE": "fake"})
    try:
        assert server.stdout.readline().startswith("dashboard: http://127.0.0.1:")
    finally:
        server.terminate()
        assert server.wait(60) == 0
        server.stdout.close()


def test_version_without_a_section_is_refused(tmp_path):
    for name in ("tools/deb", "meson.build"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 9.9.9 - 2030-01-01\n")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "spoton").touch()
    done = subprocess.run([tmp_path / "tools" / "deb", tmp_path / "build", tmp_path / "out"], capture_output=True, text=True)
    if not shutil.which("dh"):
        pytest.skip("no debhelper (./setup package)")
    assert done.returncode == 1 and f"CHANGELOG.md: no section '## {VERSION} - DATE'" in done.stderr, done.stderr
