// The built-in vector types, with the device's alignment: a misaligned access of one is an error there, and UBSan reports it here.
#pragma once

#define EMULATION_VECTORS(T, name, align2, align4)                                                                    \
  struct name##1 {                                                                                                    \
    T x;                                                                                                              \
  };                                                                                                                  \
  struct alignas(align2) name##2 {                                                                                    \
    T x, y;                                                                                                           \
  };                                                                                                                  \
  struct name##3 {                                                                                                    \
    T x, y, z;                                                                                                        \
  };                                                                                                                  \
  struct alignas(align4) name##4 {                                                                                    \
    T x, y, z, w;                                                                                                     \
  };                                                                                                                  \
  static inline name##1 make_##name##1(T x) { return {x}; }                                                           \
  static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                                   \
  static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                                           \
  static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

#define uint3 emulation_uint3  // runtime.h has it already, for threadIdx
EMULATION_VECTORS(char, char, 2, 4)
EMULATION_VECTORS(unsigned char, uchar, 2, 4)
EMULATION_VECTORS(short, short, 4, 8)
EMULATION_VECTORS(unsigned short, ushort, 4, 8)
EMULATION_VECTORS(int, int, 8, 16)
EMULATION_VECTORS(unsigned, uint, 8, 16)
EMULATION_VECTORS(long long, longlong, 16, 16)
EMULATION_VECTORS(unsigned long long, ulonglong, 16, 16)
EMULATION_VECTORS(float, float, 8, 16)
EMULATION_VECTORS(double, double, 16, 16)
#undef uint3
