// Snake between upsampling and downsampling by 2 where time lies along the vectors: a step of one channel in each lane.
//
// Signals are planar, (batch, channels, time), so that vectors of any width are full however few the channels are. What
// is computed, in which order, is as in snake_filtered.h.
#pragma once

#include "snake.h"

namespace xcodec {

constexpr int64_t PAST = 64;  // floats that a row is longer than its steps, since vectors are whole

constexpr int64_t PLANAR_TILE = 2048;  // steps of a channel in a task

// One call of the activation by itself.
struct PlanarJob {
  const float* x;  // (batch, channels, time)
  float* out;      // likewise
  const float* taps;
  const int64_t* lengths;  // valid steps of each clip, or null
  const Wave* waves;       // for each channel
  int64_t channels, time;
};

// Steps of one channel of one clip.
struct Steps {
  int64_t row, begin, end;
};

using PlanarFunction = void (*)(const PlanarJob&, const Steps&, float* scratch);

void planar_baseline(const PlanarJob&, const Steps&, float* scratch);
void planar_avx2(const PlanarJob&, const Steps&, float* scratch);
void planar_avx512(const PlanarJob&, const Steps&, float* scratch);
void planar_avx512bf16(const PlanarJob&, const Steps&, float* scratch);
void planar_neon(const PlanarJob&, const Steps&, float* scratch);
void planar_neonbf16(const PlanarJob&, const Steps&, float* scratch);

// How far apart rows of so many steps lie: those past them too, in whole cache lines.
inline int64_t row_of(int64_t steps) { return (steps + PAST + 15) / 16 * 16; }

}  // namespace xcodec

#ifdef XCODEC_VARIANT

namespace xcodec {
namespace {

// Copy steps [first, last) of a row of n steps, the first and last step repeated outside it.
inline void read_repeated(const float* row, int64_t first, int64_t last, int64_t n, float* out) {
  int64_t t = first;
  for (; t < last && t < 0; t++) *out++ = row[0];
  const int64_t inside = at_most(last, n) - t;
  if (inside > 0) {
    memcpy(out, row + t, inside * sizeof(float));
    out += inside;
    t += inside;
  }
  for (; t < last; t++) *out++ = row[n - 1];
}

// Steps [begin, end) of a channel of n steps, activated.
//
// `in` holds its steps [begin - 2 REACH, end + 2 REACH), as `read_repeated` gives them; `even` and `odd` are scratch
// for as many. All three and `out` are rows that vectors may reach past.
inline void activate(const Wave& wave, const float* taps, const float* in, int64_t begin, int64_t end, int64_t n,
                     float* even, float* odd, float* out) {
  const Filter<1> up(taps, 2.0f), down(taps, 1.0f);
  const Vec high = splat(wave.turns_high), low = splat(wave.turns_low), gain = splat(wave.gain);
  const int64_t origin = begin - REACH;                                       // of even and odd
  const int64_t first = at_least(origin, 0), last = at_most(end + REACH, n);  // of the upsampled signal
  const float* source = in + (first - origin) + REACH;
  float *e = even + (first - origin), *o = odd + (first - origin);
  for (int64_t i = 0; i < last - first; i += LANES) {
    Vec u, v;
    up.up(source + i, u, v);
    store(e + i, u + gain * sine_squared(square_of(fraction_of_turn(u, high, low))));
    store(o + i, v + gain * sine_squared(square_of(fraction_of_turn(v, high, low))));
  }
  const float before = e[0], after = o[last - first - 1];
  for (int64_t t = origin; t < first; t++) even[t - origin] = odd[t - origin] = before;
  for (int64_t t = last; t < end + REACH; t++) even[t - origin] = odd[t - origin] = after;
  for (int64_t i = 0; i < end - begin; i += LANES) store(out + i, down.down(even + REACH + i, odd + REACH + i));
}

}  // namespace
}  // namespace xcodec

#else

#include "interface.h"

namespace xcodec {

inline std::vector<Wave> waves_of(const float* alphas, const float* gains, int64_t channels) {
  std::vector<Wave> waves;
  waves.reserve(channels);
  for (int64_t c = 0; c < channels; c++) waves.emplace_back(alphas[c], gains[c]);
  return waves;
}

}  // namespace xcodec

#endif
