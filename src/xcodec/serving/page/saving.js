/** Files that the visitor keeps. */

import { writeWav } from "./wav.js";

const byId = (id) => document.getElementById(id);

/** @param current: gives the clip that is shown. */
export function installSaving(current) {
  const savers = {
    "save-codes": (clip) => [".codes", new Blob([clip.codes.toSafetensors()])],
    "save-json": (clip) => [".json", new Blob([clip.codes.toJson()], { type: "application/json" })],
    "save-audio": (clip) => [".again.wav", writeWav(clip.reconstruction, clip.codec.outputSamplingRate)],
    "save-original": (clip) => [".wav", writeWav(clip.recording.samples, clip.recording.samplingRate)],
  };
  for (const [id, make] of Object.entries(savers)) {
    byId(id).addEventListener("click", () => {
      const clip = current();
      const [suffix, blob] = make(clip);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = clip.name.replace(/\.[^.]*$/, "") + suffix;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    });
  }
}
