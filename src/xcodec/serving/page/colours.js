/** Colours from dark to light, for what pictures show. */

const ANCHORS = ["#22223b", "#6a4c93", "#e07a5f", "#f6d99a"].map((colour) =>
  [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)),
);

/** 256 colours as (red, green, blue), one after the other. */
export const RAMP = new Uint8ClampedArray(3 * 256);
for (let step = 0; step < 256; step++) {
  const place = (step / 255) * (ANCHORS.length - 1);
  const below = Math.min(Math.floor(place), ANCHORS.length - 2);
  for (let c = 0; c < 3; c++) {
    RAMP[3 * step + c] = ANCHORS[below][c] + (place - below) * (ANCHORS[below + 1][c] - ANCHORS[below][c]);
  }
}

/** Put a colour of the ramp, 0 to 1, into an image. */
export function paint(image, pixel, shade) {
  const step = Math.round(255 * Math.min(1, Math.max(0, shade)));
  for (let c = 0; c < 3; c++) image.data[4 * pixel + c] = RAMP[3 * step + c];
  image.data[4 * pixel + 3] = 255;
}
