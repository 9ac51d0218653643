/** The discrete Fourier transform of frames of one size, a power of two. */

export class FourierTransform {
  #size;
  #cosines;
  #sines;
  #order; // where each number goes before the first pass

  /** @param {number} size samples of a frame. */
  constructor(size) {
    this.#size = size;
    this.#cosines = Float64Array.from({ length: size / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.#sines = Float64Array.from({ length: size / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / size));
    const bits = Math.log2(size);
    this.#order = Uint32Array.from({ length: size }, (_, i) => {
      let reversed = 0;
      for (let bit = 0; bit < bits; bit++) reversed |= ((i >> bit) & 1) << (bits - 1 - bit);
      return reversed;
    });
  }

  /** The power at 0 Hz and above, below the highest frequency, of a frame of real samples: (size / 2). */
  power(frame, power = new Float32Array(this.#size / 2)) {
    const size = this.#size;
    const real = new Float64Array(size);
    const imaginary = new Float64Array(size);
    for (let i = 0; i < size; i++) real[this.#order[i]] = frame[i];
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const even = start + k;
          const odd = even + half;
          const cosine = this.#cosines[k * stride];
          const sine = this.#sines[k * stride];
          const re = real[odd] * cosine - imaginary[odd] * sine;
          const im = real[odd] * sine + imaginary[odd] * cosine;
          real[odd] = real[even] - re;
          imaginary[odd] = imaginary[even] - im;
          real[even] += re;
          imaginary[even] += im;
        }
      }
    }
    for (let k = 0; k < size / 2; k++) power[k] = real[k] ** 2 + imaginary[k] ** 2;
    return power;
  }
}
