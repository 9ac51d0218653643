/** Spectrograms: how much there is of each frequency over time. */

import { drawImage } from "./canvas.js";
import { paint } from "./colours.js";
import { FourierTransform } from "./fft.js";

const WINDOW_SECONDS = 0.032;
const HOP_SECONDS = 0.008;
const MOST_COLUMNS = 2400; // of a long recording every second one, or fewer, is computed
const RANGE = 75; // decibels below the loudest point that are shown

/** Decibels of samples: {columns, rows, decibels: (columns, rows), loudest}; row 0 is 0 Hz, the last below half the rate. */
export function spectrogram(samples, samplingRate) {
  const size = 2 ** Math.round(Math.log2(WINDOW_SECONDS * samplingRate));
  const hop = Math.max(Math.round(HOP_SECONDS * samplingRate), Math.ceil(samples.length / MOST_COLUMNS));
  const columns = Math.floor(samples.length / hop) + 1;
  const rows = size / 2;
  const window = Float32Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size));
  const transform = new FourierTransform(size);
  const decibels = new Float32Array(columns * rows);
  const frame = new Float64Array(size);
  const power = new Float32Array(rows);
  let loudest = -100;
  for (let column = 0; column < columns; column++) {
    const first = column * hop - size / 2;
    for (let i = 0; i < size; i++) frame[i] = (samples[first + i] ?? 0) * window[i];
    transform.power(frame, power);
    for (let row = 0; row < rows; row++) {
      const level = 10 * Math.log10(power[row] + 1e-10);
      decibels[column * rows + row] = level;
      if (level > loudest) loudest = level;
    }
  }
  return { columns, rows, decibels, loudest };
}

/** @param loudest: of the picture, in decibels, as the lightest colour; share: of the width that it takes. */
export function drawSpectrogram(canvas, { columns, rows, decibels }, loudest, share) {
  const image = new ImageData(columns, rows);
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < rows; row++) {
      const shade = (decibels[column * rows + row] - loudest + RANGE) / RANGE;
      paint(image, (rows - 1 - row) * columns + column, shade);
    }
  }
  drawImage(canvas, image, share, true);
}
