// A residual unit of few channels: activation, convolution of 7 taps, activation, convolution of one tap, and the sum
// with what came in. A tile of time passes all of it in the cache, so that memory is read once and written once.
//
// Signals are planar: see snake_planar.h. A step's result depends on the steps around it alone, in an order that is the
// same whatever else is computed: neither a batch, nor padding, nor where tiles end changes a bit of it.

#include "snake_planar.h"

namespace xcodec {

constexpr int64_t UNIT_TAPS = 7;
constexpr int64_t OUTPUTS = 8;        // whose sums are in registers together; channels are a multiple of it
constexpr int64_t NUMBERS = 1 << 13;  // of a signal in a tile: steps by channels

// One call. Weights lie by input, tap and output.
struct ResidualUnit {
  const float* x;        // (batch, channels, time)
  float* out;            // likewise
  const float* taps;     // of the activations' filters
  const float* weight1;  // (channels, UNIT_TAPS, channels)
  const float* bias1;    // (channels,), as `bias2`
  const float* weight2;  // (channels, channels)
  const float* bias2;
  const int64_t* lengths;  // valid steps of each clip, or null
  const Wave* waves1;      // of the activations, for each channel
  const Wave* waves2;
  int64_t batch, channels, time, dilation;
  int64_t steps() const { return NUMBERS / channels; }  // in a tile
  int64_t padding() const { return UNIT_TAPS / 2 * dilation; }
  int64_t row() const { return row_of(steps() + 8 * REACH + 2 * padding()); }
  int64_t scratch() const { return (3 + 2 * channels) * row(); }
};

struct Stretch {
  int64_t clip, begin, end;
};

using UnitFunction = void (*)(const ResidualUnit&, const Stretch&, float* scratch);

void residual_unit_baseline(const ResidualUnit&, const Stretch&, float* scratch);
void residual_unit_avx2(const ResidualUnit&, const Stretch&, float* scratch);
void residual_unit_avx512(const ResidualUnit&, const Stretch&, float* scratch);
void residual_unit_avx512bf16(const ResidualUnit&, const Stretch&, float* scratch);
void residual_unit_neon(const ResidualUnit&, const Stretch&, float* scratch);
void residual_unit_neonbf16(const ResidualUnit&, const Stretch&, float* scratch);

}  // namespace xcodec

#ifdef XCODEC_VARIANT  // tiles, per instruction set

namespace xcodec {
namespace {

constexpr int VECTORS = REGISTERS / 16;  // of steps, that share what is read of a weight

// Steps [0, steps) of a convolution whose first output sees `in` from its first step on; whole vectors of them.
inline void convolve(const float* in, int64_t row, int64_t channels, int64_t taps, int64_t dilation,
                     const float* weight, const float* bias, int64_t steps, float* out) {
  for (int64_t first = 0; first < channels; first += OUTPUTS) {
    for (int64_t t = 0; t < steps; t += VECTORS * LANES) {
      Vec sums[OUTPUTS][VECTORS];
#pragma GCC unroll 8
      for (int64_t j = 0; j < OUTPUTS; j++)
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) sums[j][v] = splat_bits(bias + first + j);
      const float* w = weight + first;
      for (int64_t c = 0; c < channels; c++) {
        const float* from = in + c * row + t;
        for (int64_t k = 0; k < taps; k++, from += dilation, w += channels) {
          Vec x[VECTORS];
#pragma GCC unroll 2
          for (int v = 0; v < VECTORS; v++) x[v] = load(from + v * LANES);
#pragma GCC unroll 8
          for (int64_t j = 0; j < OUTPUTS; j++) {
            const Vec each = splat_bits(w + j);
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++) sums[j][v] = fused(each, x[v], sums[j][v]);
          }
        }
      }
#pragma GCC unroll 8
      for (int64_t j = 0; j < OUTPUTS; j++)
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) store(out + (first + j) * row + t + v * LANES, sums[j][v]);
    }
  }
}

}  // namespace

