/** A recording of this visit: its codes as they were and as they are, and what they sound like. */

export class Clip {
  #versions = []; // of the codes, the first as the encoder made them

  /** @param recording: a Recording; codec: whose codes they are; bandwidth: of them; reconstruction: samples. */
  constructor(recording, codec, bandwidth, codes, reconstruction) {
    Object.assign(this, { recording });
    this.encodedAnew(codec, bandwidth, codes, reconstruction);
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

  /** What its versions would be with other codes. */
  with(codes) {
    return [...this.#versions, codes];
  }

  /** What its versions would be without the last change. */
  withoutLast() {
    return this.isChanged ? this.#versions.slice(0, -1) : this.#versions;
  }

  /** What its versions would be without any change. */
  withoutAny() {
    return [this.encoded];
  }

  /** Take versions, and what the last of them sounds like. */
  settle(versions, reconstruction) {
    this.#versions = versions;
    this.reconstruction = reconstruction;
  }

  /** Begin anew with what another codec, or another bandwidth, makes of the recording. */
  encodedAnew(codec, bandwidth, codes, reconstruction) {
    Object.assign(this, { codec, bandwidth });
    this.settle([codes], reconstruction);
  }
}
