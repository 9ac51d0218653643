/** The server that the page came from. */

import { Codes } from "./codes.js";

const STORED_KEY = "xcodec-api-key";

/** What the server refuses, in its words. */
export class ServerError extends Error {}

export class Server {
  #askKey;

  /** @param askKey: asks the visitor for the API key, and gives it or null. */
  constructor(askKey) {
    this.#askKey = askKey;
  }

  /** Ask for something; with the key, which the visitor is asked for where the server wants one. */
  async request(path, options = {}) {
    for (;;) {
      const key = sessionStorage.getItem(STORED_KEY);
      const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
      let response;
      try {
        response = await fetch(path, { ...options, headers });
      } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new ServerError("The server does not answer. Is it still running?");
      }
      if (response.status === 401) {
        sessionStorage.removeItem(STORED_KEY);
        const given = await this.#askKey(key !== null);
        if (given === null) throw new ServerError("This server wants an API key.");
        sessionStorage.setItem(STORED_KEY, given);
        continue;
      }
      if (!response.ok) throw new ServerError(await reason(response));
      return response;
    }
  }

  async json(path, options) {
    return (await this.request(path, options)).json();
  }

  /** The codecs, and the language model or null. */
  async models() {
    const { data } = await this.json("v1/models");
    const codecs = data.filter((model) => model.codebook_sizes).map((model) => new ServerCodec(this, model));
    return { codecs, speaker: data.find((model) => !model.codebook_sizes) ?? null };
  }

  /** The names of voices. */
  async voices() {
    return (await this.json("v1/audio/voices")).data.map((voice) => voice.id);
  }
}

async function reason(response) {
  try {
    const { error } = await response.json();
    return sentence(error.message);
  } catch {
    return `The server answered ${response.status} ${response.statusText}.`;
  }
}

function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

/** A codec that runs on the server. */
export class ServerCodec {
  #server;

  constructor(server, model) {
    this.#server = server;
    this.name = model.id;
    this.key = `server:${model.id}`;
    this.place = "on the server";
    this.precision = model.precision;
    this.samplingRate = model.sampling_rate;
    this.outputSamplingRate = model.output_sampling_rate;
    this.bandwidths = model.bandwidths;
    this.levels = model.quantization_levels?.length ? model.quantization_levels : null;
  }

  async encode(recording, bandwidth) {
    const query = new URLSearchParams(bandwidth === null ? {} : { bandwidth });
    const body = await recording.blob.arrayBuffer();
    return Codes.fromJson(await this.#server.json(`v1/codec/encode?${query}`, { method: "POST", body }));
  }

  /** Samples, float32, at `outputSamplingRate`. */
  async decode(codes) {
    const options = { method: "POST", body: codes.toJson() };
    const response = await this.#server.request("v1/codec/decode?response_format=f32", options);
    return new Float32Array(await response.arrayBuffer());
  }
}
