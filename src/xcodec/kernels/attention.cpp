// Scaled dot-product attention, softmax(q k^T / sqrt(head_dim) + biases) v, without a matrix of scores in memory.
//
// Keys come a block at a time, and the softmax is taken online (Milakov and Gimelshein, 2018; Dao et al., 2022): each
// query keeps a level near the largest score so far, the sum of the exponentials above and below it, and the sum of the
// values that they weigh; where a block brings a much larger score, the level moves there and both sums are scaled
// down. A block of keys (transposed) and of values fits the first-level cache, and passes all queries of a task before
// the next one comes.
//
// Biases go by distance, key - query: gate[query] * table[query][distance], and distances beyond either end of the
// table take its first or last entry. With a table of each query's own that is relative keys (Shaw et al., 2018), with
// gates and one table it is WavLM's attention (Chen et al., 2022).
//
// A query's result depends on its own clip's valid keys alone, in an order that is the same whatever else is computed:
// neither a batch, nor padding, nor the number of threads changes a bit of it.

#include <stdint.h>

namespace xcodec {

constexpr int64_t KEYS = 64;        // in a block
constexpr int64_t GROUP = 6;        // queries whose products are in registers together
constexpr int64_t MOST_ROWS = 384;  // queries in a task, a multiple of GROUP: they stay in the second-level cache
constexpr int64_t WIDEST = 16;      // lanes of the widest vector

// One call. Strides are in elements, and 0 where entries are shared.
struct Attention {
  const void *q, *k, *v;   // (batch, queries, heads, head_dim) and twice (batch, keys, key_heads, head_dim)
  void* out;               // like q; float32 or bfloat16 all four
  const float* table;      // (batch, queries, heads, distances), or null
  const float* gates;      // (batch, queries, heads), or null
  const int64_t* lengths;  // valid keys of each clip, or null
  int64_t batch, queries, keys, heads, key_heads, head_dim;
  int64_t start;            // the step of the first query
  int64_t left, distances;  // the table's first entry is for a key so many steps to the left
  int64_t table_clip, table_query, table_head;
  bool bfloat16;
};

struct Queries {
  int64_t clip, head, first, last;
};

using AttentionFunction = void (*)(const Attention&, const Queries&, float* scratch);

void attention_baseline(const Attention&, const Queries&, float* scratch);
void attention_avx2(const Attention&, const Queries&, float* scratch);
void attention_avx512(const Attention&, const Queries&, float* scratch);
void attention_avx512bf16(const Attention&, const Queries&, float* scratch);
void attention_neon(const Attention&, const Queries&, float* scratch);
void attention_neonbf16(const Attention&, const Queries&, float* scratch);

}  // namespace xcodec

#ifdef XCODEC_VARIANT  // queries, per instruction set

#include "vectors.h"

