// A kernel that touches memory it must not: the launch fails with a message, and Python lives on.
#pragma once
#include <csetjmp>
#include <string>

namespace emulation {

// While one lives, a memory fault of the calling thread jumps to `back`:
//   FaultGuard guard;
//   if (sigsetjmp(guard.back, 1)) error = guard.what(); else ...
// The sanitizers have handlers of their own, which say more: beside them it does nothing.
class FaultGuard {
 public:
  FaultGuard();
  ~FaultGuard();
  static std::string what();
  static sigjmp_buf back;

 private:
  bool active_;
};

}  // namespace emulation
