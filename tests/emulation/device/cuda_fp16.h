// Stand-in for NVIDIA's cuda_fp16.h, found first on the include path: storage and conversions of half precision, by g++'s
// _Float16 (round to nearest even, subnormals kept, one rounding also from double). A NaN keeps no particular payload.
#pragma once
#include <cstring>

#include "launch.h"
#include "vectors.h"

struct __half {
  unsigned short __x;
  __half() = default;
  __half(float value) { *this = from(static_cast<_Float16>(value)); }
  __half(double value) { *this = from(static_cast<_Float16>(value)); }
  operator float() const {
    _Float16 value;
    std::memcpy(&value, &__x, sizeof value);
    return static_cast<float>(value);
  }

 private:
  static __half from(_Float16 value) {
    __half result;
    std::memcpy(&result.__x, &value, sizeof value);
    return result;
  }
};
struct alignas(4) __half2 {
  __half x, y;
};
using half = __half;
using half2 = __half2;

template <>
struct emulation::Kind<__half> {
  static constexpr char value = 'f';
};

static inline __half __float2half_rn(float a) { return __half(a); }
static inline __half __float2half(float a) { return __half(a); }
static inline __half __double2half(double a) { return __half(a); }
static inline float __half2float(__half a) { return float(a); }
static inline unsigned short __half_as_ushort(__half a) { return a.__x; }
static inline __half __ushort_as_half(unsigned short a) {
  __half result;
  result.__x = a;
  return result;
}

static inline __half2 __halves2half2(__half a, __half b) { return {a, b}; }
static inline __half2 make_half2(__half a, __half b) { return {a, b}; }
static inline __half2 __floats2half2_rn(float a, float b) { return {__half(a), __half(b)}; }
static inline __half2 __float22half2_rn(float2 a) { return {__half(a.x), __half(a.y)}; }
static inline __half2 __float2half2_rn(float a) { return {__half(a), __half(a)}; }
static inline float2 __half22float2(__half2 a) { return {float(a.x), float(a.y)}; }
static inline __half __low2half(__half2 a) { return a.x; }
static inline __half __high2half(__half2 a) { return a.y; }
static inline float __low2float(__half2 a) { return float(a.x); }
static inline float __high2float(__half2 a) { return float(a.y); }
