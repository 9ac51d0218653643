/** How recordings come: dropped, chosen, or heard by the microphone. */

import { tellError } from "./notices.js";
import { Recorder } from "./recorder.js";

const byId = (id) => document.getElementById(id);

/** @param onFiles: takes a list of files. */
export function installIntake(onFiles) {
  const file = byId("file");
  file.addEventListener("change", () => {
    onFiles([...file.files]);
    file.value = "";
  });
  const root = document.documentElement;
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    root.classList.add("dragged-over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) root.classList.remove("dragged-over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    root.classList.remove("dragged-over");
    if (event.dataTransfer.files.length) onFiles([...event.dataTransfer.files]);
  });
  installRecorder(onFiles);
}

function installRecorder(onFiles) {
  const [button, text, level] = [byId("record"), byId("record-text"), byId("level")];
  let recorder = null;
  let takes = 0;
  const hear = (loudest) => {
    level.firstElementChild.style.width = `${100 * Math.min(1, Math.sqrt(loudest))}%`;
    if (!recorder) return;
    button.dataset.seconds = recorder.seconds.toFixed(1);
    text.textContent = `Stop at ${recorder.seconds.toFixed(1)} s`;
  };
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      if (recorder) {
        const ended = recorder;
        recorder = null;
        onFiles([await ended.stop(`take ${(takes += 1)}.wav`)]);
      } else {
        recorder = await Recorder.start(hear);
      }
    } catch (error) {
      recorder = null;
      tellError(error.name === "NotAllowedError" ? new Error("The browser was not allowed to use the microphone.") : error);
    } finally {
      button.disabled = false;
      button.setAttribute("aria-pressed", String(recorder !== null));
      if (!recorder) text.textContent = "Record";
      level.classList.toggle("on", recorder !== null);
    }
  });
}
