// Parses a binary WebSocket message, version 2 (docs/API.md). The JPEG is a view into the message's
// buffer, not a copy.

const MAGIC = 0x53505402; // "SPT", version 2
const HEAD_BYTES = 34, TRACKS_HEAD_BYTES = 5;
const INFERRED = 1, HAS_JPEG = 2, IDS_2 = 4, HAS_CLASSES = 8, PIXELS = 16, IDS_4 = 32;
const text = new TextDecoder();

export function readMessage(buffer) {
  const view = new DataView(buffer), bytes = new Uint8Array(buffer);
  if (bytes.length < HEAD_BYTES || view.getUint32(0, false) !== MAGIC)
    throw new Error("not a spoton message of version 2");
  const flags = bytes[4], nameBytes = bytes[5], count = view.getUint16(6, true);
  const width = view.getUint16(12, true), height = view.getUint16(14, true);
  const boxBytes = flags & PIXELS ? 6 : 7, idBytes = flags & IDS_4 ? 4 : flags & IDS_2 ? 2 : 1;
  const trackBytes = boxBytes + 1 + idBytes;
  const tracksAt = HEAD_BYTES + nameBytes + (count ? TRACKS_HEAD_BYTES : 0);
  const classesAt = tracksAt + count * trackBytes;
  const end = classesAt + (flags & HAS_CLASSES ? count : 0);
  if (end > bytes.length)
    throw new Error("truncated spoton message");

  const number = (at, size) => size === 4 ? view.getUint32(at, true) : size === 2 ? view.getUint16(at, true) : bytes[at];
  const bits = boxBytes * 2, most = 2 ** bits - 1; // of each of the four coordinates of a box
  const corner = (at, i) => {
    const low = at + (i * bits >> 3), all = bytes[low] | bytes[low + 1] << 8 | bytes[low + 2] << 16;
    const value = all >> (i * bits & 7) & most;
    return flags & PIXELS ? value : value / most * (i % 2 ? height : width);
  };
  const base = count ? view.getUint32(tracksAt - TRACKS_HEAD_BYTES, true) : 0;
  const first = count ? bytes[tracksAt - 1] : 0; // the common class of all tracks
  const tracks = [];
  for (let i = 0, at = tracksAt; i < count; i++, at += trackBytes)
    tracks.push({
      id: base + number(at + boxBytes + 1, idBytes),
      class: flags & HAS_CLASSES ? bytes[classesAt + i] : first,
      confidence: bytes[at + boxBytes] / 255,
      box: [0, 1, 2, 3].map((i) => corner(at, i)),
    });
  return {
    camera: text.decode(bytes.subarray(HEAD_BYTES, HEAD_BYTES + nameBytes)),
    sequence: view.getUint32(8, true),
    latency_us: view.getUint32(24, true),
    inferred: (flags & INFERRED) !== 0,
    width, height, tracks,
    jpeg: flags & HAS_JPEG ? bytes.subarray(end) : null,
  };
}
