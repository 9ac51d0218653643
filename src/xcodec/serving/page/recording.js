/** A recording as it came, and as one channel of samples where the browser can read it. */

import { readWav } from "./wav.js";

export class Recording {
  /** @param samples: float32, of the channels' mean, or null; samplingRate: in Hz, of these. */
  constructor(name, blob, samples, samplingRate) {
    Object.assign(this, { name, blob, samples, samplingRate });
  }

  /** Read a file; what the browser does not know may still be known to the server. */
  static async read(file, context) {
    const bytes = await file.arrayBuffer();
    let found = readWav(bytes);
    if (!found) {
      try {
        const buffer = await context.decodeAudioData(bytes);
        const channels = Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c));
        found = { channels, samplingRate: buffer.sampleRate };
      } catch {
        return new Recording(file.name, file, null, null);
      }
    }
    return new Recording(file.name, file, mean(found.channels), found.samplingRate);
  }

  get duration() {
    return this.samples.length / this.samplingRate;
  }

  /** The samples at another rate. */
  async at(samplingRate) {
    return resampled(this.samples, this.samplingRate, samplingRate);
  }
}

function mean(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
}

/** What plays samples. */
export function bufferOf(context, samples, samplingRate) {
  const buffer = context.createBuffer(1, samples.length, samplingRate);
  buffer.copyToChannel(samples, 0);
  return buffer;
}

async function resampled(samples, from, to) {
  if (from === to) return samples;
  const context = new OfflineAudioContext(1, Math.max(1, Math.ceil((samples.length * to) / from)), to);
  const source = context.createBufferSource();
  source.buffer = bufferOf(context, samples, from);
  source.connect(context.destination);
  source.start();
  return (await context.startRendering()).getChannelData(0);
}
