"""What a compiled kernel costs and does, read from its machine code."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass

from cuda.pathfinder import find_nvidia_binary_utility


@dataclass(frozen=True)
class Kernel:
    """One kernel of a cubin. Bytes are per thread, except the shared memory, which is per block."""

    registers: int
    spill_bytes: int  # stored and loaded again, because registers were too few
    stack_bytes: int  # local memory: spills, and arrays that are indexed at run time
    shared_bytes: int  # declared with a size; what a launch adds to it is not known here
    max_threads: int  # of a block: __launch_bounds__, or 0 without
    remarks: tuple[str, ...]  # of the assembler, on products of warpgroups that it lets wait for each other
    opcodes: Counter[str]  # SASS instructions of its text (not of its run), with their modifiers: "LDG.E.128.CONSTANT"

    def count(self, pattern: str) -> int:
        """Instructions whose opcode begins with the pattern, a regular expression."""
        return sum(n for opcode, n in self.opcodes.items() if re.match(pattern, opcode))


def read_kernels(cubin: bytes, log: str) -> dict[str, Kernel]:
    """The kernels of a cubin and of the assembler's log, by name."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        opcodes = _opcodes(file.name)
        threads = _max_threads(file.name)
    kernels = {}
    for entry in log.split("Compiling entry function '")[1:]:
        name = entry.partition("'")[0]
        kernels[name] = Kernel(
            registers=_sum(r"Used (\d+) registers", entry),
            spill_bytes=_sum(r"(\d+) bytes spill", entry),
            stack_bytes=_sum(r"(\d+) bytes stack frame", entry),
            shared_bytes=_sum(r"(\d+) bytes smem", entry),
            max_threads=threads.get(name, 0),
            remarks=tuple(re.findall(rf"(\(C75\d+\).*) in the function '{name}'", log)),
            opcodes=opcodes[name],
        )
    return kernels


def _sum(pattern: str, entry: str) -> int:
    """The figures of a kernel and of the functions that it calls, which the log lists beneath it, together."""
    return sum(map(int, re.findall(pattern, entry)))


def _opcodes(path: str) -> dict[str, Counter[str]]:
    """Counted by kernel. Most of the time goes into starting the disassembler; `-ndf` leaves out a quarter of it."""
    found = {}
    for section in _run("nvdisasm", "-c", "-ndf", path).split(".section\t.text.")[1:]:
        found[section.partition(",")[0]] = Counter(
            re.findall(r"^\s+/\*\w+\*/\s+(?:@\S+\s+)?([A-Z][\w.]*)", section, re.M)
        )
    return found


def _max_threads(path: str) -> dict[str, int]:
    """Threads of the largest block, of each kernel that has `__launch_bounds__`."""
    found = {}
    sections = re.findall(r"^\.nv\.info\.(\S+)\n(.*?)\n\n\n", _run("cuobjdump", "-elf", path), re.S | re.M)
    for name, attributes in sections:
        bounds = re.search(r"EIATTR_(?:MAX_THREADS|REQNTID)\n.*\n\tValue:\t(\w+) (\w+) (\w+)", attributes)
        if bounds:
            x, y, z = (int(size, 16) for size in bounds.groups())
            found[name] = x * y * z
    return found


def _run(tool: str, *arguments: str) -> str:
    path = find_nvidia_binary_utility(tool)
    assert path is not None, f"{tool} is missing: pip install nvidia-cuda-{tool}"
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout
