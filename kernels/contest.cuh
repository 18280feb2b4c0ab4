// The canonical contest of a row's candidates: the nearest wins, ties go to the lowest index, in whatever order they
// come.
#pragma once
#include "bounds.cuh"

struct Contest {
  double least = INFINITE, second = INFINITE;
  int winner = -1;

  __device__ __forceinline__ void take(double distance, int center) {
    if (distance < least || (distance == least && center < winner)) {
      second = least;
      least = distance;
      winner = center;
    } else if (distance < second) {
      second = distance;
    }
  }

  __device__ __forceinline__ bool begun() const { return least < INFINITE; }
  __device__ __forceinline__ float upper() const { return static_cast<float>(__dsqrt_rn(least) * GROW); }
  // Where no centre beyond the candidates is nearer than `reach`.
  __device__ __forceinline__ float lower(double reach) const {
    return static_cast<float>(fmax(fmin(reach, __dsqrt_rn(second)), 0.0) * SHRINK);
  }
};
