"""Cameras in, results out."""

from __future__ import annotations

import json
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._library import (NO_TIME, TRACK, DETECTION, Error, Settings, check, ffi, lib, names_of, planes_of, records,
                       setting_text, struct, text_of)

LEVELS = ("error", "warning", "info", "debug")


def _microseconds(seconds: float | None) -> int:
    """Of a duration; None: no limit."""
    return -1 if seconds is None else round(seconds * 1e6)


class Frame:
    """A frame of a result. It holds memory of the decoder: keep few at a time, or the array of bgr()."""

    def __init__(self, pointer: Any) -> None:
        self._handle = lib.spoton_frame_ref(pointer)
        self._end = weakref.finalize(self, lib.spoton_frame_unref, self._handle)
        self._planes: Any = None

    def _describe(self) -> Any:
        if self._planes is None:
            self._planes = struct("spoton_planes")
            check(lib.spoton_frame_planes, self._handle, self._planes)
        return self._planes

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        planes = self._describe()
        return planes.height, planes.width

    @property
    def format(self) -> str:
        """"i420" or "nv12"."""
        return "nv12" if self._describe().format == lib.SPOTON_FORMAT_NV12 else "i420"

    def planes(self) -> list[NDArray[np.uint8]]:
        """Read-only views, without a copy: Y, U, V; or Y, interleaved UV [rows][columns][2]."""
        planes, views = self._describe(), []
        height, width = planes.height, planes.width
        half = ((height + 1) // 2, (width + 1) // 2)
        interleaved = self.format == "nv12"
        for i, (rows, columns) in enumerate([(height, width), *([(half[0], 2 * half[1])] if interleaved else [half, half])]):
            stride = planes.stride[i]
            holder = _Memory(self, int(ffi.cast("uintptr_t", planes.plane[i])), stride * (rows - 1) + columns)
            flat: NDArray[np.uint8] = np.asarray(holder)
            view = np.lib.stride_tricks.as_strided(flat, (rows, columns), (stride, 1), writeable=False)
            if interleaved and i == 1:
                view = np.lib.stride_tricks.as_strided(flat, (rows, columns // 2, 2), (stride, 2, 1), writeable=False)
            views.append(view)
        return views

    def bgr(self) -> NDArray[np.uint8]:
        """A new array [height][width][3], blue first, as OpenCV's."""
        height, width = self.shape
        image = np.empty((height, width, 3), np.uint8)
        check(lib.spoton_frame_bgr, self._handle, ffi.cast("uint8_t *", image.ctypes.data), 3 * width)
        return image


class _Memory:
    """Memory of a frame for NumPy, whose arrays keep this object and so the frame."""

    def __init__(self, frame: Frame, address: int, size: int) -> None:
        self._frame = frame
        self.__array_interface__ = {"version": 3, "shape": (size,), "typestr": "|u1", "data": (address, True)}


@dataclass(frozen=True)
class Result:
    """A finished frame. (camera, epoch, sequence) identifies it."""

    camera: str
    epoch: int
    sequence: int
    time: float  # s, of the frame in its camera
    wall_time: float  # s since the Unix epoch
    inferred: bool  # else tracks are predicted
    failed: bool
    shape: tuple[int, int]  # (height, width)
    tracks: NDArray[Any] = field(repr=False)  # fields id, global_id, class_id, detection, x1, y1, x2, y2, ...
    names: list[str] = field(repr=False)  # the classes of `tracks`
    detections: NDArray[Any] = field(repr=False)  # fields x1, y1, x2, y2, confidence, class_id
    frame: Frame | None = field(repr=False)  # None unless the pipeline has `frames`


@dataclass(frozen=True)
class Event:
    """Something that happened: camera.added, camera.state, camera.removed, camera.ended, line.crossed, zone.entered, ..."""

    id: str
    kind: str
    camera: str
    wall_time: float
    payload: dict[str, Any]


@dataclass(frozen=True)
class Status:
    """Of a camera. received = inferred + skipped + dropped + failed + in_flight."""

    state: str
    ended: bool
    received: int
    inferred: int
    skipped: int
    dropped: int
    failed: int
    in_flight: int
    results: int
    shape: tuple[int, int]
    frame_rate: float
    error: str


class Camera:
    """A camera of a pipeline; valid until it is removed or the pipeline is closed."""

    def __init__(self, pipeline: Pipeline, handle: Any, name: str) -> None:
        self._pipeline, self._handle, self.name = pipeline, handle, name

    def _use(self) -> Any:
        self._pipeline._use()
        if self._handle is None:
            raise ValueError(f"camera {self.name}: it was removed")
        return self._handle

    def push(self, image: NDArray[np.uint8], time: float | None = None, timeout: float | None = None) -> int:
        """A BGR image [height][width][3] of this camera, which is copied. time: s, rising; None: live now, otherwise one
        frame period later. timeout: s for room among the waiting frames; None: no limit. Returns its sequence.
        Timeout: no room, the frame was not accepted."""
        planes, keep = planes_of(image)
        sequence = ffi.new("uint64_t *")
        check(lib.spoton_camera_push, self._use(), planes, NO_TIME if time is None else round(time * 1e6),
              _microseconds(timeout), sequence)
        del keep
        return int(sequence[0])

    def end(self) -> None:
        """No more frames will be pushed."""
        lib.spoton_camera_end(self._use())

    def pause(self) -> None:
        """Of a live pipeline, and not if its frames are pushed. A file keeps its position, a stream is disconnected."""
        check(lib.spoton_camera_pause, self._use())

    def resume(self) -> None:
        check(lib.spoton_camera_resume, self._use())

    def set_analytics(self, analytics: Mapping[str, object] | None) -> None:
        """{"lines": [...], "zones": [...]} as in spoton.yaml, instead of those in effect; None: those of the settings.
        Of a pipeline with `analytics`; not to be called by its on_event."""
        text = ffi.NULL if analytics is None else ffi.new("char[]", json.dumps(analytics).encode())
        check(lib.spoton_camera_set_analytics, self._use(), text)

    def remove(self) -> None:
        """Of a live pipeline."""
        check(lib.spoton_camera_remove, self._use())
        self._handle = None

    def status(self) -> Status:
        s = struct("spoton_camera_status")
        lib.spoton_camera_status(self._use(), s)
        return Status(ffi.string(s.state).decode(), bool(s.ended), s.received, s.inferred, s.skipped, s.dropped, s.failed,
                      s.in_flight, s.results, (s.height, s.width), s.frame_rate,
                      ffi.string(s.error.text).decode(errors="replace") if s.error.code else "")


class Pipeline:
    """Cameras whose frames are detected and tracked.

    Offline every frame is processed; `live`: cameras reconnect, come and go, and late frames are dropped. The callbacks
    run on threads of the pipeline; an exception in one stops the pipeline and is raised by wait(). `frames`: results
    have their frame. `outputs`: the outputs of the settings, or those of a text, get results and events; `analytics`: lines
    and zones are counted, and what happens is an event; both of live pipelines. Settings are those of docs/CONFIG.md:
    frame_skip=2, yolo_model_path="person.onnx", config="spoton.yaml".
    """

    def __init__(self, *, on_result: Callable[[Result], object] | None = None,
                 on_event: Callable[[Event], object] | None = None,
                 on_log: Callable[[str, str], object] | None = None,
                 live: bool = False, loop: bool = False, frames: bool = False, outputs: bool | str = False,
                 analytics: bool = False, **settings: object) -> None:
        if isinstance(outputs, str):
            settings["outputs"] = outputs
        self._on_result, self._on_event, self._on_log, self._frames = on_result, on_event, on_log, frames
        self._failure: BaseException | None = None
        self._handle: Any = None
        self._callbacks = {
            "result": ffi.callback("void(void *, const struct spoton_result *)", self._result, onerror=self._failed),
            "event": ffi.callback("void(void *, const struct spoton_event *)", self._event, onerror=self._failed),
            "log": ffi.callback("void(void *, int, const char *)", self._log, onerror=self._failed),
        }
        wanted = {"result": on_result, "event": on_event, "log": on_log}
        with Settings(settings) as handle:
            options = struct("spoton_pipeline_options", settings=handle, live=live, loop=loop, outputs=bool(outputs),
                             analytics=analytics, **{name: call for name, call in self._callbacks.items() if wanted[name]})
            out = ffi.new("struct spoton_pipeline **")
            check(lib.spoton_pipeline_open, out, options)
        self._handle = out[0]

    # --- what the library calls ---

    def _failed(self, kind: object, error: BaseException, trace: object) -> None:
        if self._failure is None:
            self._failure = error
        if self._handle is not None:
            lib.spoton_pipeline_stop(self._handle)

    def _result(self, _: Any, r: Any) -> None:
        if self._failure is None and self._on_result:
            self._on_result(Result(
                text_of(r.camera), r.epoch, r.sequence, r.time_us / 1e6, r.wall_us / 1e6, bool(r.inferred), bool(r.failed),
                (r.height, r.width), records(r.tracks, r.track_count, TRACK), names_of(r.tracks, r.track_count),
                records(r.detections, r.detection_count, DETECTION), Frame(r.frame) if self._frames else None))

    def _event(self, _: Any, e: Any) -> None:
        if self._on_event:
            self._on_event(Event(text_of(e.id), text_of(e.kind), text_of(e.camera), e.wall_us / 1e6,
                                 json.loads(text_of(e.payload))))

    def _log(self, _: Any, level: int, text: Any) -> None:
        if self._on_log:
            self._on_log(LEVELS[level], text_of(text))

    # --- what the caller calls ---

    def _use(self) -> Any:
        if self._handle is None:
            raise ValueError("pipeline: it is closed")
        return self._handle

    def add(self, name: str, url: str | PathLike[str] | None = None, *, frame_rate: float = 0,
            **settings: object) -> Camera:
        """A camera of a URL, or whose frames are pushed (frame_rate: their nominal rate). Its own settings: frame_skip=2."""
        words: list[Any] = []
        for key, value in settings.items():
            words += [ffi.new("char[]", key.encode()), ffi.new("char[]", setting_text(value).encode())]
        pairs = ffi.new("const char *[]", [*words, ffi.NULL])
        texts = [ffi.new("char[]", name.encode()), ffi.NULL if url is None else ffi.new("char[]", fspath(url).encode())]
        options = struct("spoton_camera_options", name=texts[0], url=texts[1], frame_rate=frame_rate, settings=pairs)
        out = ffi.new("struct spoton_camera **")
        check(lib.spoton_camera_add, out, self._use(), options)
        return Camera(self, out[0], name)

    def camera(self, name: str) -> Camera:
        """A camera that was added, or one of the settings."""
        handle = lib.spoton_camera_find(self._use(), name.encode())
        if handle == ffi.NULL:
            raise KeyError(name)
        return Camera(self, handle, name)

    def start(self) -> None:
        """Loads the engine and the model, which can take seconds, and starts the cameras."""
        check(lib.spoton_pipeline_start, self._use())

    def stop(self) -> None:
        """Cameras stop reading; what was decoded is finished. Returns at once."""
        lib.spoton_pipeline_stop(self._use())

    def wait(self, timeout: float | None = None) -> None:
        """Until everything is finished. Timeout: it is not, after so many seconds. KeyboardInterrupt is not delayed."""
        slices = 0.2 if timeout is None else min(timeout, 0.2)
        left = timeout
        while True:
            try:
                check(lib.spoton_pipeline_wait, self._use(), _microseconds(slices))
                break
            except Error as why:
                left = None if left is None else left - slices
                if why.code != lib.SPOTON_ERR_TIMEOUT or (left is not None and left <= 0):
                    raise
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Stops, waits and frees. No callback runs after it returns."""
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.spoton_pipeline_close(handle)

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()


def track(url: str | PathLike[str], *, live: bool = False, frames: bool = False, waiting: int = 8,
          **settings: object) -> Iterator[Result]:
    """The results of one video, stream or device ("/dev/video0"), in order. Offline the pipeline waits for the loop;
    `waiting`: results that may be ahead of it. Error: the video cannot be read."""
    results: queue.Queue[Result | None] = queue.Queue(waiting)
    ended = threading.Event()

    def put(result: Result | None) -> None:
        while not ended.is_set():
            try:
                results.put(result, timeout=0.1)
                return
            except queue.Full:
                continue

    def note(event: Event) -> None:
        if event.kind == "camera.ended":
            put(None)

    with Pipeline(on_result=put, on_event=note, live=live, frames=frames, **settings) as pipeline:
        camera = pipeline.add("video", url)
        pipeline.start()
        try:
            while (result := results.get()) is not None:
                yield result
            if text := camera.status().error:
                raise Error(lib.SPOTON_ERR_IO, text)
            pipeline.wait(60) if not live else None
        finally:
            ended.set()
