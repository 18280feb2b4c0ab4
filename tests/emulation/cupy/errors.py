"""CuPy's exceptions, by their names and bases."""

__all__ = ["CUDADriverError", "CUDARuntimeError", "CompileException", "OutOfMemoryError"]

_DRIVER = {1: "CUDA_ERROR_INVALID_VALUE: invalid argument", 400: "CUDA_ERROR_INVALID_HANDLE: invalid resource handle"}
_RUNTIME = {
    1: "cudaErrorInvalidValue: invalid argument",
    100: "cudaErrorNoDevice: no CUDA-capable device is detected",
    101: "cudaErrorInvalidDevice: invalid device ordinal",
    600: "cudaErrorNotReady: device not ready",
}


class CUDARuntimeError(RuntimeError):
    """`cupy.cuda.runtime.CUDARuntimeError`; ``status`` is a cudaError_t."""

    def __init__(self, status: int) -> None:
        super().__init__(_RUNTIME[status])
        self.status = status


class CUDADriverError(RuntimeError):
    """`cupy.cuda.driver.CUDADriverError`; ``status`` is a CUresult."""

    def __init__(self, status: int) -> None:
        super().__init__(_DRIVER[status])
        self.status = status


class OutOfMemoryError(MemoryError):
    """`cupy.cuda.memory.OutOfMemoryError`."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        end = f", limit set to: {limit:,} bytes)." if limit else ")."
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{end}")


class CompileException(Exception):
    """`cupy.cuda.compiler.CompileException`."""

    def __init__(self, msg: str, source: str, name: str, options: tuple[str, ...], backend: str = "nvrtc") -> None:
        super().__init__(msg)
        self.source, self.name, self.options, self.backend = source, name, options, backend
