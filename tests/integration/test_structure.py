"""The rules of docs/ARCHITECTURE.md that a program can check: which files may include which, that files
of a room do not depend on each other in circles, how long a file may be, and that every file is built."""

import collections
import re
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT

SRC = ROOT / "src"
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
LINES_MAX = 600

# Values passed between stages: src/NAME.h, src/NAME.c. Besides these, src/ has main.c only.
VALUES = {"capacity", "class_names", "engine_error", "event", "frame", "surface", "detection", "track", "result", "stage",
          "world_position"}
STAGES = {"analytics", "capture", "schedule", "detect", "embed", "engine", "track", "space", "render", "publish", "cluster",
          "output", "store"}
# Which rooms a room may include, besides itself. "" are the values.
ALLOWED = {
    "base": set(),
    "": {"base", "spoton"},
    "config": {"base", "", "spoton"},
    **{stage: {"base", "", "spoton"} for stage in STAGES},
    "eval": {"base", ""},
    "onvif": {"base"},
    "pipeline": {"base", "", "spoton", "config", "eval"} | STAGES,
    "library": {"base", "", "spoton", "config", "pipeline"} | STAGES,
    "api": {"base", "", "spoton", "config", "pipeline"} | STAGES,
    "command": {"base", "", "spoton", "config", "eval", "onvif", "pipeline", "library", "api"} | STAGES,
    "main": {"base", "", "config", "command"},
}
# A stage includes no other stage except for these headers, which become values of src/ once a third
# stage needs them.
EXCEPTIONS = {
    ("publish", "render/draw.h"),  # struct sp_canvas: the image that is encoded
    ("publish", "render/jpeg.h"),  # images are drawn and compressed for viewers, and only then
    ("publish", "render/text.h"),
    ("store", "analytics/analytics.h"),  # stored tracks are counted by the code that counts live ones
    ("store", "analytics/config.h"),
    ("store", "publish/message.h"),  # times and global ids as everywhere in the API
    ("output", "publish/message.h"),  # the schema's number and the format of times
}
# Engines are plugins: they include their runtime and the interface, nothing of the program.
PLUGIN = re.compile(r"^src/engine/(?!loader\.)")
RUNTIMES = re.compile(r"^(openvino/|onnxruntime|cuda|NvInfer)")
WEB = re.compile(r"^libwebsockets|^openssl/(?!evp\.h)|^http_parser|^wslay/")
WEB_FILES = re.compile(r"^src/publish/(server|server_internal|server_listen|connection|feed|http_reply|http_request|ws|mjpeg)\.[ch]$|^src/api/peer_socket\.c$")
# API v1 is separate: one file of the server includes its entry, and no other file any of it.
V1_ENTRY, V1_USER = "api/v1/v1.h", "src/api/api.c"
LIBAV = re.compile(r"^lib(av\w+|sw\w+|postproc)/")
LIBAV_FILES = re.compile(r"^src/(capture/(libav|convert)\w*|publish/(files|mp4)\w*)\.[ch]$")

# Circles that still exist: files (a .c and its .h) that use each other's functions, directly or through
# others. There are none, and none may be added.
CIRCLES = []


def room_of(path):
    """src/capture/source.c: capture; src/frame.h: "" (a value); src/main.c: main."""
    parts = Path(path).parts
    if parts[:2] == ("include", "spoton"):
        return "spoton"
    if len(parts) > 2:
        return parts[1]
    stem = Path(path).stem
    return "main" if stem == "main" else ""


def included_room(name):
    parts = Path(name).parts
    if len(parts) == 1:
        return "" if Path(name).stem in VALUES else None
    return parts[0] if parts[0] in ALLOWED or parts[0] == "spoton" else None


def violations(path, text):
    """The forbidden includes of the file `path` with the content `text`."""
    room, wrong = room_of(path), []
    for bracket, name in INCLUDE.findall(text):
        if LIBAV.match(name):
            if not LIBAV_FILES.match(path):
                wrong.append(f"{path} includes FFmpeg ({name}); only capture/libav*.c, capture/convert*"
                             ", publish/files*.c and publish/mp4*.c may")
            continue
        if WEB.match(name) and not WEB_FILES.match(path):
            wrong.append(f"{path} includes libwebsockets ({name}); only the network's files may")
        if RUNTIMES.match(name) and not PLUGIN.match(path):
            wrong.append(f"{path} includes a model runtime ({name}); only engine plugins may")
        if bracket == "<":
            continue
        if room == "spoton":
            if not name.startswith("spoton/"):
                wrong.append(f"{path} is installed, but includes {name}, which is not")
            continue
        if name.startswith("api/v1/") and not path.startswith("src/api/v1/") and \
                (name, path) != (V1_ENTRY, V1_USER):
            wrong.append(f"{path} includes API v1 ({name}); only {V1_USER} may, by {V1_ENTRY}")
            continue
        target = included_room(name)
        if PLUGIN.match(path):
            if name != "spoton/engine.h" and (SRC / name).exists() and \
                    not PLUGIN.match(f"src/{name}"):
                wrong.append(f"{path} is a plugin, but includes {name} of the program")
            continue
        if target is None:
            wrong.append(f"{path} includes {name}, which is in no room "
                         "(write it as ROOM/FILE.h)")
        elif target != room and target not in ALLOWED.get(room, set()) and \
                (room, name) not in EXCEPTIONS:
            wrong.append(f"{path} ({room or 'a value'}) may not include {name}")
    return wrong


