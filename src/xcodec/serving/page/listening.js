/** The section where a clip is heard and seen. */

import { drawCodes } from "./codes_picture.js";
import { Player } from "./player.js";
import { bufferOf } from "./recording.js";
import { drawSpectrogram, spectrogram } from "./spectrogram.js";
import { drawWaveform, peak } from "./waveform.js";

const STEP = 1; // seconds that an arrow seeks
const SOUNDS = ["original", "reconstruction"];
const byId = (id) => document.getElementById(id);

export class Listening {
  #context;
  #clip = null;
  #pictures = {}; // spectrograms by sound
  #section = byId("listen");
  #position = byId("position");

  /** @param context: an AudioContext. */
  constructor(context) {
    this.#context = context;
    this.player = new Player(context);
    this.player.addEventListener("change", () => this.#show());
    byId("play").addEventListener("click", () => this.player.toggle());
    for (const radio of this.#radios) {
      radio.addEventListener("change", () => this.player.choose(radio.value));
    }
    this.#position.addEventListener("input", () => this.player.seek(Number(this.#position.value)));
    const lanes = byId("lanes");
    const seek = (event) => {
      const { left, width } = lanes.getBoundingClientRect();
      this.player.seek(((event.clientX - left) / width) * this.player.duration);
    };
    lanes.addEventListener("pointerdown", (event) => {
      if (event.target.tagName !== "CANVAS" || event.button) return;
      lanes.setPointerCapture(event.pointerId);
      seek(event);
    });
    lanes.addEventListener("pointermove", (event) => {
      if (lanes.hasPointerCapture(event.pointerId)) seek(event);
    });
    new ResizeObserver(() => this.#draw()).observe(lanes);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  get #radios() {
    return this.#section.querySelectorAll("input[name=heard]");
  }

  /** Show a clip, or what has become of it. */
  async show(clip) {
    const isOther = clip !== this.#clip;
    this.#clip = clip;
    const rate = clip.codec.outputSamplingRate;
    const { recording } = clip;
    const sounds = {
      original: recording.samples && { samples: recording.samples, rate: recording.samplingRate },
      reconstruction: { samples: clip.reconstruction, rate },
    };
    if (isOther) this.player.pause();
    for (const name of SOUNDS) {
      const sound = sounds[name];
      this.player.setTrack(name, sound ? bufferOf(this.#context, sound.samples, sound.rate) : null);
    }
    if (isOther) {
      this.player.seek(0);
      this.player.choose("reconstruction");
    }
    this.#pictures = { reconstruction: spectrogram(clip.reconstruction, rate) };
    if (recording.samples) this.#pictures.original = spectrogram(await recording.at(rate), rate);
    this.#section.hidden = false;
    byId("original-facts").textContent = recording.samples
      ? `${recording.duration.toFixed(2)} s at ${kilo(recording.samplingRate)} kHz`
      : "of a format that this browser cannot play";
    byId("reconstruction-facts").textContent = `${kilo(rate)} kHz`;
    const { codes } = clip;
    byId("codes-facts").textContent =
      `${codes.ids.length > 1 ? `${codes.ids.length} × ` : ""}${codes.frames}, ` +
      `${kilo(codes.bitrate)} kbit/s, ${Math.ceil((codes.bitrate * codes.frames) / codes.frameRate / 8)} bytes`;
    this.#show();
    this.#draw();
  }

  #draw() {
    const clip = this.#clip;
    const { duration } = this.player;
    if (!clip || !duration || !this.#pictures.reconstruction) return;
    const highest = Math.max(...[clip.recording.samples, clip.reconstruction].filter(Boolean).map(peak));
    const loudest = (this.#pictures.original ?? this.#pictures.reconstruction).loudest;
    for (const name of SOUNDS) {
      const lane = this.#lane(name);
      const picture = this.#pictures[name];
      for (const canvas of lane.querySelectorAll("canvas")) canvas.hidden = !picture;
      if (!picture) continue;
      const isOriginal = name === "original";
      const samples = isOriginal ? clip.recording.samples : clip.reconstruction;
      const rate = isOriginal ? clip.recording.samplingRate : clip.codec.outputSamplingRate;
      const share = samples.length / rate / duration;
      drawWaveform(lane.querySelector(".waveform"), samples, highest, share);
      drawSpectrogram(lane.querySelector(".spectrogram"), picture, loudest, share);
    }
    const { codes } = clip;
    const canvas = this.#lane("codes").querySelector("canvas");
    drawCodes(canvas, codes, clip.encoded, clip.codec.levels, codes.frames / codes.frameRate / duration);
  }

  #lane(name) {
    return this.#section.querySelector(`[data-lane=${name}]`);
  }

  #show() {
    const { player } = this;
    const play = byId("play");
    play.classList.toggle("playing", player.playing);
    play.setAttribute("aria-label", player.playing ? "Pause" : "Play");
    for (const radio of this.#radios) {
      radio.checked = radio.value === player.chosen;
      radio.disabled = !player.names.includes(radio.value);
    }
    for (const name of SOUNDS) this.#lane(name).classList.toggle("heard", name === player.chosen);
    this.#position.max = player.duration;
    this.#showTime();
  }

  #showTime() {
    const { time, duration, playing } = this.player;
    byId("time").textContent = `${clock(time)} / ${clock(duration)}`;
    this.#position.value = time;
    this.#position.setAttribute("aria-valuetext", `${time.toFixed(1)} of ${duration.toFixed(1)} seconds`);
    byId("playhead").style.left = `${duration ? (100 * time) / duration : 0}%`;
    if (playing) requestAnimationFrame(() => this.player.playing && this.#showTime());
  }

  #key(event) {
    if (this.#section.hidden || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const { target } = event;
    if (target.closest("textarea, select, dialog, input:not([type=radio], [type=range])")) return;
    const isPosition = target === this.#position;
    const { player } = this;
    const action = {
      " ": target.closest("button, a, summary, label") ? null : () => player.toggle(),
      a: () => player.choose("original"),
      b: () => player.choose("reconstruction"),
      x: () => player.choose(player.names.find((name) => name !== player.chosen)),
      ArrowLeft: target.closest("input") && !isPosition ? null : () => player.seek(player.time - STEP),
      ArrowRight: target.closest("input") && !isPosition ? null : () => player.seek(player.time + STEP),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

function clock(seconds) {
  const tenths = Math.floor(seconds * 10 + 1e-6);
  return `${Math.floor(tenths / 600)}:${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
}

function kilo(number) {
  return String(Number((number / 1000).toFixed(2)));
}
