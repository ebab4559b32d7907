#!/bin/sh
# Rates against the usual way in Python, side by side in turn:
#
#     tests/bench/compare_peer.sh 'PYTHON peer_pipeline.py' CLIP [EXTRA FLAGS OF A TUNED SETTING]
#
# Columns: the peer; bf16; INT8; INT8 with FRAME_SKIP=2; and, where flags are given (what `spoton tune`
# wrote), those. Four cameras of the clip, a JPEG of every frame at quality 75, detections from 0.1, as the
# peer has it. TURNS=3 turns; about two minutes a clip.
set -eu
cd "$(dirname "$0")/../.."
peer=$1 clip=$2
shift 2
bench="build/spoton bench --json --frames ${FRAMES:-300} --frame-jpeg-quality 75 --env /dev/null
    --yolo-confidence-threshold 0.1 --camera a=$clip --camera b=$clip --camera c=$clip --camera d=$clip"
bench=$(echo "$bench" | tr -s '\n ' ' ')
exec python3 tests/bench/compare.py --turns "${TURNS:-3}" \
    "$peer models/person.onnx $clip --cams 4 --acc 4 --frames ${PEER_FRAMES:-120}" \
    "$bench --precision bf16" "$bench --precision int8" "$bench --precision int8 --frame-skip 2" \
    ${1:+"$bench $*"}
