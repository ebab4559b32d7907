"""Shared by the integration tests: the program, and clips with known contents.

The program under test is $SPOTON_BIN (default build/spoton). Synthetic clips show bright rectangles
that move 4 px per frame on a dark background; the fake engine detects exactly those, so the expected
boxes of every frame are known. Tests that need the demo clip or ../shared are skipped, with the reason,
if it is missing. $SPOTON_TEST_SLOWER multiplies the time limits (sanitizers); limits only end hangs, and
are far above what a busy machine needs.
"""

import os
import random
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

from clips import ClipMaker

ROOT = Path(__file__).resolve().parents[2]
SLOWER = float(os.environ.get("SPOTON_TEST_SLOWER", "1"))
SANITIZER_REPORT = re.compile(
    r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|"
    r"Assertion .* failed|ThreadSanitizer: |AddressSanitizer:")

# Settings of the caller's environment must not reach the program under test.
OURS = re.compile(r"^(YOLO_|MODEL_|ENGINE|TRACK_|CAMERA_|FRAME_|BATCH_|STREAM_|VIDEO_|LOG_LEVEL|THREADS|"
                  r"DECODE_|OUTPUT_|PRECISION|SQUARE_|CLASSES|HTTP_|API_|ALLOW_|TLS_|V4L2_|"
                  r"ENVIRONMENTS_|INT8_|MAX_CAMERAS|STALL_|KSERVE_|SNAPSHOT_|NOTIFY_|WATCHDOG_)")


def free_port():
    """A port for a server that is not told to choose its own. It is none of those that the system gives to connections
    and to other listeners, and each worker has its own ones."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    for _ in range(1000):
        port = 10000 + worker * 1000 % 20000 + random.randrange(1000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no free port")


def cpu_seconds(pid):
    """CPU time of a process and its subprocesses; 0 after its end."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        children = [child for task in os.listdir(f"/proc/{pid}/task")
                    for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except OSError:
        return 0
    ticks = sum(int(field) for field in fields[11:15])  # its own, and of subprocesses that have ended
    return ticks / os.sysconf("SC_CLK_TCK") + sum(cpu_seconds(child) for child in children)


class Limit:
    """Detects a hang by the process's CPU time, which other load does not change: a process that waits
    forever uses none."""

    def __init__(self, pid, seconds):
        self.pid, self.seconds = pid, seconds * SLOWER
        self.idle_since, self.used = time.monotonic(), 0
        self.begin = self.idle_since

    def hangs(self):
        now, used = time.monotonic(), cpu_seconds(self.pid)
        if used > self.used + 0.05:
            self.idle_since, self.used = now, used
        return (used > self.seconds * (os.cpu_count() or 1) or now - self.idle_since > self.seconds
                or now - self.begin > 20 * self.seconds)


def clean_environment(tmp, extra=None):
    environment = {key: value for key, value in os.environ.items() if not OURS.match(key)}
    environment["XDG_CACHE_HOME"] = str(ROOT / ".cache" / "tests")
    environment["TMPDIR"] = str(tmp)
    environment.update({key: str(value) for key, value in (extra or {}).items()})
    return environment


class Finished:
    """A finished run of the program."""

    def __init__(self, command, returncode, stdout, stderr):
        self.command, self.returncode = command, returncode
        self.stdout, self.stderr = stdout, stderr

    @property
    def error_lines(self):
        """Error lines: of the log at level ERROR, or printed before the log was open."""
        return [line for line in self.stderr.splitlines()
                if re.search(r"^[-\d]+ [\d:,]+ (- )?\[?ERROR\b", line) or line.startswith("spoton")]

    def __str__(self):
        return (f"$ {' '.join(self.command)}\nexit status {self.returncode}\n"
                f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}")


class Spoton:
    """Runs the program in a folder of its own, by default with the fake engine."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def _start(self, args, env, engine):
        folder = self.folder / "cwd"
        folder.mkdir(exist_ok=True)
        settings = dict(env or {})
        if engine:
            settings.setdefault("ENGINE", engine)
        command = [str(self.program), *[str(word) for word in args]]
        process = subprocess.Popen(
            command, cwd=folder, env=clean_environment(self.folder, settings), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return command, process

    def _finish(self, command, process, timeout):
        limit = Limit(process.pid, timeout)
        while True:
            try:
                stdout, stderr = process.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                if not limit.hangs():
                    continue
            process.kill()
            stdout, stderr = process.communicate()
            pytest.fail(f"hangs, after {limit.used:.1f} s of CPU time\n"
                        + str(Finished(command, "none", stdout, stderr)))
        done = Finished(command, process.returncode, stdout, stderr)
        assert not SANITIZER_REPORT.search(stdout + stderr), str(done)
        # A negative status is a signal: a crash, which no test accepts.
        assert process.returncode >= 0, str(done)
        return done

    def __call__(self, *args, env=None, engine="fake", timeout=60, expect=None):
        """expect: the exit status, or None if the test checks it."""
        command, process = self._start(args, env, engine)
        done = self._finish(command, process, timeout)
        if expect is not None:
            assert done.returncode == expect, str(done)
        return done

    def interrupted(self, *args, when, signal, env=None, engine="fake", timeout=60):
        """Sends `signal` once when() is true."""
        command, process = self._start(args, env, engine)
        limit = Limit(process.pid, timeout)
        while not when() and process.poll() is None and not limit.hangs():
            time.sleep(0.02)
        if process.poll() is None:
            process.send_signal(signal)
        return self._finish(command, process, timeout)


@pytest.fixture(scope="session")
def program():
    path = Path(os.environ.get("SPOTON_BIN", ROOT / "build" / "spoton"))
    assert os.access(path, os.X_OK), f"{path} is missing; run make"
    return path.resolve()


@pytest.fixture
def spoton(program, tmp_path):
    return Spoton(program, tmp_path)


@pytest.fixture(scope="session")
def make_clip(tmp_path_factory):
    return ClipMaker(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def demo_clip():
    done = subprocess.run([ROOT / "tools" / "fetch-demo-clip"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        pytest.skip("no demo clip: " + done.stderr.strip().replace("\n", "; "))
    return ROOT / done.stdout.strip()


@pytest.fixture(scope="session")
def shared():
    path = Path(os.environ.get("SPOTON_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip("no ../shared (set SPOTON_SHARED)")
    return path
