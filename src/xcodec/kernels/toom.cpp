// Convolutions of 7 taps over time in fewer products: 20 for 8 steps of output in place of 56.
//
// Taps and steps of even and of odd number are two filters and two signals, whose convolution takes three of half as
// many taps (Karatsuba and Ofman, 1962; as a filter, Winograd, 1980). Each of these makes 4 steps from 7, by
// polynomials that are evaluated at 0, 1, -1, 2, -2, -1/2 and infinity (Toom, 1963; Cook, 1966). Of the odd taps there
// are three, so that their value at infinity is zero. So few and such small points keep the error that of float32's own
// sums, which one level of 10 points, with as few products, does not.
//
// A tile is 8 steps of output, `dilation` apart, so that dilated convolutions are others on interleaved steps. What 20
// combinations of a tile's 14 steps are, for all tiles of a task, meets the weights' 20 combinations in matrix
// products; these stay in the second-level cache while the weights of all outputs pass.
//
// A tile's result depends on its own steps alone, in an order that is the same whatever else is computed: neither a
// batch, nor padding, nor the number of threads changes a bit of it.

#include <stdint.h>

namespace xcodec {

constexpr int64_t STEPS = 8;          // of output in a tile
constexpr int64_t SEEN = 14;          // of input in it
constexpr int64_t PRODUCTS = 20;      // that a tile takes
constexpr int64_t PANEL = 16;         // outputs whose weights lie together
constexpr int64_t DEEPEST = 64;       // channels whose products are added up by themselves, which keeps errors small
constexpr int64_t MOST_TILES = 96;    // in a task, a multiple of every variant's GROUP
constexpr int64_t FEWEST_TILES = 24;  // so that weights are not read for less

// One call.
struct ToomConv {
  const float* x;       // (batch, time, channels)
  const float* weight;  // (PRODUCTS, panels, channels, PANEL)
  const float* bias;    // (panels * PANEL,)
  float* out;           // (batch, steps, outputs)
  int64_t batch, time, channels, steps, outputs, dilation, padding;
  int64_t panels() const { return (outputs + PANEL - 1) / PANEL; }
  int64_t row() const { return (channels + 15) / 16 * 16 + 16; }  // floats apart: no power of two, for the cache's sake
  int64_t out_row() const { return panels() * PANEL; }
  int64_t tiles() const { return (steps + STEPS * dilation - 1) / (STEPS * dilation) * dilation; }
};

// At least so many floats, such that what lies a few times as many apart falls into different sets of the cache.
inline int64_t spread(int64_t floats) { return ((floats + 1023) / 1024 * 64 + 5) * 16; }

// Some tiles of a clip: tile i begins at step i / dilation * STEPS * dilation + i % dilation.
struct Tiles {
  int64_t clip, first, last;
};

using ToomFunction = void (*)(const ToomConv&, const Tiles&, float* scratch);

void toom_baseline(const ToomConv&, const Tiles&, float* scratch);
void toom_avx2(const ToomConv&, const Tiles&, float* scratch);
void toom_avx512(const ToomConv&, const Tiles&, float* scratch);
void toom_avx512bf16(const ToomConv&, const Tiles&, float* scratch);
void toom_neon(const ToomConv&, const Tiles&, float* scratch);
void toom_neonbf16(const ToomConv&, const Tiles&, float* scratch);

}  // namespace xcodec

#ifdef XCODEC_VARIANT  // tiles, per instruction set

#include "vectors.h"

