// Slices: SLICE_BYTES of every row of a tile or of every centre of a panel, in shared memory.
//
// Row r begins at r * SLICE_BYTES; its 16-byte chunks are permuted by exclusive or with bits of r, such that the same
// chunk of any 8 consecutive rows lies in 8 different groups of 4 banks: reads of it by ldmatrix or as float4 are free
// of conflicts. These are the 128, 64 and 32-byte swizzles of the copy engine and of wgmma.
#pragma once
#include "ptx.cuh"

#ifndef SLICE_BYTES
#define SLICE_BYTES 128
#endif

constexpr int CHUNKS = SLICE_BYTES / 16;
static_assert(SLICE_BYTES == 32 || SLICE_BYTES == 64 || SLICE_BYTES == 128, "the swizzle is for these");

// Where chunk number `chunk` of row `row` begins. Of row + 8 i it begins 8 i * SLICE_BYTES further.
__device__ __forceinline__ int chunk_offset(int row, int chunk) {
  return row * SLICE_BYTES + ((chunk ^ (row / (128 / SLICE_BYTES) % CHUNKS)) * 16);
}

// Begin to copy slice number `slice` of ROWS rows from global memory: row r is row number(r) of a matrix whose rows
// have row_bytes. Of the last slice only what the rows have is copied, and read.
template <int ROWS, int THREADS, class Number>
__device__ __forceinline__ void load_slice(unsigned char* to, const void* matrix, int row_bytes, int slice,
                                           Number number) {
  constexpr int STRIDE = THREADS / CHUNKS;
  static_assert(STRIDE % 8 == 0, "chunk_offset");
  const int first = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS, offset = slice * SLICE_BYTES + chunk * 16;
  if (offset >= row_bytes) return;
  const unsigned char* from = static_cast<const unsigned char*>(matrix) + offset;
  to += chunk_offset(first, chunk);
#pragma unroll
  for (int i = 0; i < (ROWS + STRIDE - 1) / STRIDE; i++) {
    const int row = first + i * STRIDE;
    if (ROWS % STRIDE == 0 || row < ROWS)
      cp_async16(to + i * STRIDE * SLICE_BYTES, from + static_cast<long long>(number(row)) * row_bytes);
  }
}
