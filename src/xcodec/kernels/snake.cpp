// Snake, u + gain * sin^2(alpha u), and its gradients; anti-aliased, between upsampling and downsampling by 2, in one
// pass.
//
// Signals are channels-last, (batch, time, channels), so that neighbouring lanes of a vector are neighbouring channels
// and every tap of a filter is one aligned step in memory. A tile of time is taken through all three steps in a scratch
// buffer that fits the first-level cache: the upsampled signal, twice the input's size, never reaches memory.
//
// This file is compiled once for each instruction set, with XCODEC_VARIANT naming it, and once without: the
// latter is the interface, which picks a variant and runs tiles on threads. What the variants compile has internal
// linkage (and they use no inline function of the standard library), so that the linker cannot give a baseline
// processor code that was compiled for another.

#include "snake.h"

#ifdef XCODEC_VARIANT  // tiles, per instruction set

#include "snake_filtered.h"
#include "snake_plain.h"

namespace xcodec {

void XCODEC_NAME(forward_)(const Job& job, const Tile& tile, float* scratch) {
  if (job.taps) job.bfloat16 ? forward<uint16_t>(job, tile, scratch) : forward<float>(job, tile, scratch);
  else job.bfloat16 ? plain_forward<uint16_t>(job, tile, scratch) : plain_forward<float>(job, tile, scratch);
}
void XCODEC_NAME(backward_)(const Job& job, const Tile& tile, float* scratch) {
  if (job.taps) job.bfloat16 ? backward<uint16_t>(job, tile, scratch) : backward<float>(job, tile, scratch);
  else job.bfloat16 ? plain_backward<uint16_t>(job, tile, scratch) : plain_backward<float>(job, tile, scratch);
}

}  // namespace xcodec

#else  // the interface, and its threads

#include "interface.h"

namespace xcodec {
namespace {

const TileFunction FORWARD[] = XCODEC_VARIANTS(forward_);
const TileFunction BACKWARD[] = XCODEC_VARIANTS(backward_);

constexpr int64_t ELEMENTS_PER_THREAD = 1 << 15;

void run_tiles(const Job& job, TileFunction function, int threads, ParallelFor parallel_for) {
  const int64_t tiles = pieces(job.time, TILE), chunks = pieces(job.channels, CHUNK);
  const int64_t useful = pieces(job.batch * job.time * job.channels, ELEMENTS_PER_THREAD);
  run_tasks(job.batch * tiles * chunks, useful, threads, parallel_for, SCRATCH, [&](int64_t task, float* scratch) {
    const int64_t chunk = task % chunks, tile = task / chunks % tiles, clip = task / chunks / tiles;
    const int64_t end = (chunk + 1) * CHUNK;
    function(job, {clip, tile, chunk * CHUNK, end < job.channels ? end : job.channels}, scratch);
  });
}

// The per-channel arrays of a Job, padded to whole blocks.
struct Channels {
  std::vector<float> high, low, alpha, gain;
  Channels(const float* alphas, const float* gains, int64_t count)
      : high(pieces(count, BLOCK) * BLOCK), low(high), alpha(high), gain(high) {
    for (int64_t c = 0; c < count; c++) {
      const double turns = static_cast<double>(alphas[c]) / 3.14159265358979323846;
      high[c] = static_cast<float>(turns);
      low[c] = static_cast<float>(turns - high[c]);
      alpha[c] = alphas[c];
      gain[c] = gains[c];
    }
  }
  // A job that reads these; the caller fills in the rest.
  Job job(int64_t batch, int64_t time, int64_t channels) const {
    Job job{};
    job.turns_high = high.data();
    job.turns_low = low.data();
    job.alpha = alpha.data();
    job.gain = gain.data();
    job.batch = batch;
    job.time = time;
    job.channels = channels;
    return job;
  }
};

}  // namespace
}  // namespace xcodec

// x and y are (batch, time, channels), contiguous; alpha and gain have `channels` values; taps 12, or null for Snake
// without filters; lengths `batch`, or null.
XCODEC_EXPORT int xcodec_snake_forward(int variant, int64_t bfloat16, const void* x, void* y, const float* alpha,
                                       const float* gain, const float* taps, const int64_t* lengths, int64_t batch,
                                       int64_t time, int64_t channels, int threads, xcodec::ParallelFor parallel_for) {
  using namespace xcodec;
  const TileFunction function = variant_of(FORWARD, variant);
  if (!function) return UNKNOWN_VARIANT;
  try {
    const Channels of(alpha, gain, channels);
    Job job = of.job(batch, time, channels);
    job.x = x;
    job.out = y;
    job.taps = taps;
    job.lengths = lengths;
    job.threads = threads;
    job.bfloat16 = bfloat16 != 0;
    run_tiles(job, function, threads, parallel_for);
  } catch (const std::bad_alloc&) {
    return OUT_OF_MEMORY;
  }
  return DONE;
}

// Also reads grad, like x, and writes dx, like x, and the sums d_alpha and d_gain, `channels` values each.
XCODEC_EXPORT int xcodec_snake_backward(int variant, int64_t bfloat16, const void* x, const void* grad, void* dx,
                                        float* d_alpha, float* d_gain, const float* alpha, const float* gain,
                                        const float* taps, const int64_t* lengths, int64_t batch, int64_t time,
                                        int64_t channels, int threads, xcodec::ParallelFor parallel_for) {
  using namespace xcodec;
  const TileFunction function = variant_of(BACKWARD, variant);
  if (!function) return UNKNOWN_VARIANT;
  try {
    const Channels of(alpha, gain, channels);
    const int64_t padded = static_cast<int64_t>(of.gain.size()), sums = batch * pieces(time, TILE);
    std::vector<float> partial(sums * 2 * padded);
    Job job = of.job(batch, time, channels);
    job.x = x;
    job.grad = grad;
    job.out = dx;
    job.taps = taps;
    job.lengths = lengths;
    job.partial = partial.data();
    job.threads = threads;
    job.bfloat16 = bfloat16 != 0;
    run_tiles(job, function, threads, parallel_for);
    // In a fixed order and in double: the result depends neither on the number of threads nor on which came first.
    std::vector<double> total(2 * padded);
    for (int64_t s = 0; s < sums; s++)
      for (int64_t c = 0; c < 2 * padded; c++) total[c] += partial[s * 2 * padded + c];
    for (int64_t c = 0; c < channels; c++) {
      d_alpha[c] = static_cast<float>(total[c]);
      d_gain[c] = static_cast<float>(total[padded + c]);
    }
  } catch (const std::bad_alloc&) {
    return OUT_OF_MEMORY;
  }
  return DONE;
}

#endif