namespace xcodec {
namespace {

constexpr int VECTORS = PANEL / LANES;                                 // of a tile's sums
constexpr int GROUP = LANES == 16 ? 12 : REGISTERS / 4 * 3 / VECTORS;  // tiles whose sums are in registers together

// The combinations of 7 steps that stand for the polynomial's values at 0, 1, -1, 2, -2, -1/2 and infinity; each
// is a product of the other points' factors, (2x + 1) for that of -1/2. They are `apart` in memory.
inline void evaluate(const Vec* v, bool has_last, float* out, int64_t apart) {
  const Vec w0 = v[0] + 2.0f * v[1], w1 = v[1] + 2.0f * v[2], w2 = v[2] + 2.0f * v[3], w3 = v[3] + 2.0f * v[4],
            w4 = v[4] + 2.0f * v[5];
  const Vec q0 = w3 - 4.0f * w1, q1 = w4 - 4.0f * w2, r0 = w3 - w1, r1 = w4 - w2;
  store(out, (w4 - 5.0f * w2) + 4.0f * w0);
  store(out + apart, q1 + q0);
  store(out + 2 * apart, q1 - q0);
  store(out + 3 * apart, r1 + 2.0f * r0);
  store(out + 4 * apart, r1 - 2.0f * r0);
  store(out + 5 * apart, (v[5] - 5.0f * v[3]) + 4.0f * v[1]);
  if (has_last) {
    const Vec w5 = v[5] + 2.0f * v[6];
    store(out + 6 * apart, (w5 - 5.0f * w3) + 4.0f * w1);
  }
}

// The 4 steps that products with the values at these points make.
inline void interpolate(const float* m, int64_t apart, bool has_last, Vec* y) {
  const Vec p1 = load(m + apart), n1 = load(m + 2 * apart), p2 = load(m + 3 * apart), n2 = load(m + 4 * apart),
            half = load(m + 5 * apart);
  const Vec s1 = p1 + n1, d1 = p1 - n1, s2 = p2 + n2, d2 = p2 - n2;
  y[0] = (load(m) + s1) + (s2 + half);
  y[1] = (d1 + 2.0f * d2) - 0.5f * half;
  y[2] = (s1 + 4.0f * s2) + 0.25f * half;
  y[3] = (d1 + 8.0f * d2) - 0.125f * half;
  if (has_last) y[3] += load(m + 6 * apart);
}

// Where tile i begins.
inline int64_t start_of(int64_t i, int64_t dilation) { return i / dilation * STEPS * dilation + i % dilation; }

// A tile's combinations of channels [c, c + LANES) of its steps; channels from `count` on are zero.
inline void transform(const ToomConv& job, const float* x, int64_t start, int64_t c, int64_t apart, float* out) {
  Vec d[SEEN];
  for (int64_t l = 0; l < SEEN; l++) {
    const int64_t t = start + l * job.dilation - job.padding;
    if (t < 0 || t >= job.time) {
      d[l] = splat(0.0f);
    } else if (job.channels - c >= LANES) {
      d[l] = load(x + t * job.channels + c);
    } else {
      float rest[LANES] = {};
      memcpy(rest, x + t * job.channels + c, (job.channels - c) * sizeof(float));
      d[l] = load(rest);
    }
  }
  Vec v[7];
  for (int u = 0; u < 7; u++) v[u] = d[2 * u] - d[2 * u + 1];
  evaluate(v, true, out, apart);
  for (int u = 0; u < 7; u++) v[u] = d[2 * u + 1];
  evaluate(v, true, out + 7 * apart, apart);
  for (int u = 0; u < 6; u++) v[u] = d[2 * u + 2] - d[2 * u + 1];
  evaluate(v, false, out + 14 * apart, apart);
}

// A tile's steps of outputs [c, c + LANES), bias and all.
inline void untransform(const ToomConv& job, const float* m, int64_t apart, int64_t start, int64_t c, float* out) {
  Vec first[4], both[4], last[4];
  interpolate(m, apart, true, first);
  interpolate(m + 7 * apart, apart, true, both);
  interpolate(m + 14 * apart, apart, false, last);
  const Vec bias = load(job.bias + c);
  for (int j = 0; j < STEPS; j++) {
    const int64_t t = start + j * job.dilation;
    if (t >= job.steps) return;
    const Vec y = (j % 2 ? both[j / 2] + last[j / 2] : first[j / 2] + both[j / 2]) + bias;
    float* to = out + t * job.outputs + c;
    if (job.outputs - c >= LANES) {
      store(to, y);
    } else {
      float padded[LANES];
      store(padded, y);
      memcpy(to, padded, (job.outputs - c) * sizeof(float));
    }
  }
}

// m = a w, or m += a w where some channels have been multiplied before: COUNT tiles by a panel's outputs.
template <int COUNT>
void multiply(const float* a, int64_t row, const float* w, int64_t depth, bool adding, float* m, int64_t m_row) {
  Vec sums[COUNT][VECTORS];
#pragma GCC unroll 12
  for (int i = 0; i < COUNT; i++)
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; j++) sums[i][j] = splat(0.0f);
  for (int64_t k = 0; k < depth; k++, w += PANEL) {
    Vec columns[VECTORS];
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; j++) columns[j] = load(w + j * LANES);
#pragma GCC unroll 12
    for (int i = 0; i < COUNT; i++) {
      const Vec each = splat_bits(a + i * row + k);
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; j++) sums[i][j] = fused(each, columns[j], sums[i][j]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < COUNT; i++)
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; j++) {
      float* to = m + i * m_row + j * LANES;
      store(to, adding ? load(to) + sums[i][j] : sums[i][j]);
    }
}

