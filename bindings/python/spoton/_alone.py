"""The detector, and a tracker, without cameras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._library import (DETECTION, NO_TIME, TRACK, Settings, check, ffi, lib, names_of, planes_of, records, struct,
                       text_of)
from ._pipeline import LEVELS


class Detector:
    """The detector alone. Settings are those of docs/CONFIG.md: yolo_model_path="person.onnx", classes=["person"]."""

    def __init__(self, *, on_log: Callable[[str, str], object] | None = None, **settings: object) -> None:
        self._handle: Any = None
        self._log = ffi.callback("void(void *, int, const char *)",
                                 lambda _, level, text: on_log and on_log(LEVELS[level], text_of(text)))
        with Settings(settings) as handle:
            options = struct("spoton_detector_options", settings=handle, log=self._log if on_log else ffi.NULL)
            out = ffi.new("struct spoton_detector **")
            check(lib.spoton_detector_open, out, options)
        self._handle = out[0]

    def detect(self, image: NDArray[np.uint8]) -> tuple[NDArray[Any], list[str]]:
        """Of a BGR image [height][width][3]: detections (fields x1, y1, x2, y2, confidence, class_id), from high
        confidence to low, and the names of their classes. Several threads may call it at once."""
        if self._handle is None:
            raise ValueError("detector: it is closed")
        planes, keep = planes_of(image)
        found = ffi.new("struct spoton_detection[]", lib.SPOTON_DETECTIONS_MAX)
        count = ffi.new("size_t *")
        check(lib.spoton_detector_run, self._handle, planes, found, lib.SPOTON_DETECTIONS_MAX, count)
        del keep
        return records(found, count[0], DETECTION), names_of(found, count[0])

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.spoton_detector_close(handle)

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()


class Tracker:
    """A tracker alone. frame_rate: nominal, to which times refer; 0: frames are counted. Settings: tracker="spoton",
    track_buffer_size=60."""

    def __init__(self, frame_rate: float = 0, **settings: object) -> None:
        self._handle: Any = None
        with Settings(settings) as handle:
            options = struct("spoton_tracker_options", settings=handle, frame_rate=frame_rate)
            out = ffi.new("struct spoton_tracker **")
            check(lib.spoton_tracker_open, out, options)
        self._handle = out[0]

    def update(self, detections: ArrayLike | Sequence[Sequence[float]], time: float | None = None) -> NDArray[Any]:
        """The detections of the next frame: rows x1, y1, x2, y2, confidence and, if there is a sixth column, class; or what
        Detector.detect returns. time: s, rising; None: one frame period later. Returns tracks (fields id,
        detection, x1, y1, ...); detection is 1 + the row, or 0 of a predicted track."""
        if self._handle is None:
            raise ValueError("tracker: it is closed")
        given = np.asarray(detections)
        rows = np.zeros(len(given), DETECTION)
        if given.dtype.names:
            for name in DETECTION.names or ():
                rows[name] = given[name]
        elif len(given):
            if given.ndim != 2 or given.shape[1] not in (5, 6):
                raise ValueError(f"detections: {list(given.shape)}; must have 5 or 6 columns")
            for i, name in enumerate(("x1", "y1", "x2", "y2", "confidence", "class_id")[:given.shape[1]]):
                rows[name] = given[:, i]
        tracks = ffi.new("struct spoton_track[]", lib.SPOTON_TRACKS_MAX)
        count = ffi.new("size_t *")
        check(lib.spoton_tracker_update, self._handle, ffi.cast("struct spoton_detection *", rows.ctypes.data), len(rows),
              NO_TIME if time is None else round(time * 1e6), tracks, lib.SPOTON_TRACKS_MAX, count)
        return records(tracks, count[0], TRACK)

    def reset(self) -> None:
        """Drops all tracks; their ids are not used again."""
        if self._handle is not None:
            lib.spoton_tracker_reset(self._handle)

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.spoton_tracker_close(handle)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()
