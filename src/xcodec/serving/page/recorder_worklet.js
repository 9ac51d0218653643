/** Passes on what a microphone hears, averaged over its channels. */

class Recorder extends AudioWorkletProcessor {
  process([channels]) {
    if (channels.length) {
      const mono = channels[0].map((_, i) => channels.reduce((sum, each) => sum + each[i], 0) / channels.length);
      this.port.postMessage(mono, [mono.buffer]);
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
