"""Tracks of a file, a stream or a webcam.

Usage: video_tracks.py VIDEO [KEY=VALUE]...      e.g. video_tracks.py /dev/video0 live=1 frame_skip=2
"""

import sys

import spoton


def main(video, *words):
    settings = dict(word.split("=", 1) for word in words)
    live = settings.pop("live", "0") == "1"
    for result in spoton.track(video, live=live, frames=True, **settings):
        print(f"frame {result.sequence} at {result.time:.2f} s, mean luma {result.frame.planes()[0].mean():.0f}")
        for track, name in zip(result.tracks, result.names):
            print(f"  {name} {track['id']}: {track['x1']:.0f} {track['y1']:.0f} {track['x2']:.0f} {track['y2']:.0f}"
                  f"{'' if track['detection'] else ' (predicted)'}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except spoton.Error as why:
        sys.exit(f"video_tracks: {why}")
