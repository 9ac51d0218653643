/** A codec that runs in the browser, by ONNX Runtime, in a worker. */

import { Codes } from "./codes.js";

const LEFT_OUT = -1; // in place of the codes of a codebook that a stream does without
const PROVIDERS = { wasm: "in this browser", webgpu: "in this browser, by its graphics (WebGPU)" };

/** The codecs of a folder of models, each with what can compute it here; get: fetches a file. */
export async function browserCodecs(names, get) {
  const adapter = await navigator.gpu?.requestAdapter();
  const providers = Object.keys(PROVIDERS).filter((provider) => provider === "wasm" || adapter);
  const manifests = await Promise.all(names.map(async (name) => (await get(`models/${name}/codec.json`)).json()));
  return names.flatMap((name, i) => providers.map((provider) => new BrowserCodec(name, manifests[i], provider, get)));
}

export class BrowserCodec {
  #folder;
  #manifest;
  #provider;
  #get;
  #worker = null;
  #waiting = new Map(); // by number: how a question of the worker ends
  #asked = 0;

  constructor(name, manifest, provider, get) {
    this.#folder = `models/${name}`;
    this.#manifest = manifest;
    this.#provider = provider;
    this.#get = get;
    this.name = manifest.name;
    this.key = `${provider}:${name}`;
    this.place = PROVIDERS[provider];
    this.precision = manifest.dtype;
    this.samplingRate = manifest.sampling_rate;
    this.outputSamplingRate = manifest.output_sampling_rate;
    this.bandwidths = manifest.bandwidths;
    this.levels = manifest.config.quantization_levels ?? null;
  }

  async encode(recording, bandwidth) {
    if (!recording.samples) throw new Error(`This browser cannot read ${recording.name} as audio.`);
    const manifest = this.#manifest;
    const samples = await recording.at(manifest.sampling_rate);
    if (samples.length < manifest.shortest_clip) throw new Error(`${recording.name} is too short for one code.`);
    const { values, length } = await this.#ask("encode", { samples: samples.slice() });
    const at = bandwidth === null ? -1 : manifest.bandwidths.findIndex((each) => Math.abs(each - bandwidth) < 1e-6);
    const used = manifest.codebooks.at(at);
    const frames = values.length / manifest.codebook_sizes.length;
    return new Codes({
      ids: Array.from({ length: used }, (_, k) => values.slice(k * frames, k * frames + length)),
      frameRate: manifest.frame_rate,
      numSamples: samples.length,
      samplingRate: manifest.sampling_rate,
      sourceSamplingRate: recording.samplingRate,
      codebookSizes: manifest.codebook_sizes.slice(0, used),
      segmentStarts: [0],
      codec: manifest.decodes ?? manifest.identity,
    });
  }

  /** Samples, float32, at `outputSamplingRate`. */
  async decode(codes) {
    const all = this.#manifest.codebook_sizes.length;
    const values = new Int32Array(all * codes.frames).fill(LEFT_OUT);
    codes.ids.forEach((row, k) => values.set(row, k * codes.frames));
    const { samples } = await this.#ask("decode", { values, codebooks: all });
    const length = Math.ceil((codes.numSamples * this.outputSamplingRate) / codes.samplingRate);
    const cut = new Float32Array(length); // where the codec gives no code of the rest, that is silence
    cut.set(samples.subarray(0, length));
    return cut;
  }

  /** Ask the worker, which is started with the first question. */
  async #ask(action, told) {
    this.#worker ??= this.#started();
    const graph = action === "encode" ? "encoder.onnx" : "decoder.onnx";
    const worker = await this.#worker;
    if (!worker.loaded.has(graph)) {
      const bytes = await (await this.#get(`${this.#folder}/${graph}`)).arrayBuffer();
      await this.#answer(worker, { action: "load", graph, bytes }, [bytes]);
      worker.loaded.add(graph);
    }
    return this.#answer(worker, { action, graph, ...told });
  }

  async #started() {
    const worker = new Worker(new URL("codec_worker.js", import.meta.url), { type: "module" });
    worker.loaded = new Set();
    worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.error) reject(new Error(`The codec does not run here: ${data.error}`));
      else resolve(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.#waiting.values()) reject(new Error("The codec does not run in this browser."));
      this.#waiting.clear();
      this.#worker = null;
    };
    const runtime = new URL("onnxruntime/", document.baseURI).href;
    await this.#answer(worker, { action: "start", runtime, provider: this.#provider });
    return worker;
  }

  #answer(worker, question, transferred = []) {
    const id = (this.#asked += 1);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      worker.postMessage({ id, ...question }, transferred);
    });
  }
}
