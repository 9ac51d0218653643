/** A recording of this visit: its codes as they were and as they are, and what they sound like. */

export class Clip {
  #versions; // of the codes, the first as the encoder made them

  /** @param recording: a Recording; codec: whose codes they are; bandwidth: at which they were encoded. */
  constructor(recording, codec, bandwidth, codes) {
    Object.assign(this, { recording, codec, bandwidth });
    this.#versions = [codes];
    this.reconstruction = null; // samples
  }

  get name() {
    return this.recording.name;
  }

  get codes() {
    return this.#versions.at(-1);
  }

  get encoded() {
    return this.#versions[0];
  }

  get isChanged() {
    return this.#versions.length > 1;
  }

  change(codes) {
    this.#versions.push(codes);
  }

  undo() {
    if (this.isChanged) this.#versions.pop();
  }

  restore() {
    this.#versions.length = 1;
  }

  /** Begin anew with what another codec, or another bandwidth, makes of the recording. */
  encodedAnew(codec, bandwidth, codes) {
    Object.assign(this, { codec, bandwidth });
    this.#versions = [codes];
  }
}