namespace xcodec {
namespace {

typedef float Four __attribute__((vector_size(16)));
typedef int32_t Places __attribute__((vector_size(16)));
#if defined(__clang__)
#define shuffle(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define shuffle(a, b, ...) __builtin_shuffle(a, b, Places{__VA_ARGS__})
#endif

constexpr float NEVER = -__builtin_inff();  // the score of a key that is not there
constexpr float SLACK = 8.0f;  // how far a score may be above the one whose weight is 1 before all are scaled
constexpr float LOWEST = -3.4028234664e38f;  // below any finite score, and still a number to subtract

// e^x for x up to SLACK, within 1e-7 of itself; 0 below -80, which is nothing beside the largest weight, at least 1.
inline Vec exponential(Vec x) {
  const Bits none = x < splat(-80.0f);
  x = at_least(splat(-80.0f), x);
  const Vec power = nearest(x * 1.4426950408889634f);
  const Vec r = fused(power, splat(-1.4286068e-6f), fused(power, splat(-0.69314575f), x));  // x - power * ln 2
  Vec p = splat(0.0013836793f);  // a minimax polynomial for r in [-ln 2 / 2, ln 2 / 2]
  p = fused(p, r, splat(0.008374857f));
  p = fused(p, r, splat(0.04166823f));
  p = fused(p, r, splat(0.1666642f));
  p = fused(p, r, splat(0.4999999f));
  p = fused(p, r, splat(1.0f));
  p = fused(p, r, splat(1.0f));
  return (Vec)(((Bits)p + (__builtin_convertvector(power, Bits) << 23)) & ~none);
}

inline float sum(Vec v) {
  float lanes[LANES];
  store(lanes, v);
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}

// c += a b for ROWS rows of a, (ROWS, depth), and VECTORS vectors of columns of b, (depth, ...): all of c stays in
// registers. With PAIRS, each place in a and b holds two numbers of the depth.
template <bool PAIRS, int ROWS, int VECTORS>
inline void multiply(float* c, int64_t c_row, const float* a, int64_t a_row, const float* b, int64_t b_row,
                     int64_t depth) {
  Vec sums[ROWS][VECTORS];
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
    for (int j = 0; j < VECTORS; j++) sums[i][j] = load(c + i * c_row + j * LANES);
  for (int64_t d = 0; d < depth; d++, b += b_row) {
    Vec columns[VECTORS];
#pragma GCC unroll 8
    for (int j = 0; j < VECTORS; j++) columns[j] = load(b + j * LANES);
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) {
      const Vec row = splat_bits(a + i * a_row + d);
#pragma GCC unroll 8
      for (int j = 0; j < VECTORS; j++)
        sums[i][j] = PAIRS ? fused_pairs(row, columns[j], sums[i][j]) : fused(row, columns[j], sums[i][j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
    for (int j = 0; j < VECTORS; j++) store(c + i * c_row + j * LANES, sums[i][j]);
}

// The same for any number of columns that is whole vectors.
template <bool PAIRS, int ROWS>
void multiply(float* c, int64_t c_row, const float* a, int64_t a_row, const float* b, int64_t b_row, int64_t depth,
              int64_t columns) {
  constexpr int MOST = REGISTERS == 32 ? 4 : 2;  // vectors of sums for which there are registers
  int64_t j = 0;
  for (; j + MOST * LANES <= columns; j += MOST * LANES)
    multiply<PAIRS, ROWS, MOST>(c + j, c_row, a, a_row, b + j, b_row, depth);
  for (; j < columns; j += LANES) multiply<PAIRS, ROWS, 1>(c + j, c_row, a, a_row, b + j, b_row, depth);
}

// The same for `rows` of them, at most GROUP.
template <bool PAIRS, int ROWS = GROUP>
void multiply(int64_t rows, float* c, int64_t c_row, const float* a, int64_t a_row, const float* b, int64_t b_row,
              int64_t depth, int64_t columns) {
  if constexpr (ROWS > 1) {
    if (rows < ROWS) return multiply<PAIRS, ROWS - 1>(rows, c, c_row, a, a_row, b, b_row, depth, columns);
  }
  multiply<PAIRS, ROWS>(c, c_row, a, a_row, b, b_row, depth, columns);
}

// Ask for a row of keys or values, a while before it is read.
template <typename Number>
inline void ask_for(const Number* row, int64_t count) {
  for (int64_t d = 0; d < count; d += 64 / (int64_t)sizeof(Number)) __builtin_prefetch(row + d, 0, 2);
}

// A row of head_dim numbers, times a factor.
template <typename Number>
inline void read(const Number* row, int64_t count, float factor, float* out) {
  int64_t d = 0;
  for (; d + LANES <= count; d += LANES) store(out + d, widen(row + d) * factor);
  if (d == count) return;
  Number padded[LANES] = {};
  float rest[LANES];
  memcpy(padded, row + d, (count - d) * sizeof(Number));
  store(rest, widen(padded) * factor);
  memcpy(out + d, rest, (count - d) * sizeof(float));
}

// The same in bfloat16, with zeros up to a width that is whole vectors.
inline void read_halves(const uint16_t* row, int64_t count, float factor, int64_t width, float* out) {
  memset(out, 0, width / 2 * sizeof(float));
  if (factor == 1.0f) {
    memcpy(out, row, count * sizeof(uint16_t));
    return;
  }
  for (int64_t d = 0; d < count; d += LANES) {
    uint16_t padded[LANES] = {};
    memcpy(padded, row + d, at_most(count - d, LANES) * sizeof(uint16_t));
    narrow((uint16_t*)out + d, widen(padded) * factor);
  }
}

// Two rows of `width`, each place with a number of either; zeros past `count`, and for a second row that is null.
inline void read_pairs(const uint16_t* row, const uint16_t* next, int64_t count, int64_t width, float* out) {
  for (int64_t d = 0; d < width; d += LANES) {
    Half first = {}, second = {};
    const size_t size = at_least(at_most(count - d, LANES), 0) * sizeof(uint16_t);
    if (size == sizeof first && next) {
      memcpy(&first, row + d, sizeof first);
      memcpy(&second, next + d, sizeof second);
    } else {
      memcpy(&first, row + d, size);
      if (next) memcpy(&second, next + d, size);
    }
    store(out + d, (Vec)(__builtin_convertvector(first, Bits) | __builtin_convertvector(second, Bits) << 16));
  }
}

// (rows, columns) -> (columns, KEYS), in squares of four as far as they go.
inline void transpose(const float* from, int64_t row, int64_t rows, int64_t columns, float* to) {
  const int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (int64_t j = 0; j < whole_rows; j += 4) {
    for (int64_t d = 0; d < whole_columns; d += 4) {
      Four a, b, c, e;
      memcpy(&a, from + j * row + d, sizeof a);
      memcpy(&b, from + (j + 1) * row + d, sizeof b);
      memcpy(&c, from + (j + 2) * row + d, sizeof c);
      memcpy(&e, from + (j + 3) * row + d, sizeof e);
      const Four ab = shuffle(a, b, 0, 4, 1, 5), ab2 = shuffle(a, b, 2, 6, 3, 7);
      const Four ce = shuffle(c, e, 0, 4, 1, 5), ce2 = shuffle(c, e, 2, 6, 3, 7);
      a = shuffle(ab, ce, 0, 1, 4, 5);
      b = shuffle(ab, ce, 2, 3, 6, 7);
      c = shuffle(ab2, ce2, 0, 1, 4, 5);
      e = shuffle(ab2, ce2, 2, 3, 6, 7);
      memcpy(to + d * KEYS + j, &a, sizeof a);
      memcpy(to + (d + 1) * KEYS + j, &b, sizeof b);
      memcpy(to + (d + 2) * KEYS + j, &c, sizeof c);
      memcpy(to + (d + 3) * KEYS + j, &e, sizeof e);
    }
    for (int64_t d = whole_columns; d < columns; d++)
      for (int64_t i = j; i < j + 4; i++) to[d * KEYS + i] = from[i * row + d];
  }
  for (int64_t i = whole_rows; i < rows; i++)
    for (int64_t d = 0; d < columns; d++) to[d * KEYS + i] = from[i * row + d];
}

// The biases of a query at `step` and KEYS keys from `first` on.
inline void read_biases(const float* table, float gate, int64_t left, int64_t distances, int64_t step, int64_t first,
                        float* out) {
  const int64_t offset = first - step + left;  // of the first key's bias in the table
  const int64_t from = at_most(at_least(-offset, 0), KEYS), to = at_least(at_most(distances - offset, KEYS), from);
  for (int64_t j = 0; j < from; j++) out[j] = gate * table[0];
  for (int64_t j = from; j < to; j++) out[j] = gate * table[offset + j];
  for (int64_t j = to; j < KEYS; j++) out[j] = gate * table[distances - 1];
}

// With PAIRS, numbers of bfloat16 are multiplied as they are, two in a float's place: those of queries and keys along
// head_dim, those of weights and values along the keys.
template <typename Number, bool PAIRS>
void attend(const Attention& job, const Queries& task, float* scratch) {
  const int64_t dim = job.head_dim, width = (dim + LANES - 1) / LANES * LANES, depth = PAIRS ? width / 2 : dim;
  const int64_t count = task.last - task.first, rows = (count + GROUP - 1) / GROUP * GROUP;
  const int64_t n = job.lengths ? at_least(at_most(job.lengths[task.clip], job.keys), 0) : job.keys;
  const int64_t key_head = task.head / (job.heads / job.key_heads), key_row = job.key_heads * dim;
  const int64_t first_query = (task.clip * job.queries + task.first) * job.heads + task.head;
  const Number* q = (const Number*)job.q + first_query * dim;
  const Number* k = (const Number*)job.k + (task.clip * job.keys * job.key_heads + key_head) * dim;
  const Number* v = (const Number*)job.v + (task.clip * job.keys * job.key_heads + key_head) * dim;
  Number* out = (Number*)job.out + first_query * dim;
  const float* table = job.table;
  if (table) table += task.clip * job.table_clip + task.first * job.table_query + task.head * job.table_head;

  float* keys = scratch;                    // (depth, KEYS)
  float* values = keys + depth * KEYS;      // (KEYS, width), in pairs (KEYS / 2, width)
  float* scores = values + KEYS * width;    // (GROUP, KEYS)
  float* totals = scores + GROUP * KEYS;    // (rows, width)
  float* weights = totals + rows * width;   // (rows, LANES): partial sums of each query's weights
  float* queries = weights + rows * LANES;  // (rows, depth)
  float* level = queries + rows * depth;    // (rows,): the score whose weight is 1
  memset(totals, 0, rows * (width + LANES + depth) * sizeof(float));
  const float factor = 1.0f / __builtin_sqrtf((float)dim);
  for (int64_t i = 0; i < rows; i++) level[i] = LOWEST;
  for (int64_t i = 0; i < count; i++) {
    if constexpr (PAIRS) read_halves(q + i * job.heads * dim, dim, factor, width, queries + i * depth);
    else read(q + i * job.heads * dim, dim, factor, queries + i * depth);
  }

  for (int64_t first = 0; first < n; first += KEYS) {
    const int64_t found = at_most(n - first, KEYS);
    if (found < KEYS || width != dim) memset(keys, 0, (depth + width) * KEYS * sizeof(float));
    const Number *block = k + first * key_row, *block_values = v + first * key_row;
    for (int64_t j = 0; j < found; j++) {
      if constexpr (PAIRS) read_halves(block + j * key_row, dim, 1.0f, width, values + j * width);
      else read(block + j * key_row, dim, 1.0f, values + j * width);
    }
    transpose(values, width, found, depth, keys);
    if constexpr (PAIRS) {
      for (int64_t j = 0; j < KEYS; j += 2) {
        const Number* row = block_values + j * key_row;
        read_pairs(row, j + 1 < found ? row + key_row : nullptr, j < found ? dim : 0, width, values + j / 2 * width);
      }
    } else {
      for (int64_t j = 0; j < found; j++) read(block_values + j * key_row, dim, 1.0f, values + j * width);
    }
    // Rows of keys lie apart, and no processor guesses where: those of the next block, or of the next head, are asked
    // for.
    const int64_t after = first + KEYS < n ? first + KEYS : 0, offset = after ? 0 : dim;
    const int64_t coming = after || key_head + 1 < job.key_heads ? at_most(n - after, KEYS) : 0;
    for (int64_t row = 0; row < rows; row += GROUP) {
      const int64_t in_group = at_most(count - row, GROUP);
      for (int64_t j = after + row * coming / rows; j < after + (row + GROUP) * coming / rows; j++) {
        ask_for(k + j * key_row + offset, dim);
        ask_for(v + j * key_row + offset, dim);
      }
      if (table) {
        for (int64_t i = row; i < row + in_group; i++) {
          const float gate = job.gates ? job.gates[first_query + i * job.heads] : 1.0f;
          read_biases(table + i * job.table_query, gate, job.left, job.distances, job.start + task.first + i, first,
                      scores + (i - row) * KEYS);
        }
      } else {
        memset(scores, 0, GROUP * KEYS * sizeof(float));
      }
      multiply<PAIRS>(in_group, scores, KEYS, queries + row * depth, depth, keys, KEYS, depth, KEYS);
      for (int64_t i = 0; i < in_group; i++) {
        float* score = scores + i * KEYS;
        for (int64_t j = found; j < KEYS; j++) score[j] = NEVER;
        Vec top = load(score);
        for (int64_t j = LANES; j < KEYS; j += LANES) top = at_least(top, load(score + j));
        float* weight = weights + (row + i) * LANES;
        if (!all_at_most(top, splat(level[row + i] + SLACK))) {
          const float now = largest(top);
          const Vec less = exponential(splat(level[row + i] - now));
          float* total = totals + (row + i) * width;
          for (int64_t d = 0; d < width; d += LANES) store(total + d, load(total + d) * less);
          store(weight, load(weight) * less);
          level[row + i] = now;
        }
        const Vec zero = splat(level[row + i]);
        Vec added = splat(0.0f);
        for (int64_t j = 0; j < KEYS; j += LANES) {
          const Vec each = exponential(load(score + j) - zero);
          if constexpr (PAIRS) narrow((uint16_t*)score + j, each);
          else store(score + j, each);
          added += each;
        }
        store(weight, load(weight) + added);
      }
      multiply<PAIRS>(in_group, totals + row * width, width, scores, KEYS, values, width, PAIRS ? KEYS / 2 : KEYS,
                      width);
    }
  }

  for (int64_t i = 0; i < count; i++) {
    const float weight = sum(load(weights + i * LANES)), share = n ? 1.0f / weight : 0.0f;
    const float* total = totals + i * width;
    Number* to = out + i * job.heads * dim;
    for (int64_t d = 0; d < dim; d += LANES) {
      if (dim - d >= LANES) {
        narrow(to + d, load(total + d) * share);
      } else {
        Number padded[LANES];
        narrow(padded, load(total + d) * share);
        memcpy(to + d, padded, (dim - d) * sizeof(Number));
      }
    }
  }
}

}  // namespace

void XCODEC_NAME(attention_)(const Attention& job, const Queries& task, float* scratch) {
  // Queries in pairs are scaled before they are rounded, which loses nothing where the factor is a power of two.
  const bool exact = (job.head_dim & (job.head_dim - 1)) == 0 && __builtin_ctzll(job.head_dim) % 2 == 0;
  if (!job.bfloat16) attend<float, false>(job, task, scratch);
  else exact ? attend<uint16_t, HAS_PAIRS>(job, task, scratch) : attend<uint16_t, false>(job, task, scratch);
}

}  // namespace xcodec

#else  // the interface

#include "interface.h"

namespace xcodec {
namespace {

const AttentionFunction ATTENTION[] = XCODEC_VARIANTS(attention_);

constexpr int64_t FEWEST_ROWS = 48;  // queries in a task: reading the keys for fewer would cost as much as they do
constexpr int64_t PRODUCTS_PER_THREAD = 1 << 20;  // some 30 microseconds of work, as ELEMENTS_PER_THREAD in snake.cpp

// Floats that one thread needs: queries and sums of a task, a block of keys and values, scores of a group.
int64_t attention_scratch(int64_t rows, int64_t head_dim) {
  const int64_t width = (head_dim + WIDEST - 1) / WIDEST * WIDEST;
  return rows * (2 * width + WIDEST + 1) + KEYS * 2 * width + GROUP * KEYS + 8 * WIDEST;
}

}  // namespace
}  // namespace xcodec

XCODEC_EXPORT int xcodec_attention(int variant, int64_t bfloat16, const void* q, const void* k, const void* v,
                                   void* out, const float* table, const float* gates, const int64_t* lengths,
                                   int64_t batch, int64_t queries, int64_t keys, int64_t heads, int64_t key_heads,
                                   int64_t head_dim, int64_t start, int64_t left, int64_t distances, int64_t table_clip,
                                   int64_t table_query, int64_t table_head, int threads,
                                   xcodec::ParallelFor parallel_for) {
  using namespace xcodec;
  const AttentionFunction function = variant_of(ATTENTION, variant);
  if (!function) return UNKNOWN_VARIANT;
  Attention job{};
  job.q = q;
  job.k = k;
  job.v = v;
  job.out = out;
  job.table = table;
  job.gates = gates;
  job.lengths = lengths;
  job.batch = batch;
  job.queries = queries;
  job.keys = keys;
  job.heads = heads;
  job.key_heads = key_heads;
  job.head_dim = head_dim;
  job.start = start;
  job.left = left;
  job.distances = distances;
  job.table_clip = table_clip;
  job.table_query = table_query;
  job.table_head = table_head;
  job.bfloat16 = bfloat16 != 0;
  // Pieces of equal size, small enough that each thread gets several.
  int64_t chunks = pieces(queries, MOST_ROWS);
  const int64_t wanted = pieces(4 * threads, batch * heads), possible = pieces(queries, FEWEST_ROWS);
  if (chunks < wanted) chunks = wanted < possible ? wanted : possible;
  const int64_t rows = pieces(pieces(queries, chunks), GROUP) * GROUP;
  chunks = pieces(queries, rows);
  try {
    run_tasks(batch * heads * chunks, batch * heads * queries * keys * head_dim / PRODUCTS_PER_THREAD, threads,
              parallel_for, attention_scratch(rows, head_dim), [&](int64_t task, float* scratch) {
                const int64_t chunk = task % chunks, head = task / chunks % heads, clip = task / chunks / heads;
                const int64_t end = (chunk + 1) * rows;
                function(job, {clip, head, chunk * rows, end < queries ? end : queries}, scratch);
              });
  } catch (const std::bad_alloc&) {
    return OUT_OF_MEMORY;
  }
  return DONE;
}

#endif
