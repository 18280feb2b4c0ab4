// Planted: no __launch_bounds__.
extern "C" __global__ void unbounded(float* x) { x[threadIdx.x] += 1.0f; }
