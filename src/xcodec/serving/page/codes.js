/** Codes of a recording, with all that is needed to turn them back; and what can be changed in them. */

const FORMAT = "xcodec.codes";

export class Codes {
  /**
   * @param {object} fields ids: an Int32Array for each codebook; frameRate in Hz; numSamples and samplingRate of what was
   *   encoded; sourceSamplingRate; codebookSizes; segmentStarts; codec: which model made them, or null.
   */
  constructor(fields) {
    Object.assign(this, fields);
    Object.freeze(this);
  }

  get frames() {
    return this.ids[0].length;
  }

  /** Seconds of the recording. */
  get duration() {
    return this.numSamples / this.samplingRate;
  }

  /** In bit/s. */
  get bitrate() {
    return this.frameRate * this.codebookSizes.reduce((sum, size) => sum + Math.log2(size), 0);
  }

  /** Read what the server tells. */
  static fromJson(told) {
    return new Codes({
      ids: told.codes.map((row) => Int32Array.from(row)),
      frameRate: told.frame_rate,
      numSamples: told.num_samples,
      samplingRate: told.sampling_rate,
      sourceSamplingRate: told.source_sampling_rate,
      codebookSizes: told.codebook_sizes,
      segmentStarts: told.segment_starts,
      codec: told.codec,
    });
  }

  #fields() {
    return {
      frame_rate: this.frameRate,
      num_samples: this.numSamples,
      sampling_rate: this.samplingRate,
      source_sampling_rate: this.sourceSamplingRate,
      codebook_sizes: this.codebookSizes,
      segment_starts: this.segmentStarts,
      codec: this.codec,
    };
  }

  /** Text that the server reads. */
  toJson() {
    return JSON.stringify({ object: "codec.codes", ...this.#fields(), codes: this.ids.map((row) => [...row]) });
  }

  /** The bytes of a safetensors file, as the command line reads it. */
  toSafetensors() {
    const whole = this.segmentStarts.length === 1;
    const fields = Object.entries(this.#fields()).filter(
      ([name, value]) => value !== null && !(whole && name === "segment_starts"),
    );
    const metadata = Object.fromEntries(fields.map(([name, value]) => [name, JSON.stringify(value)]));
    Object.assign(metadata, { format: FORMAT, format_version: whole ? "1" : "2" });
    const largest = Math.max(...this.codebookSizes) - 1;
    const [dtype, Values] =
      largest < 2 ** 8 ? ["U8", Uint8Array] : largest < 2 ** 16 ? ["U16", Uint16Array] : ["U32", Uint32Array];
    const values = Values.from(this.ids.flatMap((row) => [...row]));
    const shape = [this.ids.length, this.frames];
    let header = JSON.stringify({
      __metadata__: metadata,
      ids: { dtype, shape, data_offsets: [0, values.byteLength] },
    });
    let encoded = new TextEncoder().encode(header);
    header += " ".repeat((8 - (encoded.length % 8)) % 8);
    encoded = new TextEncoder().encode(header);
    const file = new Uint8Array(8 + encoded.length + values.byteLength);
    new DataView(file.buffer).setBigUint64(0, BigInt(encoded.length), true);
    file.set(encoded, 8);
    file.set(new Uint8Array(values.buffer), 8 + encoded.length);
    return file;
  }

  /** How many codes differ from those of another stream, those that only one has included. */
  differencesFrom(other) {
    let count = 0;
    for (let k = 0; k < Math.max(this.ids.length, other.ids.length); k++) {
      for (let t = 0; t < Math.max(this.frames, other.frames); t++) {
        count += this.ids[k]?.[t] !== other.ids[k]?.[t];
      }
    }
    return count;
  }

  /** Whether a frame differs from that of another stream. */
  differsAt(t, other) {
    return other.ids.some((row, k) => this.ids[k]?.[t] !== row[t]);
  }

  /** The same without the last codebook, where there are others. */
  withoutLastCodebook() {
    if (this.ids.length === 1) return this;
    return new Codes({ ...this, ids: this.ids.slice(0, -1), codebookSizes: this.codebookSizes.slice(0, -1) });
  }

  /** The same with a digit of each code at the middle of its levels, so that it says nothing. */
  withDigitHeld(digit, levels) {
    const basis = levels.slice(0, digit).reduce((product, level) => product * level, 1);
    const middle = Math.floor(levels[digit] / 2);
    const held = this.ids[0].map((id) => id + (middle - (Math.floor(id / basis) % levels[digit])) * basis);
    return new Codes({ ...this, ids: [held] });
  }

  /** The same with each bit flipped at a rate from 0 to 1. */
  withBitsFlipped(rate, random = Math.random) {
    const ids = this.ids.map((row, k) => {
      const size = this.codebookSizes[k];
      const bits = Math.ceil(Math.log2(size));
      return row.map((id) => {
        for (let bit = 0; bit < bits; bit++) if (random() < rate) id ^= 1 << bit;
        return id % size;
      });
    });
    return new Codes({ ...this, ids });
  }

  /** The first half of this stream, then the second half of another one. */
  withSecondHalfOf(other) {
    const first = Math.floor(this.frames / 2);
    const second = Math.floor(other.frames / 2);
    const ids = this.ids.map((row, k) => Int32Array.from([...row.slice(0, first), ...other.ids[k].slice(second)]));
    const numSamples = Math.round((ids[0].length * this.samplingRate) / this.frameRate);
    return new Codes({ ...this, ids, numSamples, segmentStarts: [0] });
  }
}

/** The digits of codes, the least significant first: a row for each, of numbers below its levels. */
export function digits(ids, levels) {
  let basis = 1;
  return levels.map((level) => {
    const divisor = basis;
    basis *= level;
    return ids.map((id) => Math.floor(id / divisor) % level);
  });
}