def c_files():
    return sorted(str(path.relative_to(ROOT)) for folder in (SRC, ROOT / "include")
                  for path in folder.rglob("*.[ch]"))


def test_rooms_are_known():
    rooms = {path.name for path in SRC.iterdir() if path.is_dir()}
    assert rooms <= set(ALLOWED), "a new room: add to ALLOWED, and to docs/ARCHITECTURE.md, which rooms it may include"
    for path in SRC.glob("*.[ch]"):
        assert path.stem in VALUES | {"main"}, f"{path.name} is in no room"


def test_includes_keep_to_the_architecture():
    wrong = [line for path in c_files() for line in violations(path, (ROOT / path).read_text())]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("path, text", [
    ("src/base/queue.c", '#include "frame.h"'),
    ("src/frame.h", '#include "capture/source.h"'),
    ("src/track/bytetrack.c", '#include "detect/head.h"'),
    ("src/detect/head.c", '#include "config/settings.h"'),
    ("src/capture/source.c", '#include "render/text.h"'),
    ("src/api/api.c", "#include <libwebsockets.h>"),
    ("src/pipeline/tracking_worker.c", '#include "api/api.h"'),
    ("src/config/table.c", '#include "engine/loader.h"'),
    ("src/library/pipeline.c", '#include "command/command.h"'),
    ("include/spoton/spoton.h", '#include "base/error.h"'),
    ("src/pipeline/tracking_worker.c", '#include "command/command.h"'),
    ("src/capture/order.c", "#include <libavcodec/avcodec.h>"),
    ("src/command/run.c", "  #  include <libavutil/frame.h>"),
    ("src/detect/model.c", "#include <openvino/c/openvino.h>"),
    ("src/engine/openvino.c", '#include "base/error.h"'),
    ("src/capture/source.c", '#include "nowhere.h"'),
    ("include/spoton/engine.h", '#include "base/error.h"'),
    ("src/api/api.c", '#include "api/v1/internal.h"'),
    ("src/api/health.c", '#include "api/v1/v1.h"'),
])
def test_each_rule_can_be_broken(path, text):
    assert len(violations(path, text)) == 1


@pytest.mark.parametrize("path, text", [
    ("src/capture/libav.c", '#include "capture/source.h"\n#include <libavformat/avformat.h>'),
    ("src/publish/mp4.c", '#include "render/draw.h"\n#include <libavcodec/avcodec.h>'),
    ("include/spoton/device.h", '#include "spoton/engine.h"'),
    ("src/engine/openvino.c", '#include "spoton/engine.h"\n#include <openvino/c/openvino.h>'),
    ("src/pipeline/tracking_worker.c", '#include "track/bytetrack.h"\n#include "stage.h"'),
    ("src/main.c", '#include "command/command.h"\n#include <stdio.h>'),
    ("src/api/api.c", '#include "api/v1/v1.h"'),
    ("src/api/v1/tasks.c", '#include "api/internal.h"\n#include "api/v1/internal.h"'),
])
def test_what_is_allowed_is_allowed(path, text):
    assert violations(path, text) == []


def circles(uses):
    """The strongly connected components of more than one node of {node: nodes that it uses}."""
    def reached(start):
        seen, left = set(), [start]
        while left:
            for node in uses.get(left.pop(), ()):
                if node not in seen:
                    seen.add(node)
                    left.append(node)
        return seen
    after = {node: reached(node) for node in uses}
    found = {frozenset(other for other in after[node] if node in after.get(other, ())) for node in uses}
    return sorted((sorted(circle) for circle in found if len(circle) > 1))


def read_uses(symbols):
    """{file: files of its room whose functions or data it uses}, from {file: [(symbol, kind of nm)]}."""
    owner = {name: path for path, rows in symbols.items() for name, kind in rows if kind in "TDRBC"}
    uses = collections.defaultdict(set)
    for path, rows in symbols.items():
        used = {owner[name] for name, kind in rows if kind == "U" and name in owner}
        uses[path] = {other for other in used - {path} if room_of(other) == room_of(path)}
    return uses


