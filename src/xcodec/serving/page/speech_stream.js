/** Speech that is heard while it is made. */

const AHEAD = 0.08; // seconds that the first piece waits, and each that comes late

export class SpeechStream {
  #context;
  #samplingRate;
  #next = null; // when the next piece is to begin, on the context's clock
  #sources = new Set();
  #odd = new Uint8Array(0); // half a sample
  #pieces = [];

  /** How many pieces came too late. */
  gaps = 0;

  /** @param samplingRate: in Hz, of what comes. */
  constructor(context, samplingRate) {
    this.#context = context;
    this.#samplingRate = samplingRate;
  }

  /** Take bytes of 16-bit samples, and play them after those before. */
  push(bytes) {
    const joined = new Uint8Array(this.#odd.length + bytes.length);
    joined.set(this.#odd);
    joined.set(bytes, this.#odd.length);
    const whole = joined.length - (joined.length % 2);
    this.#odd = joined.slice(whole);
    if (!whole) return;
    const view = new DataView(joined.buffer, 0, whole);
    const samples = Float32Array.from({ length: whole / 2 }, (_, i) => view.getInt16(2 * i, true) / 32768);
    this.#pieces.push(samples);
    const buffer = this.#context.createBuffer(1, samples.length, this.#samplingRate);
    buffer.copyToChannel(samples, 0);
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#context.destination);
    const now = this.#context.currentTime;
    if (this.#next === null || this.#next < now) {
      if (this.#next !== null) this.gaps += 1;
      this.#next = now + AHEAD;
    }
    source.start(this.#next);
    this.#next += buffer.duration;
    this.#sources.add(source);
    source.onended = () => this.#sources.delete(source);
  }

  /** Be silent. */
  stop() {
    for (const source of this.#sources) source.stop();
    this.#sources.clear();
  }

  /** All that has come. */
  get samples() {
    const all = new Float32Array(this.#pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of this.#pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }
}
