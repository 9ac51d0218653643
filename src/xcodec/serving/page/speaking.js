/** The section where a text is said. */

import { clearError, tell, tellError } from "./notices.js";
import { SpeechStream } from "./speech_stream.js";
import { writeWav } from "./wav.js";

const byId = (id) => document.getElementById(id);

export class Speaking {
  #server;
  #speaker;
  #context;
  #leave = null; // ends what is being said
  #said = null; // a file of what was said

  /** @param speaker: the language model; voices: their names; onKeep: takes a file of what was said. */
  constructor(server, speaker, voices, context, onKeep) {
    this.#server = server;
    this.#speaker = speaker;
    this.#context = context;
    byId("speech").hidden = false;
    byId("voice").replaceChildren(...voices.map((name) => new Option(name)));
    byId("speech-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#leave) this.#leave();
      else this.#say().catch(tellError);
    });
    byId("keep").addEventListener("click", () => onKeep(this.#said));
  }

  async #say() {
    clearError();
    const [facts, button, keep] = [byId("speech-facts"), byId("say"), byId("keep")];
    const aborting = new AbortController();
    let stream = null;
    this.#leave = () => {
      aborting.abort();
      stream?.stop();
    };
    button.textContent = "Stop";
    keep.hidden = true;
    facts.textContent = "";
    await this.#context.resume();
    const began = performance.now();
    try {
      const text = byId("text").value;
      const asked = { input: text, voice: byId("voice").value, model: this.#speaker.id, response_format: "pcm" };
      const response = await this.#server.request("v1/audio/speech", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(asked),
        signal: aborting.signal,
      });
      const rate = Number(response.headers.get("x-sampling-rate"));
      stream = new SpeechStream(this.#context, rate);
      let first = null;
      for (const reader = response.body.getReader(); ; ) {
        const { done, value } = await reader.read().catch(brokenOff);
        if (done) break;
        first ??= (performance.now() - began) / 1000;
        stream.push(value);
        facts.textContent = `${(stream.samples.length / rate).toFixed(1)} s, the first after ${first.toFixed(2)} s`;
      }
      const { samples } = stream;
      if (!samples.length) throw new Error("The language model said nothing.");
      const took = (performance.now() - began) / 1000;
      const gaps = stream.gaps ? ` ${stream.gaps} pieces came late.` : "";
      tell(`Said ${(samples.length / rate).toFixed(1)} s in ${took.toFixed(1)} s.${gaps}`);
      const name = `${text.slice(0, 24).replace(/[^\p{L}\p{N}]+/gu, " ").trim() || "speech"}.wav`;
      this.#said = new File([writeWav(samples, rate)], name, { type: "audio/wav" });
      keep.hidden = false;
    } finally {
      this.#leave = null;
      button.textContent = "Say it";
    }
  }
}

function brokenOff(error) {
  throw error.name === "AbortError" ? error : new Error("The server broke off in the middle; its log says why.");
}
