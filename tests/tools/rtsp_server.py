#!/usr/bin/python3
"""An RTSP server for the tests, of GStreamer's own: made pictures, coded live.

    rtsp_server.py PORT CAMERAS [h264|h265|mjpeg]

Serves rtsp://127.0.0.1:PORT/0, /1, ... (320x240, 25 pictures a second) until it is killed, and
writes "ready" when it listens. Exits with 77 where GStreamer's parts are not installed (Debian:
python3-gst-1.0 gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad,ugly})."""

import sys

CODERS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! "
            "rtph264pay name=pay0 pt=96 config-interval=1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! "
            "rtph265pay name=pay0 pt=96 config-interval=1",
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


def main():
    port, cameras = sys.argv[1], int(sys.argv[2])
    coder = CODERS[sys.argv[3] if len(sys.argv) > 3 else "h264"]
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
        factory.set_launch(
            "( videotestsrc is-live=true pattern=ball ! "
            f"video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! {coder} )")
        factory.set_shared(True)
        server.get_mount_points().add_factory(f"/{number}", factory)
    if not server.attach(None):
        print(f"port {port} is taken")
        sys.exit(1)
    print("ready", flush=True)
    GLib.MainLoop().run()


main()
