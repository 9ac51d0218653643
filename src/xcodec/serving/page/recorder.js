/** A microphone, recorded. */

import { writeWav } from "./wav.js";

export class Recorder {
  #stream;
  #context;
  #pieces = [];

  /** Seconds that have been recorded. */
  seconds = 0;

  /** Begin. @param onHeard: called with the loudest sample of each piece. */
  static async start(onHeard) {
    if (!navigator.mediaDevices) {
      throw new Error("A browser gives its microphone only to pages that come by https or from this machine.");
    }
    const recorder = new Recorder();
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    recorder.#stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
    recorder.#context = new AudioContext();
    await recorder.#context.audioWorklet.addModule(new URL("recorder_worklet.js", import.meta.url));
    const node = new AudioWorkletNode(recorder.#context, "recorder", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => {
      recorder.#pieces.push(data);
      recorder.seconds += data.length / recorder.#context.sampleRate;
      onHeard(data.reduce((loudest, sample) => Math.max(loudest, Math.abs(sample)), 0));
    };
    recorder.#context.createMediaStreamSource(recorder.#stream).connect(node);
    return recorder;
  }

  /** End, and give a WAV file. */
  async stop(name) {
    this.#stream.getTracks().forEach((track) => track.stop());
    const rate = this.#context.sampleRate;
    await this.#context.close();
    const samples = new Float32Array(this.#pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of this.#pieces) {
      samples.set(piece, at);
      at += piece.length;
    }
    if (!samples.length) throw new Error("The microphone gave nothing.");
    return new File([writeWav(samples, rate)], name, { type: "audio/wav" });
  }
}
