// What the interfaces to the kernels share: the names of the variants, what a call returns, and the threads.
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

enum Variant { BASELINE = 0, AVX2 = 1, AVX512 = 2 };
enum Status { DONE = 0, OUT_OF_MEMORY = 1, UNKNOWN_VARIANT = 2 };

inline int64_t pieces(int64_t whole, int64_t size) { return (whole + size - 1) / size; }

// Call work(task, scratch) for every task, on at most so many threads as are useful, each with its own scratch, aligned
// to a cache line.
//
// Threads live for one call: no pool that spins beside torch's own, and nothing that a fork could break. A thread costs
// some 30 microseconds, so `useful` should count pieces of work that take at least a few times that.
template <typename Work>
void run_tasks(int64_t tasks, int64_t useful, int threads, int64_t scratch_floats, Work work) {
  std::atomic<int64_t> next{0};
  auto run = [&](float* scratch) {
    for (int64_t task = next++; task < tasks; task = next++) work(task, scratch);
  };
  useful = useful < threads ? useful : threads;
  useful = useful < tasks ? useful : tasks;
  useful = useful > 1 ? useful : 1;
  const int64_t size = pieces(scratch_floats, 16) * 16;
  std::vector<float> scratch(useful * size + 16);
  float* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64 / sizeof(float);
  std::vector<std::thread> others;
  others.reserve(useful - 1);
  try {
    for (int64_t i = 1; i < useful; i++) others.emplace_back(run, aligned + i * size);
  } catch (const std::exception&) {
    // The system gives no more threads, or no memory for one: those there are do the work.
  }
  run(aligned);
  for (std::thread& thread : others) thread.join();
}

}  // namespace xcodec
