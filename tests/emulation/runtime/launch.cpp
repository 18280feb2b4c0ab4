// A launch: blocks become resident one after another, their threads run as the order says until all have returned.
#include "../device/launch.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <numeric>

#include "faults.h"
#include "ready.h"
#include "state.h"

namespace emulation {

Current* current;
Thread* running;
std::string error;
int yields;

namespace {

constexpr size_t kMaxThreads = 1024, kMaxResidentWarps = 64, kSharedAlignment = 128;
constexpr size_t kMaxStaticShared = 48 * 1024;

void (*kernel_entry)(void**);
void** kernel_arguments;
Launch shape;
Stacks stacks;
std::vector<Block> blocks;
std::vector<size_t> block_order;
std::vector<unsigned char*> shared_arrays;  // all of this launch
Order host;
std::deque<Fiber> ended;

// Shared memory begins as NaN. Under TSan no block's memory is given to the next, whose accesses would look like races.
unsigned char* allocate_shared(size_t bytes) {
  void* memory;
  if (posix_memalign(&memory, kSharedAlignment, bytes)) abort();
  memset(memory, 0xff, bytes);
  shared_arrays.push_back(static_cast<unsigned char*>(memory));
  return shared_arrays.back();
}

void free_shared(unsigned char* memory) {
  if (!memory || under_tsan()) return;
  shared_arrays.erase(std::find(shared_arrays.begin(), shared_arrays.end(), memory));
  free(memory);
}

void thread_main() {
  entered();
  kernel_entry(kernel_arguments);
  {
    Unwatched unwatched;
    running->done = true;
    host.release();
    note_exit(*running);
  }
  leave(running->fiber, true);
  abort();
}

void make_resident(size_t slot, size_t index) {
  Block& block = blocks[slot];
  const size_t count = size_t{shape.block[0]} * shape.block[1] * shape.block[2];
  block = Block();
  block.threads.resize(count);
  block.warps.resize((count + 31) / 32);
  block.live = static_cast<int>(count);
  block.shared_bytes = shape.dynamic_shared;
  block.writers.assign(shape.dynamic_shared / 16, nullptr);
  block.dynamic_shared = shape.dynamic_shared ? allocate_shared(shape.dynamic_shared) : nullptr;
  const unsigned *g = shape.grid, *b = shape.block;
  const auto index3 = [](size_t i, const unsigned* size) {
    return uint3{unsigned(i % size[0]), unsigned(i / size[0] % size[1]), unsigned(i / size[0] / size[1])};
  };
  for (size_t i = 0; i < count; i++) {
    Thread& thread = block.threads[i];
    thread.thread = index3(i, b);
    thread.block = index3(index, g);
    thread.block_size = {b[0], b[1], b[2]};
    thread.grid_size = {g[0], g[1], g[2]};
    thread.lane = static_cast<int>(i % 32);
    thread.dynamic_shared = block.dynamic_shared;
    thread.owner = &block;
    thread.warp = static_cast<int>(i / 32);
    block.warps[i / 32].members |= 1u << (i % 32);
    start(thread.fiber, stacks[slot * count + i], shape.stack, thread_main);
    ready.push(&thread);
  }
}

// TSan numbers threads anew when some have ended, and takes one of the same number for the same: races between blocks that are
// not resident together would be missed. So fibers end late, but soon enough for its memory, about a megabyte each.
void finished(Fiber& fiber) {
  constexpr size_t kMaxEnded = 512;
  if (!under_tsan()) return;
  ended.push_back(fiber);
  if (ended.size() < kMaxEnded) return;
  destroy(ended.front());
  ended.pop_front();
}

void retire(Block& block) {
  free_shared(block.dynamic_shared);
  for (auto& array : block.arrays) free_shared(array.memory);
  block.arrays.clear();
}

std::string describe_deadlock() {
  std::map<std::string, int> places;
  for (Block& block : blocks)
    for (Thread& thread : block.threads)
      if (!thread.done && thread.waits_in)
        places[std::string(thread.waits_in) + " at " + thread.place.file + ":" + std::to_string(thread.place.line)]++;
  std::string text = "deadlock:";
  for (auto& [place, count] : places) text += " " + std::to_string(count) + " threads wait in " + place + ";";
  text.pop_back();
  return text;
}

std::string refusal() {
  const size_t threads = size_t{shape.block[0]} * shape.block[1] * shape.block[2];
  if (!threads || threads > kMaxThreads) return "launch: a block of " + std::to_string(threads) + " threads, not 1 to 1024";
  if (shape.dynamic_shared > shape.shared_limit)
    return "launch: " + std::to_string(shape.dynamic_shared) + " bytes of dynamic shared memory, over the limit of " +
           std::to_string(shape.shared_limit);
  return "";
}

void run() {
  const size_t total = block_order.size();
  size_t next = 0, resident = 0;
  for (size_t slot = 0; slot < blocks.size(); slot++, resident++) make_resident(slot, block_order[next++]);
  while (resident) {
    running = ready.pop();
    if (!running) {
      error = describe_deadlock();
      return;
    }
    current = running;
    enter(running->fiber);
    if (!error.empty()) return;
    if (!running->done) continue;
    finished(running->fiber);
    Block& block = *running->owner;
    if (block.live) continue;
    retire(block);
    resident--;
    if (next == total) continue;
    make_resident(&block - blocks.data(), block_order[next++]);
    resident++;
  }
}

void order_blocks() {
  block_order.resize(size_t{shape.grid[0]} * shape.grid[1] * shape.grid[2]);
  std::iota(block_order.begin(), block_order.end(), size_t{0});
  if (ready.sequence() == Sequence::lifo) std::reverse(block_order.begin(), block_order.end());
  if (ready.sequence() == Sequence::random)
    for (size_t i = block_order.size(); i > 1; i--) std::swap(block_order[i - 1], block_order[ready.random() % i]);
}

}  // namespace

void* shared_memory(const void* key, size_t bytes) {
  Unwatched unwatched;
  Block& block = *running->owner;
  for (auto& array : block.arrays)
    if (array.key == key) return array.memory;
  block.shared_bytes += bytes;
  if (block.shared_bytes - shape.dynamic_shared > kMaxStaticShared) fail("more than 48 KB of static __shared__ arrays");
  if (block.shared_bytes > shape.shared_limit)
    fail("%zu bytes of shared memory, over the limit of %zu", block.shared_bytes, shape.shared_limit);
  block.arrays.push_back({key, allocate_shared(bytes)});
  return block.arrays.back().memory;
}

int launch(void (*kernel)(void**), void** arguments, const Launch& wanted) {
  Unwatched unwatched;
  kernel_entry = kernel;
  kernel_arguments = arguments;
  shape = wanted;
  yields = wanted.yields;
  error = refusal();
  if (!error.empty()) return 1;
  ready.reset(static_cast<Sequence>(wanted.order), wanted.seed);
  order_blocks();
  const size_t threads = size_t{shape.block[0]} * shape.block[1] * shape.block[2];
  const size_t resident = std::min<size_t>(std::max(wanted.resident, 1), block_order.size());
  stacks.prepare(threads * resident, wanted.stack);
  blocks.clear();
  blocks.resize(resident);
  scheduler_is_here();
  {
    FaultGuard guard;
    if (sigsetjmp(guard.back, 1))
      error = guard.what();
    else
      run();
  }
  host.acquire();
  for (Fiber& fiber : ended) destroy(fiber);
  ended.clear();
  if (!error.empty()) {
    for (Block& block : blocks)
      for (Thread& thread : block.threads)
        if (!thread.done) destroy(thread.fiber);
    stacks.discard();
  }
  blocks.clear();
  for (unsigned char* memory : shared_arrays) free(memory);
  shared_arrays.clear();
  running = nullptr;
  current = nullptr;
  return error.empty() ? 0 : 1;
}

}  // namespace emulation

EMULATION_PUBLIC const char* emulated_error() { return emulation::error.c_str(); }
