// The emulated body of wgmma.mma_async.m64n128k16 (PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions"), for
// kernels/ptx_hopper.cuh. Addresses of shared memory count from the beginning of the dynamic one.
//
// A product is done when waited for. Until then its scores hold a NaN; its operands must be there when it begins, fenced
// for the asynchronous proxy, and must not change. A thread computes its own scores, and vouches for their operands.
#pragma once
#include <cstdint>
#include <cstring>

#include "cuda_fp16.h"
#include "memory.h"
#include "warp.h"

namespace emulation {

static inline unsigned shared_address(const void* shared) {
  return static_cast<unsigned>(static_cast<const unsigned char*>(shared) - current->dynamic_shared);
}

// A matrix of float16 in shared memory, whose rows are given (K-major), as its descriptor says. The leading dimension
// offset means nothing for these.
class SharedMatrix {
 public:
  explicit SharedMatrix(unsigned long long descriptor, EMULATION_HERE)
      : start_((descriptor & 0x3fff) << 4), stride_((descriptor >> 32 & 0x3fff) << 4), base_(current->dynamic_shared) {
    const int mode = static_cast<int>(descriptor >> 62);
    if (mode == 0) fail("wgmma: matrices without swizzle are not emulated (%s:%d)", place.file, place.line);
    if (descriptor >> 49 & 7) fail("wgmma: a base offset is not emulated (%s:%d)", place.file, place.line);
    width_ = 256u >> mode;  // 128, 64, 32 bytes for modes 1, 2, 3
  }

  // The 16 bytes numbered `half` of the 16 columns of a row.
  const unsigned char* piece(int row, int half) const {
    const unsigned address = start_ + row / 8 * stride_ + row % 8 * width_ + half * 16;
    return base_ + (address ^ ((address >> 7 & (width_ / 16 - 1)) << 4));
  }
  void read(int row, float* values) const {
    for (int half = 0; half < 2; half++) {
      __half pieces[8];
      std::memcpy(pieces, piece(row, half), sizeof pieces);
      for (int i = 0; i < 8; i++) values[8 * half + i] = pieces[i];
    }
  }

 private:
  unsigned start_, stride_, width_;
  const unsigned char* base_;
};

// One thread's: rows `row` and row + 8 of a by columns 8 i + column and the next, which are rows of b.
class Product {
 public:
  Product(float (&d)[2][32], unsigned long long a, unsigned long long b, bool accumulate, Place place)
      : d_(&d[0][0]), a_(a, place), b_(b, place), accumulate_(accumulate), place_(place) {
    row_ = static_cast<int>(current->thread.x / 32 % 4 * 16 + current->lane / 4);
    column_ = current->lane % 4 * 2;
    each_piece([&](const unsigned char* piece) {
      if (unfenced(piece))
        fail("wgmma: shared memory was written, but not fenced for the asynchronous proxy (%s:%d)", place.file,
             place.line);
    });
    digest_ = digest();
    began_in_flight_ = true;
    for (int i = 0; i < 64; i++) began_in_flight_ &= bits(d_[i]) == kInFlight;
    std::memcpy(start_, d_, sizeof start_);
    poison();
  }

  void finish() const {
    if (digest() != digest_)
      fail("wgmma: operands changed before the product was waited for (%s:%d)", place_.file, place_.line);
    float rows[2][16], columns[16];
    for (int i = 0; i < 2; i++) a_.read(row_ + 8 * i, rows[i]);
    for (int j = 0; j < 32; j++) {
      b_.read(j / 2 * 8 + column_ + j % 2, columns);
      for (int i = 0; i < 2; i++) {
        float& score = d_[32 * i + j];
        double sum = !accumulate_ ? 0.0 : began_in_flight_ ? score : start_[32 * i + j];
        for (int k = 0; k < 16; k++) sum += static_cast<double>(rows[i][k] * columns[k]);
        const float nearest = static_cast<float>(sum);
        score = std::fabs(static_cast<double>(nearest)) > std::fabs(sum) ? nextafterf(nearest, 0.0f) : nearest;
      }
    }
  }

 private:
  static constexpr unsigned kInFlight = 0xffc0f11e;  // a NaN
  static unsigned bits(float value) {
    unsigned word;
    std::memcpy(&word, &value, sizeof word);
    return word;
  }
  void poison() const {
    for (int i = 0; i < 64; i++) std::memcpy(d_ + i, &kInFlight, sizeof kInFlight);
  }
  template <class Take>
  void each_piece(Take take) const {
    for (int half = 0; half < 2; half++) {
      for (int i = 0; i < 2; i++) take(a_.piece(row_ + 8 * i, half));
      for (int j = 0; j < 32; j++) take(b_.piece(j / 2 * 8 + column_ + j % 2, half));
    }
  }
  uint64_t digest() const {
    uint64_t sum = 0;
    each_piece([&](const unsigned char* piece) {
      uint64_t words[2];
      std::memcpy(words, piece, sizeof words);
      for (uint64_t word : words) sum = (sum ^ word) * 0x9E3779B97F4A7C15u;
    });
    return sum;
  }

  float* d_;
  SharedMatrix a_, b_;
  bool accumulate_, began_in_flight_;
  Place place_;
  int row_, column_;
  uint64_t digest_;
  float start_[64];
};

static inline void wgmma(float (&d)[2][32], unsigned long long a, unsigned long long b, bool accumulate,
                         EMULATION_HERE) {
  if (!current->fenced_registers)
    fail("wgmma: scores were touched, and no wgmma.fence since (%s:%d)", place.file, place.line);
  const Product product(d, a, b, accumulate, place);  // before lanes meet, so that it finds copies which land too late
  struct Operands {
    unsigned long long a, b;
    bool accumulate;
  } const mine = {a, b, accumulate};
  const auto lanes = gather(0xffffffffu, mine, "wgmma", place);
  if (lanes[0].a != a || lanes[0].b != b || lanes[0].accumulate != accumulate)
    fail("wgmma: lanes differ in their operands (%s:%d)", place.file, place.line);
  defer([product] { product.finish(); });
}

static inline void wgmma_fence() { current->fenced_registers = true; }
static inline void wgmma_commit() { commit_deferred(); }
static inline void wgmma_wait(int keep) {
  current->fenced_registers = false;
  for (std::function<void()> work; next_deferred(keep, &work);) work();
}

}  // namespace emulation