void XCODEC_NAME(residual_unit_)(const ResidualUnit& job, const Stretch& tile, float* scratch) {
  const int64_t row = job.row(), channels = job.channels, padding = job.padding(), size = sizeof(float);
  const int64_t n = job.lengths ? at_least(at_most(job.lengths[tile.clip], job.time), 0) : job.time;
  const float* x = job.x + tile.clip * channels * job.time;
  float* out = job.out + tile.clip * channels * job.time;
  const int64_t begin = tile.begin, end = at_most(tile.end, n);
  for (int64_t c = 0, t = at_least(begin, n); c < channels && t < tile.end; c++)
    memset(out + c * job.time + t, 0, (tile.end - t) * size);
  if (end <= begin) return;

  float *in = scratch, *even = in + row, *odd = even + row, *activated = odd + row,
        *convolved = activated + channels * row;
  // What the second activation sees of the clip, and what the first convolution sees of it.
  const int64_t first = at_least(begin - 2 * REACH, 0), last = at_most(end + 2 * REACH, n);
  const int64_t seen_first = at_least(first - padding, 0), seen_last = at_most(last + padding, n);
  for (int64_t c = 0; c < channels; c++) {
    float* to = activated + c * row;  // from first - padding
    const int64_t before = seen_first - (first - padding), seen = seen_last - seen_first;
    read_repeated(x + c * job.time, seen_first - 2 * REACH, seen_last + 2 * REACH, n, in);
    activate(job.waves1[c], job.taps, in, seen_first, seen_last, n, even, odd, to + before);
    memset(to, 0, before * size);
    memset(to + before + seen, 0, (last + padding - seen_last) * size);
  }
  convolve(activated, row, channels, UNIT_TAPS, job.dilation, job.weight1, job.bias1, last - first, convolved);
  for (int64_t c = 0; c < channels; c++) {
    read_repeated(convolved + c * row, begin - 2 * REACH - first, end + 2 * REACH - first, last - first, in);
    activate(job.waves2[c], job.taps, in, begin, end, n, even, odd, activated + c * row);
  }
  convolve(activated, row, channels, 1, 1, job.weight2, job.bias2, end - begin, convolved);
  for (int64_t c = 0; c < channels; c++) {
    float* y = convolved + c * row;
    memcpy(in, x + c * job.time + begin, (end - begin) * size);
    for (int64_t i = 0; i < end - begin; i += LANES) store(y + i, load(y + i) + load(in + i));
    memcpy(out + c * job.time + begin, y, (end - begin) * size);
  }
}

}  // namespace xcodec

#else  // the interface

#include "interface.h"

namespace xcodec {
namespace {

const UnitFunction RESIDUAL_UNIT[] = XCODEC_VARIANTS(residual_unit_);

constexpr int64_t NUMBERS_PER_THREAD = 1 << 13;  // some 30 microseconds of work

}  // namespace
}  // namespace xcodec

XCODEC_EXPORT int xcodec_residual_unit(int variant, const float* x, float* out, const float* taps, const float* alpha1,
                                       const float* gain1, const float* weight1, const float* bias1,
                                       const float* alpha2, const float* gain2, const float* weight2,
                                       const float* bias2, const int64_t* lengths, int64_t batch, int64_t channels,
                                       int64_t time, int64_t dilation, int threads, xcodec::ParallelFor parallel_for) {
  using namespace xcodec;
  const UnitFunction function = variant_of(RESIDUAL_UNIT, variant);
  if (!function) return UNKNOWN_VARIANT;
  try {
    const std::vector<Wave> waves1 = waves_of(alpha1, gain1, channels), waves2 = waves_of(alpha2, gain2, channels);
    const ResidualUnit job{x,       out,           taps,          weight1, bias1,    weight2, bias2,
                           lengths, waves1.data(), waves2.data(), batch,   channels, time,    dilation};
    const int64_t steps = job.steps(), tiles = pieces(time, steps);
    const int64_t useful = pieces(batch * channels * time, NUMBERS_PER_THREAD);
    run_tasks(batch * tiles, useful, threads, parallel_for, job.scratch(), [&](int64_t task, float* scratch) {
      const int64_t begin = task % tiles * steps, end = begin + steps;
      function(job, {task / tiles, begin, end < time ? end : time}, scratch);
    });
  } catch (const std::bad_alloc&) {
    return OUT_OF_MEMORY;
  }
  return DONE;
}

#endif
