/** The page: a codec, the recordings of this visit, and what is made of them. */

import { browserCodecs } from "./browser_codec.js";
import { Clip } from "./clip.js";
import { Editing } from "./editing.js";
import { installIntake } from "./intake.js";
import { askKey } from "./key_dialog.js";
import { Listening } from "./listening.js";
import { clearError, tell, tellError } from "./notices.js";
import { Recording } from "./recording.js";
import { installSaving } from "./saving.js";
import { Server } from "./server.js";
import { Speaking } from "./speaking.js";

const byId = (id) => document.getElementById(id);

const context = new AudioContext();
const listening = new Listening(context);
const editing = new Editing();
const server = new Server(askKey);
let codecs = [];
let clips = [];
let current = null;
let work = Promise.resolve(); // one thing after the other

/** The codec that is chosen. */
function codec() {
  return codecs.find((each) => each.key === byId("codec").value);
}

function bandwidth() {
  return byId("bandwidth-choice").hidden ? null : Number(byId("bandwidth").value);
}

/** Do something after all that was begun, and say what goes wrong. */
function enqueue(action) {
  work = work.then(async () => {
    clearError();
    document.body.classList.add("busy");
    try {
      await action();
    } catch (error) {
      tellError(error);
    } finally {
      document.body.classList.remove("busy");
    }
  });
  return work;
}

async function timed(action) {
  const began = performance.now();
  const result = await action();
  return [result, (performance.now() - began) / 1000];
}

/** Encode a recording with what is chosen, and decode its codes. */
async function passed(recording, chosen, rate) {
  tell(`Encoding ${recording.name} ${chosen.place}.`);
  const [codes, encoding] = await timed(() => chosen.encode(recording, rate));
  const [reconstruction, decoding] = await timed(() => chosen.decode(codes));
  tell(
    `${recording.name}: ${codes.duration.toFixed(1)} s encoded in ${encoding.toFixed(2)} s and decoded in ` +
      `${decoding.toFixed(2)} s, ${chosen.place}.`,
  );
  return { codes, reconstruction };
}

async function take(file) {
  const recording = await Recording.read(file, context);
  const [chosen, rate] = [codec(), bandwidth()];
  const { codes, reconstruction } = await passed(recording, chosen, rate);
  const clip = new Clip(recording, chosen, rate, codes, reconstruction);
  clips.push(clip);
  await choose(clip);
}

/** Decode what clips are to become, and let them become it; where that fails, none has changed. */
async function change(changes) {
  const decoded = [];
  for (const [clip, versions] of changes) {
    const [reconstruction, seconds] = await timed(() => clip.codec.decode(versions.at(-1)));
    decoded.push(() => clip.settle(versions, reconstruction));
    tell(`${clip.name}: decoded in ${seconds.toFixed(2)} s.`);
  }
  for (const settle of decoded) settle();
  await choose(current);
}

async function choose(clip) {
  current = clip;
  showClips();
  await listening.show(clip);
  editing.show(clip, clips);
}

function showClips() {
  const group = byId("clips");
  group.hidden = !clips.length;
  group.replaceChildren(
    ...clips.map((clip) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(clip === current));
      button.textContent = clip.name;
      button.addEventListener("click", () => enqueue(() => useChoices(clip)));
      return button;
    }),
  );
}

/** Show a clip, encoded anew where it was encoded by another codec than is chosen now. */
async function useChoices(clip) {
  const [chosen, rate] = [codec(), bandwidth()];
  if (clip.codec !== chosen || clip.bandwidth !== rate) {
    const { codes, reconstruction } = await passed(clip.recording, chosen, rate);
    clip.encodedAnew(chosen, rate, codes, reconstruction);
  }
  await choose(clip);
}

function showChoices() {
  const chosen = codec();
  const offered = chosen.bandwidths.length > 1;
  byId("bandwidth-choice").hidden = !offered;
  const options = chosen.bandwidths.map((each) => new Option(`${each} kbit/s`, each));
  byId("bandwidth").replaceChildren(...options);
  byId("bandwidth").selectedIndex = options.length - 1;
}

/** Find the codecs, and offer to try again where that fails, such as without the server's key. */
async function find() {
  tell("Loading.");
  try {
    await findCodecs();
  } catch (error) {
    tellError(error, () => enqueue(find));
  }
}

async function findCodecs() {
  const told = await (await fetch("page.json")).json();
  byId("interface").hidden = !told.server;
  const found = told.server ? await server.models() : { codecs: [], speaker: null };
  const voices = found.speaker ? await server.voices() : [];
  const inBrowser = told.browser ? await browserCodecs(told.browser.models, (path) => server.request(path)) : [];
  codecs = [...found.codecs, ...inBrowser];
  if (found.speaker) new Speaking(server, found.speaker, voices, context, (file) => enqueue(() => take(file)));
  const titles = codecs.map((each) => new Option(`${each.name}, ${each.precision}, ${each.place}`, each.key));
  byId("codec").replaceChildren(...titles);
  showChoices();
  byId("codec").addEventListener("change", () => {
    showChoices();
    if (current) enqueue(() => useChoices(current));
  });
  byId("bandwidth").addEventListener("change", () => current && enqueue(() => useChoices(current)));
  installIntake((files) => files.forEach((file) => enqueue(() => take(file))));
  installSaving(() => current);
  editing.addEventListener("change", ({ detail: changes }) => enqueue(() => change(changes())));
  tell("Ready.");
  document.body.classList.add("ready");
}

enqueue(find);
