"""libspoton.so, loaded by CFFI in ABI mode, and what its calls share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cffi
import numpy as np
from numpy.typing import NDArray

API_VERSION = 1

ffi = cffi.FFI()


def _declarations(text: str) -> str:
    """The header without what a C preprocessor removes."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r'#ifdef __cplusplus\n.*?#endif\n', "", text, flags=re.S)
    text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
    return text.replace("SPOTON_API ", "")


ffi.cdef(_declarations((Path(__file__).parent / "spoton.h").read_text()))


class Error(Exception):
    """A function of the library failed. `code` is one of enum spoton_status, such as -2 (not found)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Timeout(Error):
    """There was no room, or no result, in the given time."""


def _load() -> Any:
    own = os.path.join(os.path.dirname(__file__), "_program", "lib", "libspoton.so.0")  # in the wheel with the program
    path = os.environ.get("SPOTON_LIBRARY") or (own if os.path.exists(own) else "libspoton.so.0")
    try:
        library = ffi.dlopen(path)
    except OSError as why:
        raise ImportError(f"{path}: not loaded: {why}; install spoton, or set SPOTON_LIBRARY") from why
    if library.spoton_api_version() != API_VERSION:
        raise ImportError(f"{path}: its interface has version {library.spoton_api_version()}, not {API_VERSION}")
    return library


lib = _load()
NO_TIME = -2**63


def check(function: Callable[..., int], *arguments: Any) -> None:
    """Calls the function with an error struct as its last argument; raises Error."""
    err = ffi.new("struct spoton_error *")
    code = function(*arguments, err)
    if code < 0:
        kind = Timeout if code == lib.SPOTON_ERR_TIMEOUT else Error
        raise kind(code, ffi.string(err.text).decode(errors="replace"))


def struct(kind: str, **fields: Any) -> Any:
    """A struct whose first member is its size."""
    made = ffi.new(f"struct {kind} *", fields)
    made.struct_bytes = ffi.sizeof(f"struct {kind}")
    return made


def text_of(pointer: Any) -> str:
    return "" if pointer == ffi.NULL else ffi.string(pointer).decode(errors="replace")


def record(kind: str, *skipped: str) -> np.dtype[Any]:
    """The NumPy type of a C struct, without some of its members."""
    kinds = {"double": "f8", "uint32_t": "u4", "int32_t": "i4"}
    fields = [(name, member) for name, member in ffi.typeof(f"struct {kind}").fields if name not in skipped]
    return np.dtype({"names": [name for name, _ in fields],
                     "formats": [kinds[member.type.cname] for _, member in fields],
                     "offsets": [member.offset for _, member in fields],
                     "itemsize": ffi.sizeof(f"struct {kind}")})


DETECTION = record("spoton_detection", "reserved", "class_name")
TRACK = record("spoton_track", "reserved", "class_name")


def records(pointer: Any, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A copy of an array of structs."""
    if count == 0:
        return np.empty(0, dtype)
    return np.frombuffer(ffi.buffer(pointer, count * dtype.itemsize), dtype, count).copy()


def names_of(pointer: Any, count: int) -> list[str]:
    return [text_of(pointer[i].class_name) for i in range(count)]


class Settings:
    """A struct spoton_settings for the time of one `with`. Keys as in docs/CONFIG.md, in any case; `config`: a
    spoton.yaml, which the others take precedence over."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = dict(values)

    def __enter__(self) -> Any:
        out = ffi.new("struct spoton_settings **")
        check(lib.spoton_settings_open, out)
        self.handle = out[0]
        try:
            config = self.values.pop("config", None)
            if config is not None:
                check(lib.spoton_settings_read_yaml, self.handle, os.fspath(config).encode())  # type: ignore[call-overload]
            for key, value in self.values.items():
                check(lib.spoton_settings_set, self.handle, key.upper().encode(), setting_text(value).encode())
        except BaseException:
            lib.spoton_settings_close(self.handle)
            raise
        return self.handle

    def __exit__(self, *_: object) -> None:
        lib.spoton_settings_close(self.handle)


def setting_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return str(value)


def planes_of(image: NDArray[np.uint8]) -> Any:
    """struct spoton_planes of a BGR image [height][width][3], with what keeps its memory."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image: {image.dtype}{list(image.shape)}; must be uint8[height][width][3], blue first")
    if image.strides[2] != 1 or image.strides[1] != 3 or image.strides[0] < 3 * image.shape[1]:
        image = np.ascontiguousarray(image)
    data = ffi.cast("uint8_t *", image.ctypes.data)
    planes = struct("spoton_planes", format=lib.SPOTON_FORMAT_BGR, width=image.shape[1], height=image.shape[0],
                    plane=[data], stride=[image.strides[0]])
    return planes, image
