"""The file of models: the same bytes for the same content, and nothing is lost on the way."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load

from gpuclust._container import pack, unpack
from gpuclust.errors import ModelError

DTYPES = st.sampled_from([np.dtype(name) for name in ("float32", "float64", "int32", "int64", "uint8", "bool")])
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))


def test_one_content_is_one_file() -> None:
    content = {"b": [1, None, "größe"], "a": {"x": 0.1}}
    arrays = {"one": np.arange(3.0), "two": np.ones((2, 2), np.float32)}
    assert len({pack(content, arrays) for _ in range(20)}) == 1


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)),
    st.dictionaries(st.text("ab.", min_size=1), ARRAYS),
)
def test_what_goes_in_comes_out(content: dict[str, int | str], arrays: dict[str, np.ndarray]) -> None:
    packed = pack(content, arrays)
    assert int.from_bytes(packed[:8], "little") % 8 == 0  # where arrays begin, as safetensors has it
    found, read = unpack(packed)
    assert found == content
    assert read.keys() == arrays.keys() == load(packed).keys()  # the file is one that safetensors reads
    for name, array in arrays.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
        assert read[name].tobytes() == array.tobytes()


def test_every_bit_counts() -> None:
    packed = pack({"a": 1}, {"x": np.arange(2, dtype=np.float32)})
    end = 8 + int.from_bytes(packed[:8], "little")
    for bit in range(8 * len(packed)):
        changed = bytearray(packed)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            found, arrays = unpack(bytes(changed))
        except ModelError:
            continue
        assert bit // 8 < end  # a space of the header that became a tab or a line break
        assert (found, arrays["x"].tolist()) == ({"a": 1}, [0, 1])
