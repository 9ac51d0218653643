/** WAV files, read to the last bit and written. */

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;

/** Read {channels: Float32Array each, samplingRate}, or null where it is no WAV file of plain samples. */
export function readWav(bytes) {
  const view = new DataView(bytes);
  const name = (at) => String.fromCharCode(...new Uint8Array(bytes, at, 4));
  if (bytes.byteLength < 12 || name(0) !== "RIFF" || name(8) !== "WAVE") return null;
  let form = null;
  for (let at = 12; at + 8 <= bytes.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    const begin = at + 8;
    const chunk = name(at);
    if (chunk === "fmt " && begin + 16 <= bytes.byteLength) {
      const kind = view.getUint16(begin, true);
      form = {
        kind: kind === EXTENSIBLE && size >= 26 ? view.getUint16(begin + 24, true) : kind,
        channels: view.getUint16(begin + 2, true),
        samplingRate: view.getUint32(begin + 4, true),
        bits: view.getUint16(begin + 14, true),
      };
    } else if (chunk === "data") {
      const read = form && reader(form, view);
      if (!read || !form.channels) return null;
      const width = form.bits / 8;
      const frames = Math.floor(Math.min(size, bytes.byteLength - begin) / (width * form.channels));
      const channels = Array.from({ length: form.channels }, (_, c) =>
        Float32Array.from({ length: frames }, (_, i) => read(begin + (i * form.channels + c) * width)),
      );
      return frames ? { channels, samplingRate: form.samplingRate } : null;
    }
    at = begin + size + (size % 2);
  }
  return null;
}

function reader({ kind, bits }, view) {
  if (kind === FLOAT && bits === 32) return (at) => view.getFloat32(at, true);
  if (kind !== PCM) return null;
  return {
    8: (at) => (view.getUint8(at) - 128) / 128,
    16: (at) => view.getInt16(at, true) / 32768,
    24: (at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 8388608,
    32: (at) => view.getInt32(at, true) / 2147483648,
  }[bits];
}

/** Write mono samples with 16 bits: a Blob. */
export function writeWav(samples, samplingRate) {
  const file = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, name) => [...name].forEach((letter, i) => file.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  file.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  file.setUint32(16, 16, true);
  file.setUint16(20, PCM, true);
  file.setUint16(22, 1, true);
  file.setUint32(24, samplingRate, true);
  file.setUint32(28, 2 * samplingRate, true);
  file.setUint16(32, 2, true);
  file.setUint16(34, 16, true);
  text(36, "data");
  file.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, i) => {
    file.setInt16(44 + 2 * i, Math.round(32767 * Math.min(1, Math.max(-1, sample))), true);
  });
  return new Blob([file.buffer], { type: "audio/wav" });
}
