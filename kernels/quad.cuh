// Four neighbouring elements of a row, moved at once: 128 bits for float, twice 128 for double, 64 for half.
#pragma once

template <class T>
struct alignas(sizeof(T) == 2 ? 8 : 16) Quad {
  T of[4];
};

// Whether every row of d elements at x begins where a Quad may: then a kernel takes its vector path, for all rows
// alike.
template <class T>
__device__ __forceinline__ bool quads(const T* x, int d) {
  return d % 4 == 0 && reinterpret_cast<unsigned long long>(x) % alignof(Quad<T>) == 0;
}

template <class T>
__device__ __forceinline__ Quad<T> load_quad(const T* x) {
  return *reinterpret_cast<const Quad<T>*>(x);
}

template <class T>
__device__ __forceinline__ void store_quad(T* x, const Quad<T>& values) {
  *reinterpret_cast<Quad<T>*>(x) = values;
}
