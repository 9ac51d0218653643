// What convolutions in whole numbers share, whether their weights are int8 or int16: sizes, tasks and the last step.
#pragma once

#include <stdint.h>

namespace xcodec {

constexpr int64_t PANEL = 16;        // outputs whose weights lie together
constexpr int64_t MOST_STEPS = 192;  // of the output in a task, a multiple of every variant's GROUP

// The sizes of a convolution over time; a linear map has one tap.
struct Geometry {
  int64_t batch, time, channels, steps, outputs, taps, stride, dilation, padding;
  // Steps of the input that so many of the output see.
  int64_t seen(int64_t count) const { return (count - 1) * stride + (taps - 1) * dilation + 1; }
};

// A task: steps of the output, of one clip and some panels.
struct Outputs {
  int64_t clip, first, last, first_panel, last_panel;
};

}  // namespace xcodec

#ifdef XCODEC_VARIANT

#include "vectors.h"

namespace xcodec {
namespace {

constexpr int VECTORS = PANEL / LANES;                                 // of a step's sums
constexpr int GROUP = LANES == 16 ? 12 : REGISTERS / 4 * 3 / VECTORS;  // steps whose sums are in registers together

// c + both products of the int16s in each place of a and b.
inline Bits add_products(Bits c, Bits a, Bits b) {
#if defined(__AVX512VNNI__)
  return (Bits)_mm512_dpwssd_epi32((__m512i)c, (__m512i)a, (__m512i)b);
#elif defined(__AVX512BW__)
  return c + (Bits)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return c + (Bits)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return c + (Bits)_mm_madd_epi16((__m128i)a, (__m128i)b);
#elif defined(__aarch64__)
  const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
  const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y)), high = vmull_high_s16(x, y);
  return c + (Bits)vpaddq_s32(low, high);
#else
  return c + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

// Scale the sums of a panel of `count` outputs, or fewer than a panel, and add its bias.
template <typename Number>
void write(const float* sums, const float* scale, const float* bias, int64_t count, Number* out) {
  for (int64_t n = 0; n < PANEL; n += LANES) {
    const Vec y = fused(load(sums + n), load(scale + n), load(bias + n));
    if (count - n >= LANES) {
      narrow(out + n, y);
    } else {
      Number padded[LANES];
      narrow(padded, y);
      if (count > n) memcpy(out + n, padded, (count - n) * sizeof(Number));
    }
  }
}

}  // namespace
}  // namespace xcodec

#else  // the interface

#include "interface.h"

namespace xcodec {

constexpr int64_t PRODUCTS_PER_THREAD = 1 << 21;  // some 30 microseconds of work

// Steps of the output in a tile: all tiles are about as large, and none has more than `most` if that is not very few.
inline int64_t steps_in_tile(const Geometry& size, int64_t most) {
  most = most > MOST_STEPS ? MOST_STEPS : most < 24 ? 24 : most / 12 * 12;
  return pieces(pieces(size.steps, pieces(size.steps, most)), 12) * 12;
}

// Call function(job, outputs, scratch) for tiles of `rows` steps; where these are few, for some panels at a time.
template <typename Job>
int run_tiles(void (*function)(const Job&, const Outputs&, float*), const Job& job, int64_t rows,
              int64_t scratch_floats, int threads, ParallelFor parallel_for) {
  const Geometry& size = job.size;
  const int64_t panels = pieces(size.outputs, PANEL), tiles = pieces(size.steps, rows);
  int64_t chunks = threads == 1 ? 1 : pieces(4 * threads, size.batch * tiles);
  chunks = chunks < pieces(panels, 4) ? chunks : pieces(panels, 4);
  const int64_t chunk = pieces(panels, chunks), last_chunk = pieces(panels, chunk);
  const int64_t products = size.batch * size.steps * size.taps * size.channels * size.outputs;
  try {
    run_tasks(size.batch * tiles * last_chunk, products / PRODUCTS_PER_THREAD, threads, parallel_for, scratch_floats,
              [&](int64_t task, float* scratch) {
                const int64_t some = task % last_chunk, tile = task / last_chunk % tiles;
                const int64_t first = tile * rows, last = first + rows, end = (some + 1) * chunk;
                if (first < size.steps)
                  function(job,
                           {task / last_chunk / tiles, first, last < size.steps ? last : size.steps, some * chunk,
                            end < panels ? end : panels},
                           scratch);
              });
  } catch (const std::bad_alloc&) {
    return OUT_OF_MEMORY;
  }
  return DONE;
}

}  // namespace xcodec

#endif
