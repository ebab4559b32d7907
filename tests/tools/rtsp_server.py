#!/usr/bin/python3
"""GStreamer's RTSP server for the tests, with test patterns encoded live.

    rtsp_server.py PORT CAMERAS [CODEC[:WIDTHxHEIGHT[:SECONDS]]]

Serves rtsp://127.0.0.1:PORT/0, /1, ... at 25 frames/s until it is killed, and prints "ready" when it
listens. CODEC is h264, h265 or mjpeg. With SECONDS, the frame size doubles and halves within the stream at
that interval. Exits with 77 if GStreamer is not installed (./setup test installs it)."""

import sys

CODERS = {
    "h264": "x264enc tune=zerolatency sliced-threads=false speed-preset=ultrafast key-int-max=25 ! "
            "rtph264pay name=pay0 pt=96 config-interval=-1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! "
            "rtph265pay name=pay0 pt=96 config-interval=-1",
    "mjpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}

try:
    import gi
    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer
except (ImportError, ValueError) as error:
    print(f"no GStreamer RTSP server here: {error}")
    sys.exit(77)


def sized(width, height):
    return f"video/x-raw,format=I420,width={width},height={height},framerate=25/1"


def change_size(media, width, height, seconds):
    """Starts with the first frame and ends with the last client."""
    filter_ = media.get_element().get_by_name("size")
    double = False

    def change():
        nonlocal double
        if media.get_status() == GstRtspServer.RTSPMediaStatus.UNPREPARED:
            return False
        double = not double
        factor = 2 if double else 1
        filter_.set_property("caps", Gst.Caps.from_string(sized(width * factor, height * factor)))
        return True
    GLib.timeout_add(int(seconds * 1000), change)


def main():
    port, cameras = sys.argv[1], int(sys.argv[2])
    codec, size, seconds = ((sys.argv[3] if len(sys.argv) > 3 else "h264") + "::").split(":")[:3]
    coder = CODERS[codec]
    width, height = (int(side) for side in (size or "320x240").split("x"))
    Gst.init(None)
    for name in (coder.split()[0], "rtpbin", "videotestsrc", coder.split("!")[1].split()[0]):
        if not Gst.ElementFactory.find(name):
            print(f"GStreamer's {name} is not installed")
            sys.exit(77)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    for number in range(cameras):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch("( videotestsrc is-live=true pattern=ball ! "
                           f"capsfilter name=size caps={sized(width, height)} ! {coder} )")
        factory.set_shared(True)
        if seconds:
            factory.connect("media-configure", lambda _, media:
                            change_size(media, width, height, float(seconds)))
        server.get_mount_points().add_factory(f"/{number}", factory)
    if not server.attach(None):
        print(f"port {port} is taken")
        sys.exit(1)
    print("ready", flush=True)
    GLib.MainLoop().run()


main()
