/** A waveform, as the lowest and highest sample of each column. */

import { prepared } from "./canvas.js";

/** The loudest sample, at least as loud as a whisper. */
export function peak(samples) {
  return samples.reduce((loudest, sample) => Math.max(loudest, Math.abs(sample)), 0.05);
}

/** @param highest: sample that fills the height; share: of the width that the samples take. */
export function drawWaveform(canvas, samples, highest, share) {
  const drawing = prepared(canvas);
  const width = Math.round(share * canvas.width);
  const middle = canvas.height / 2;
  drawing.fillStyle = getComputedStyle(canvas).color;
  for (let x = 0; x < width; x++) {
    const begin = Math.floor((x / width) * samples.length);
    const end = Math.max(begin + 1, Math.floor(((x + 1) / width) * samples.length));
    let low = 0;
    let high = 0;
    for (let i = begin; i < end; i++) {
      if (samples[i] < low) low = samples[i];
      if (samples[i] > high) high = samples[i];
    }
    const top = middle * (1 - Math.min(1, high / highest));
    const bottom = middle * (1 + Math.min(1, -low / highest));
    drawing.fillRect(x, top, 1, Math.max(1, bottom - top));
  }
}
