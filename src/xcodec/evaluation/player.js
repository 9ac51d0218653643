/** Several tracks of the same sound on one clock, of which one is heard. */

const FADE = 0.012; // seconds from one track to another: no click, and no gap, since the gains add up to 1
const AHEAD = 0.02; // seconds until tracks begin, so that all begin at once

export class Player extends EventTarget {
  #context;
  #tracks = new Map(); // by name: {buffer, gain, source}
  #chosen = null;
  #position = 0; // seconds, of where a pause is
  #startedAt = null; // on the context's clock: when the position was `#position`; null in a pause

  /** @param {BaseAudioContext} context what plays. */
  constructor(context) {
    super();
    this.#context = context;
  }

  /** The names of the tracks that there are. */
  get names() {
    return [...this.#tracks.keys()];
  }

  /** The name of the track that is heard. */
  get chosen() {
    return this.#chosen;
  }

  get playing() {
    return this.#startedAt !== null;
  }

  /** Seconds of the longest track. */
  get duration() {
    return Math.max(0, ...[...this.#tracks.values()].map(({ buffer }) => buffer.duration));
  }

  /** Where it is, in seconds. */
  get time() {
    const passed = this.playing ? Math.max(0, this.#context.currentTime - this.#startedAt) : 0;
    return Math.min(this.#position + passed, this.duration);
  }

  /** Put a track in, in place of one of that name; it goes on where that one was. Without a buffer there is none. */
  setTrack(name, buffer) {
    const wasPlaying = this.playing;
    this.#halt();
    this.#tracks.get(name)?.gain.disconnect();
    this.#tracks.delete(name);
    if (buffer) {
      const gain = this.#context.createGain();
      gain.connect(this.#context.destination);
      this.#tracks.set(name, { buffer, gain, source: null });
    }
    if (!this.#tracks.has(this.#chosen)) this.#chosen = this.names[0] ?? null;
    for (const [each, track] of this.#tracks) track.gain.gain.value = each === this.#chosen ? 1 : 0;
    this.#position = Math.min(this.#position, this.duration);
    if (wasPlaying && this.#tracks.size) this.#start();
    this.#tell();
  }

  /** Hear another track, from here on. */
  choose(name) {
    if (!this.#tracks.has(name) || name === this.#chosen) return;
    this.#chosen = name;
    const now = this.#context.currentTime;
    for (const [each, { gain }] of this.#tracks) {
      gain.gain.cancelScheduledValues(now);
      gain.gain.setValueAtTime(gain.gain.value, now);
      gain.gain.linearRampToValueAtTime(each === name ? 1 : 0, now + FADE);
    }
    this.#tell();
  }

  /** Go on, or begin again where it has come to the end. */
  async play() {
    if (this.playing || !this.#tracks.size) return;
    if (this.#context.state === "suspended" && !("startRendering" in this.#context)) await this.#context.resume();
    if (this.#position >= this.duration) this.#position = 0;
    this.#start();
    this.#tell();
  }

  pause() {
    this.#halt();
    this.#tell();
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  /** Go to a place, in seconds. */
  seek(time) {
    const wasPlaying = this.playing;
    this.#halt();
    this.#position = Math.min(Math.max(0, time), this.duration);
    if (wasPlaying) this.#start();
    this.#tell();
  }

  #start() {
    this.#startedAt = this.#context.currentTime + AHEAD;
    const longest = this.duration;
    for (const track of this.#tracks.values()) {
      const source = this.#context.createBufferSource();
      source.buffer = track.buffer;
      source.connect(track.gain);
      source.start(this.#startedAt, Math.min(this.#position, track.buffer.duration));
      track.source = source;
      if (track.buffer.duration === longest) {
        source.onended = () => {
          if (track.source !== source) return; // it was stopped
          this.#halt();
          this.#position = this.duration;
          this.#tell();
        };
      }
    }
  }

  #halt() {
    this.#position = this.time;
    this.#startedAt = null;
    for (const track of this.#tracks.values()) {
      const source = track.source;
      track.source = null;
      source?.stop();
      source?.disconnect();
    }
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
