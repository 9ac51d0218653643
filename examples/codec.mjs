// A recording to codes and back by a folder that `xcodec export` wrote, in Node.
//
//     npm install onnxruntime-node
//     node codec.mjs mini-onnx/ speech.wav out.wav
//
// The recording is a WAV file of 16 bits, with one channel, at codec.json's sampling_rate.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ort from "onnxruntime-node";

const [folder, source, target] = process.argv.slice(2);
const { sampling_rate, output_sampling_rate } = JSON.parse(readFileSync(join(folder, "codec.json"), "utf8"));
const int64 = (numbers, shape) => new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), shape);

function readWav(path) {
  const file = readFileSync(path);
  const [channels, rate, bits] = [file.readUInt16LE(22), file.readUInt32LE(24), file.readUInt16LE(34)];
  if (channels !== 1 || rate !== sampling_rate || bits !== 16) {
    throw new Error(`expected one channel of 16 bits at ${sampling_rate} Hz: ${channels}, ${bits}, ${rate}`);
  }
  let at = 12; // of the chunks behind RIFF's header
  while (file.toString("latin1", at, at + 4) !== "data") at += 8 + file.readUInt32LE(at + 4);
  const size = Math.min(file.readUInt32LE(at + 4), file.length - at - 8) >> 1;
  return Float32Array.from({ length: size }, (_, i) => file.readInt16LE(at + 8 + 2 * i) / 32768);
}

function writeWav(path, samples) {
  const file = Buffer.alloc(44 + 2 * samples.length);
  file.write("RIFF", 0);
  file.writeUInt32LE(file.length - 8, 4);
  file.write("WAVEfmt ", 8);
  [[16, 16], [20, 0x10001], [24, output_sampling_rate], [28, 2 * output_sampling_rate], [32, 0x100002]].forEach(
    ([at, value]) => file.writeUInt32LE(value, at),
  );
  file.write("data", 36);
  file.writeUInt32LE(2 * samples.length, 40);
  samples.forEach((x, i) => file.writeInt16LE(Math.max(-32768, Math.min(32767, Math.round(32768 * x))), 44 + 2 * i));
  writeFileSync(path, file);
}

const samples = readWav(source);
const encoder = await ort.InferenceSession.create(join(folder, "encoder.onnx"));
const { codes } = await encoder.run({
  audio: new ort.Tensor("float32", samples, [1, samples.length]),
  lengths: int64([samples.length], [1]),
});
console.log(codes.dims.join(" x "), Array.from(codes.data, Number).join(" "));

const decoder = await ort.InferenceSession.create(join(folder, "decoder.onnx"));
const { audio } = await decoder.run({ codes, lengths: int64([codes.dims[2]], [1]) });
const length = Math.round((samples.length * output_sampling_rate) / sampling_rate); // codes fill whole hops
writeWav(target, audio.data.subarray(0, length));
