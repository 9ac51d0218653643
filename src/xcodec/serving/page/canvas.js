/** Canvases as sharp as the screen. */

/** Give a canvas as many pixels as it covers, cleared, and what draws on it. */
export function prepared(canvas) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  return canvas.getContext("2d");
}

/** Draw an image over the first share of a canvas, its pixels as they are or smoothed. */
export function drawImage(canvas, image, share, smooth) {
  const drawing = prepared(canvas);
  const source = new OffscreenCanvas(image.width, image.height);
  source.getContext("2d").putImageData(image, 0, 0);
  drawing.imageSmoothingEnabled = smooth;
  drawing.imageSmoothingQuality = "high";
  drawing.drawImage(source, 0, 0, share * canvas.width, canvas.height);
}
