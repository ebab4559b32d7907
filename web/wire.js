// Reads the binary WebSocket message, version 1 (docs/API.md). The JPEG is a view into the message's
// own buffer; nothing is copied.

const MAGIC = 0x53505431; // "SPT1"
const HEAD_BYTES = 42;
const INFERRED = 1, HAS_JPEG = 2, WIDE_IDS = 4, HAS_CLASSES = 8;
const text = new TextDecoder();

export function readMessage(buffer) {
  const view = new DataView(buffer), bytes = new Uint8Array(buffer);
  if (bytes.length < HEAD_BYTES || view.getUint32(0, false) !== MAGIC || view.getUint8(4) !== 1)
    throw new Error("not a spoton message of version 1");
  const flags = view.getUint8(5), count = view.getUint16(6, true), nameBytes = view.getUint8(41);
  const width = view.getUint16(12, true), height = view.getUint16(14, true);
  const wide = (flags & WIDE_IDS) !== 0, trackBytes = wide ? 13 : 11;
  const base = view.getUint32(36, true);
  const tracksAt = HEAD_BYTES + nameBytes, classesAt = tracksAt + count * trackBytes;
  const end = classesAt + (flags & HAS_CLASSES ? count : 0);
  if (end > bytes.length)
    throw new Error("a spoton message that is cut short");

  const tracks = [];
  for (let i = 0, at = tracksAt; i < count; i++, at += trackBytes) {
    const x = (offset) => view.getUint16(at + offset, true) / 65535 * width;
    const y = (offset) => view.getUint16(at + offset, true) / 65535 * height;
    tracks.push({
      id: base + (wide ? view.getUint32(at + 9, true) : view.getUint16(at + 9, true)),
      score: bytes[at + 8] / 255,
      box: [x(0), y(2), x(4), y(6)],
    });
  }
  return {
    camera: text.decode(bytes.subarray(HEAD_BYTES, tracksAt)),
    sequence: view.getUint32(8, true),
    latency_us: view.getUint32(32, true),
    inferred: (flags & INFERRED) !== 0,
    width, height, tracks,
    jpeg: flags & HAS_JPEG ? bytes.subarray(end) : null,
  };
}
