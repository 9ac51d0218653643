/** A code stream as a picture: a column for each frame, a row for each digit of its code, or for each codebook. */

import { drawImage } from "./canvas.js";
import { paint } from "./colours.js";
import { digits } from "./codes.js";

const MARK = 4; // pixels below, of a frame that was changed

/** @param encoded: codes before they were changed; levels: of the digits of one codebook's codes, or null. */
export function drawCodes(canvas, codes, encoded, levels, share) {
  const rows = levels ? digits(codes.ids[0], levels) : codes.ids;
  const highest = levels ? levels : codes.codebookSizes;
  const image = new ImageData(codes.frames, rows.length);
  rows.forEach((row, r) => {
    for (let t = 0; t < row.length; t++) paint(image, r * codes.frames + t, row[t] / Math.max(1, highest[r] - 1));
  });
  drawImage(canvas, image, share, false);
  const drawing = canvas.getContext("2d");
  const width = (share * canvas.width) / codes.frames;
  const height = MARK * (window.devicePixelRatio || 1);
  const { accentColor } = getComputedStyle(canvas);
  for (let t = 0; t < codes.frames; t++) {
    if (!codes.differsAt(t, encoded)) continue;
    drawing.clearRect(t * width, canvas.height - height - 1, width, height + 1);
    drawing.fillStyle = accentColor;
    drawing.fillRect(t * width, canvas.height - height, width, height);
  }
}
