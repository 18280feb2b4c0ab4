"""From CUDA text to what g++ takes: shared memory declared for the emulator, kernels exported."""

import re
from typing import NamedTuple

__all__ = ["kernel_names", "translated"]

_LINE = re.compile(r'#line (\d+) "([^"]+)"')
_COMMENT = re.compile(r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])')|//[^\n]*|/\*.*?\*/""", re.DOTALL)
_KERNEL = re.compile(r'extern\s*"C"\s*__global__\s+(?:void\s+)?(?:__launch_bounds__\s*(?=\())?')
_NAME = re.compile(r"\s*(?:void\s+)?(\w+)\s*(?=\()")
_ALIGNED = r"(?:__align__|alignas)\s*\([^()]*\)"
_SHARED = re.compile(rf"(?P<before>(?:\b(?:extern|static)\b\s*|{_ALIGNED}\s*)*)\b__shared__\s*(?P<body>[^;]*);")
_ARRAY = r"[A-Za-z_]\w*\s*(?:\[[^;]*?\])*\s*"
_DECLARATORS = re.compile(rf"(?P<type>[^=]+?[\s>])(?P<names>{_ARRAY}(?:,\s*{_ARRAY})*)")


def kernel_names(text: str) -> list[str]:
    """The kernels that the text defines, those in `#if` branches that are not compiled included."""
    return list(dict.fromkeys(kernel.name for kernel in _kernels(_without_comments(text))))


def translated(text: str) -> str:
    """The text for g++; `device/language.h` and `device/launch.h` say what the new words mean. Line numbers stay."""
    text = _without_comments(text)
    text = _SHARED.sub(lambda match: _shared(text, match), text)
    pieces, end = [], 0
    for kernel in _kernels(text):
        # Declared and exported before its definition, so that both stand in the same branch of an #if.
        parameters = " ".join(kernel.parameters.split())
        export = f'extern "C" void {kernel.name}({parameters}); EMULATION_EXPORT({kernel.name}, {kernel.bounds}) '
        pieces += [text[end : kernel.start], export]
        end = kernel.start
    return "".join([*pieces, text[end:]])


class _Kernel(NamedTuple):
    start: int
    name: str
    bounds: str
    parameters: str


def _kernels(text: str) -> list[_Kernel]:
    found = []
    for match in _KERNEL.finditer(text):
        position, bounds = match.end(), "1024"
        if text[position] == "(":
            end = _closing(text, position)
            position, bounds = end + 1, " ".join(text[position + 1 : end].split())
        head = _NAME.match(text, position)
        if head is None:
            raise ValueError(f'{_place(text, match.start())}: a kernel is `extern "C" __global__ void name(...)`')
        last = _closing(text, head.end())
        if text[last + 1 :].lstrip().startswith("{"):
            found.append(_Kernel(match.start(), head[1], bounds, text[head.end() + 1 : last]))
    return found


def _without_comments(text: str) -> str:
    return _COMMENT.sub(lambda match: match[1] or " " + "\n" * match[0].count("\n"), text)


def _closing(text: str, opening: int) -> int:
    depth = 0
    for position in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position
    raise ValueError(f"{_place(text, opening)}: an open parenthesis")


def _place(text: str, position: int) -> str:
    """File and line, by the `#line` before."""
    lines = text[:position].split("\n")
    for back, line in enumerate(reversed(lines)):
        if mark := _LINE.match(line):
            return f"{mark[2]}:{int(mark[1]) + back - 1}"
    return f"line {len(lines)}"


def _shared(text: str, match: re.Match[str]) -> str:
    """One `__shared__` declaration, on as many lines as it had."""
    place, declaration = _place(text, match.start()), " ".join(match[0].split())
    body = " ".join(re.sub(_ALIGNED, "", match["body"]).split())  # every array is aligned to 128 bytes anyway
    parts = _DECLARATORS.fullmatch(body)
    if parts is None:
        raise ValueError(f"{place}: a __shared__ declaration that the emulator does not know: {declaration}")
    if text.count("{", 0, match.start()) == text.count("}", 0, match.start()):
        raise ValueError(f"{place}: declare shared memory inside the function that uses it: {declaration}")
    kind = parts["type"].strip()
    lines = "\n" * match[0].count("\n")
    if "extern" in match["before"]:
        dynamic = re.fullmatch(r"(\w+)\s*\[\s*\]", parts["names"].strip())
        if dynamic is None:
            raise ValueError(f"{place}: dynamic shared memory is `extern __shared__ T name[];`: {declaration}")
        return f"{kind}* const {dynamic[1]} = ::emulation::dynamic_shared<{kind}>();{lines}"
    pieces = []
    for array in re.split(r",(?![^\[]*\])", parts["names"]):
        name, sizes = re.split(r"(?=\[)|$", array.strip(), maxsplit=1)
        name = name.strip()
        key = f"{name}_shared_key"
        pieces.append(f"static char {key}; auto& {name} = ::emulation::static_shared<{kind} {sizes}>(&{key});")
    return " ".join(pieces) + lines
