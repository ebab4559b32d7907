"""Person detection and tracking over many cameras, by libspoton.

Pipeline: cameras, which are URLs or frames that the caller pushes, with results by callback; track(): the results of one
video as an iterator; Detector and Tracker: each alone. docs/LIBRARY.md of spoton describes the interface.
"""

from ._alone import Detector, Tracker
from ._library import DETECTION, TRACK, Error, Timeout, ffi, lib
from ._pipeline import Camera, Event, Frame, Pipeline, Result, Status, track

__version__ = ffi.string(lib.spoton_version()).decode()  # the library's

__all__ = ["DETECTION", "TRACK", "Camera", "Detector", "Error", "Event", "Frame", "Pipeline", "Result", "Status",
           "Timeout", "Tracker", "track"]
