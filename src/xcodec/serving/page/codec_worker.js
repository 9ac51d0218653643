/** Runs the graphs of a codec, beside the page. */

let ort = null;
let provider = null;
const sessions = new Map(); // by graph

const ACTIONS = {
  async start(told) {
    provider = told.provider;
    ort = await import(`${told.runtime}${provider === "webgpu" ? "ort.webgpu.min.mjs" : "ort.wasm.min.mjs"}`);
    ort.env.wasm.wasmPaths = told.runtime;
    return {};
  },

  async load({ graph, bytes }) {
    sessions.set(graph, await ort.InferenceSession.create(new Uint8Array(bytes), { executionProviders: [provider] }));
    return {};
  },

  /** Codes of all codebooks, one after the other, and how many frames of each there are. */
  async encode({ graph, samples }) {
    const { codes, code_lengths: lengths } = await sessions.get(graph).run({
      audio: new ort.Tensor("float32", samples, [1, samples.length]),
      lengths: integers([samples.length], [1]),
    });
    return { values: Int32Array.from(codes.data, Number), length: Number(lengths.data[0]) };
  },

  async decode({ graph, values, codebooks }) {
    const frames = values.length / codebooks;
    const { audio, audio_lengths: lengths } = await sessions.get(graph).run({
      codes: integers(values, [1, codebooks, frames]),
      lengths: integers([frames], [1]),
    });
    return { samples: audio.data.slice(0, Number(lengths.data[0])) };
  },
};

function integers(values, shape) {
  return new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
}

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ id: data.id, ...(await ACTIONS[data.action](data)) });
  } catch (error) {
    self.postMessage({ id: data.id, error: error.message });
  }
};
