// The CUDA dialect for g++, in front of every kernel. Every CUDA thread is a fiber of ../runtime; the package's docstring says
// what is emulated and what is not.
#pragma once
#include "language.h"
#include "vectors.h"
#include "barriers.h"
#include "warp.h"
#include "atomics.h"
#include "memory.h"
#include "arithmetic.h"
#include "integers.h"
#include "launch.h"
#include <cassert>
#include <cstdio>
