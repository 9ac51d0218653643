// What the interfaces to the kernels share: the variants of a function, what a call returns, and the threads.
#pragma once

#include <stdint.h>

#include <atomic>
#include <exception>
#include <new>
#include <thread>
#include <vector>

#if defined(_WIN32)
#define XCODEC_EXPORT extern "C" __declspec(dllexport)
#else
#define XCODEC_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace xcodec {

constexpr int VARIANTS = 6;
enum Status { DONE = 0, OUT_OF_MEMORY = 1, UNKNOWN_VARIANT = 2 };

// The functions whose names begin with `stem`, by the number of their variant: null where one was not compiled.
#define XCODEC_VARIANTS(stem)                                                                          \
  {XCODEC_IF_BASELINE(stem##baseline),     XCODEC_IF_AVX2(stem##avx2), XCODEC_IF_AVX512(stem##avx512), \
   XCODEC_IF_AVX512BF16(stem##avx512bf16), XCODEC_IF_NEON(stem##neon), XCODEC_IF_NEONBF16(stem##neonbf16)}
#ifdef XCODEC_BASELINE
#define XCODEC_IF_BASELINE(function) function
#else
#define XCODEC_IF_BASELINE(function) nullptr
#endif
#ifdef XCODEC_AVX2
#define XCODEC_IF_AVX2(function) function
#else
#define XCODEC_IF_AVX2(function) nullptr
#endif
#ifdef XCODEC_AVX512
#define XCODEC_IF_AVX512(function) function
#else
#define XCODEC_IF_AVX512(function) nullptr
#endif
#ifdef XCODEC_AVX512BF16
#define XCODEC_IF_AVX512BF16(function) function
#else
#define XCODEC_IF_AVX512BF16(function) nullptr
#endif
#ifdef XCODEC_NEON
#define XCODEC_IF_NEON(function) function
#else
#define XCODEC_IF_NEON(function) nullptr
#endif
#ifdef XCODEC_NEONBF16
#define XCODEC_IF_NEONBF16(function) function
#else
#define XCODEC_IF_NEONBF16(function) nullptr
#endif

template <typename Function>
Function variant_of(const Function (&variants)[VARIANTS], int variant) {
  return variant >= 0 && variant < VARIANTS ? variants[variant] : nullptr;
}

inline int64_t pieces(int64_t whole, int64_t size) { return (whole + size - 1) / size; }

// torch_parallel_for of torch's stable C interface: it calls work(first, last, context) on torch's own threads for
// ranges that make up [begin, end), each of at least `grain`, and returns 0 when all are done.
using ParallelFor = int32_t (*)(int64_t begin, int64_t end, int64_t grain, void (*work)(int64_t, int64_t, void*),
                                void* context);

// Call work(task, scratch) for every task, on at most so many threads as are useful, each with its own scratch, aligned
// to a cache line.
//
// The threads are torch's, since those go on spinning after torch's own work, and others would share the cores with
// them; a torch that lends none is null, and the threads then live for one call. They cost 30 microseconds each, so
// `useful` should count pieces of work that take at least that.
template <typename Work>
void run_tasks(int64_t tasks, int64_t useful, int threads, ParallelFor parallel_for, int64_t scratch_floats,
               Work work) {
  useful = useful < threads ? useful : threads;
  useful = useful < tasks ? useful : tasks;
  useful = useful > 1 ? useful : 1;
  const int64_t size = pieces(scratch_floats, 16) * 16;
  std::vector<float> scratch(useful * size + 16);
  float* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64 / sizeof(float);
  std::atomic<int64_t> next{0};
  auto run = [&](int64_t thread) {
    for (int64_t task = next++; task < tasks; task = next++) work(task, aligned + thread * size);
  };
  if (useful > 1 && parallel_for) {
    auto run_range = [](int64_t first, int64_t last, void* context) {
      for (int64_t i = first; i < last; i++) (*static_cast<decltype(run)*>(context))(i);
    };
    parallel_for(0, useful, 1, run_range, &run);
  } else {
    std::vector<std::thread> others;
    others.reserve(useful - 1);
    try {
      for (int64_t i = 1; i < useful; i++) others.emplace_back(run, i);
    } catch (const std::exception&) {
      // The system gives no more threads, or no memory for one: those there are do the work.
    }
    run(0);
    for (std::thread& thread : others) thread.join();
  }
  run(0);  // whatever torch refused to do
}

}  // namespace xcodec