def read_symbols(program):
    """{file in src/: [(symbol, kind)]} of the built objects, whose names have _ for /."""
    objects = {path.removeprefix("src/").replace("/", "_") + ".o": path for path in c_files()}
    folder = program.parent / "src" / "libspoton-core.a.p"
    if not folder.is_dir():
        pytest.skip(f"no object files beside {program}")
    there = [name for name in objects if (folder / name).exists()]
    text = subprocess.run(["nm", "-P", "-A", *there], cwd=folder, capture_output=True, text=True, check=True).stdout
    symbols = {objects[name]: [] for name in there}
    for line in text.splitlines():
        name, _, rest = line.partition(": ")
        symbols[objects[name]].append(tuple(rest.split()[:2]))
    assert len(symbols) > 100, "no object files were found under their names"
    return symbols


def test_no_circles_within_a_room(program):
    found = [{path.removeprefix("src/").removesuffix(".c") for path in circle}
             for circle in circles(read_uses(read_symbols(program)))]
    new = [sorted(circle) for circle in found if not any(circle <= known for known in CIRCLES)]
    assert not new, f"files that use each other: {new}; move what both need into a third file"


def test_circles_are_found():
    symbols = {
        "src/api/a.c": [("sp_a", "T"), ("sp_b", "U"), ("sp_out", "U"), ("malloc", "U")],
        "src/api/b.c": [("sp_b", "T"), ("sp_c", "U")],
        "src/api/c.c": [("sp_c", "D"), ("sp_a", "U")],
        "src/api/d.c": [("sp_d", "T"), ("sp_d", "U"), ("sp_a", "U")],
        "src/base/out.c": [("sp_out", "T"), ("sp_d", "U")],
    }
    assert circles(read_uses(symbols)) == [["src/api/a.c", "src/api/b.c", "src/api/c.c"]]
    symbols["src/api/c.c"].remove(("sp_a", "U"))
    assert circles(read_uses(symbols)) == []


def test_files_are_short():
    long = [f"{path}: {count} lines" for path in c_files()
            for count in [len((ROOT / path).read_text().splitlines())] if count > LINES_MAX]
    long += [f"{path.relative_to(ROOT)}: {count} lines"
             for path in sorted((ROOT / "tests").rglob("*.[ch]"))
             for count in [len(path.read_text().splitlines())] if count > LINES_MAX]
    assert not long, f"over {LINES_MAX} lines: does each still hold one thing? {long}"


def named_in_meson():
    """All quoted names of .c files in the build files that we wrote, as paths in the repository."""
    paths = set()
    for build in ROOT.rglob("meson.build"):
        inside = build.relative_to(ROOT).parts
        if not inside[0].startswith((".", "build")):
            for name in re.findall(r"'([\w./-]+\.c)'", build.read_text()):
                path = (build.parent / name).resolve()
                if path.is_relative_to(ROOT):
                    paths.add(str(path.relative_to(ROOT)))
    return paths


def test_every_source_is_built():
    left = {path for path in c_files() if path.endswith(".c")} - named_in_meson()
    assert not left, f"in no meson.build: {sorted(left)}"


def test_every_unit_test_is_built():
    text = (ROOT / "tests" / "unit" / "meson.build").read_text()
    words = set(re.findall(r"'([\w-]+)'", text))
    left = [path.name for path in (ROOT / "tests" / "unit").glob("test_*.c")
            if path.stem.removeprefix("test_") not in words]
    assert not left, f"not in tests/unit/meson.build: {left}"


def test_every_fuzz_target_is_built_and_has_a_corpus():
    folder = ROOT / "tests" / "fuzz"
    targets = {path.stem.removeprefix("fuzz_") for path in folder.glob("fuzz_*.c")}
    assert targets == set(re.findall(r"^  '(\w+)',$", (folder / "meson.build").read_text(), re.M))
    assert targets == {path.name for path in (folder / "corpus").iterdir()}
    assert all(any((folder / "corpus" / name).iterdir()) for name in targets)


def test_headers_are_included_once_by_pragma():
    for path in c_files():
        if path.endswith(".h") and not path.startswith("include/"):
            assert "#pragma once" in (ROOT / path).read_text(), path


def test_waits_do_not_end_by_the_wall_clock():
    """Setting the clock must not block or spin a waiting thread: conditions use CLOCK_MONOTONIC."""
    waiting = [path for path in SRC.rglob("*.c") if "pthread_cond_timedwait" in path.read_text()]
    assert len(waiting) >= 4
    for path in waiting:
        text = path.read_text()
        assert "CLOCK_REALTIME" not in text, path
        # The conditions are initialised in the same file, except those of cameras and of the pipeline.
        assert "CLOCK_MONOTONIC" in text or path.name in ("supervisor.c", "lifecycle.c"), path