using Multiply = void (*)(const float*, int64_t, const float*, int64_t, bool, float*, int64_t);

// The function for the last `count` tiles, at most GROUP.
template <int COUNT = GROUP>
Multiply multiply_of(int64_t count) {
  if constexpr (COUNT == 1) return multiply<1>;
  else return count == COUNT ? multiply<COUNT> : multiply_of<COUNT - 1>(count);
}

}  // namespace

void XCODEC_NAME(toom_)(const ToomConv& job, const Tiles& task, float* scratch) {
  const int64_t count = task.last - task.first, row = job.row(), out_row = job.out_row(), panels = job.panels();
  const int64_t apart = spread(count * row), out_apart = spread(count * out_row), rest = count % GROUP;
  float* products = scratch + PRODUCTS * apart;
  const float* x = job.x + task.clip * job.time * job.channels;
  for (int64_t i = 0; i < count; i++)
    for (int64_t c = 0; c < job.channels; c += LANES)
      transform(job, x, start_of(task.first + i, job.dilation), c, apart, scratch + i * row + c);
  const Multiply last = multiply_of(rest ? rest : GROUP);
  for (int64_t p = 0; p < PRODUCTS; p++) {
    for (int64_t n = 0; n < panels; n++) {
      const float* panel = job.weight + (p * panels + n) * job.channels * PANEL;
      float* m = products + p * out_apart + n * PANEL;
      for (int64_t first = 0; first < job.channels; first += DEEPEST) {
        const int64_t depth = at_most(DEEPEST, job.channels - first);
        const float *a = scratch + p * apart + first, *w = panel + first * PANEL;
        int64_t i = 0;
        for (; i + GROUP <= count; i += GROUP)
          multiply<GROUP>(a + i * row, row, w, depth, first > 0, m + i * out_row, out_row);
        if (i < count) last(a + i * row, row, w, depth, first > 0, m + i * out_row, out_row);
      }
    }
  }
  float* out = job.out + task.clip * job.steps * job.outputs;
  for (int64_t i = 0; i < count; i++)
    for (int64_t c = 0; c < job.outputs; c += LANES)
      untransform(job, products + i * out_row + c, out_apart, start_of(task.first + i, job.dilation), c, out);
}

}  // namespace xcodec

#else  // the interface

#include "interface.h"

namespace xcodec {
namespace {

const ToomFunction TOOM[] = XCODEC_VARIANTS(toom_);

constexpr int64_t PRODUCTS_PER_THREAD = 1 << 20;  // some 30 microseconds of work

}  // namespace
}  // namespace xcodec

XCODEC_EXPORT int xcodec_toom_conv(int variant, const float* x, const float* weight, const float* bias, float* out,
                                   int64_t batch, int64_t time, int64_t channels, int64_t steps, int64_t outputs,
                                   int64_t dilation, int64_t padding, int threads, xcodec::ParallelFor parallel_for) {
  using namespace xcodec;
  const ToomFunction function = variant_of(TOOM, variant);
  if (!function) return UNKNOWN_VARIANT;
  const ToomConv job{x, weight, bias, out, batch, time, channels, steps, outputs, dilation, padding};
  // Tasks of equal size; each thread gets several where that leaves each enough tiles.
  const int64_t tiles = job.tiles();
  int64_t chunks = pieces(tiles, MOST_TILES);
  if (threads > 1) {
    const int64_t wanted = pieces(4 * threads, batch), possible = pieces(tiles, FEWEST_TILES);
    if (chunks < wanted) chunks = wanted < possible ? wanted : possible;
  }
  const int64_t most = pieces(tiles, chunks);
  chunks = pieces(tiles, most);
  const int64_t useful = batch * tiles * PRODUCTS * channels * outputs / PRODUCTS_PER_THREAD;
  try {
    run_tasks(batch * chunks, useful, threads, parallel_for,
              PRODUCTS * (spread(most * job.row()) + spread(most * job.out_row())), [&](int64_t task, float* scratch) {
                const int64_t first = task % chunks * most, last = first + most;
                function(job, {task / chunks, first, last < tiles ? last : tiles}, scratch);
              });
  } catch (const std::bad_alloc&) {
    return OUT_OF_MEMORY;
  }
  return DONE;
}

#endif
