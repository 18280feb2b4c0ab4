"""The CUDA engine: CuPy, the kernels of `kernels/` compiled at run time, one short wrapper per kernel."""
