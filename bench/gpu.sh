#!/usr/bin/env bash
# Everything that only a GPU can show, in one command: the GPU tests, compute-sanitizer, and the benchmarks.
#
#   bench/gpu.sh [--wheels DIR] [--out DIR] [--dry-run] [options of `python -m bench --gpu`: --case, --only, --rounds]
#
#   --wheels DIR   add the wheels of this folder to the interpreter's packages for this run, without their dependencies
#   --out DIR      where results go (default: bench/results/<gpu>, and bench/results/GPU.md)
#   --dry-run      no GPU: collect the tests, skip the sanitizers, run tiny cases on the processor
#
# PYTHON chooses the interpreter (default: .venv/bin/python). Exit code: 0; 1 if a test, a sanitizer or gpuclust failed;
# 2 usage; 4 without a usable GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

smoke=tests/exactness/test_gpu_smoke.py
python=${PYTHON:-.venv/bin/python}
wheels='' out='' dry='' bench=()
while (($#)); do
    case $1 in
        --wheels | --out)
            (($# > 1)) || { echo "$1 needs a folder" >&2; exit 2; }
            if [[ $1 == --wheels ]]; then wheels=$2; else out=$2; fi
            shift 2
            ;;
        --dry-run) dry=1 bench+=(--dry-run) && shift ;;
        *) bench+=("$1") && shift ;;
    esac
done
command -v "$python" >/dev/null || { echo "no interpreter $python: run \`make test\` once, or set PYTHON" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ $wheels ]]; then
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$work/site" "$wheels"/*.whl
    export PYTHONPATH="$work/site${PYTHONPATH:+:$PYTHONPATH}"
fi

if [[ $dry && ! $out ]]; then out=$(mktemp -d); fi
if [[ $out ]]; then bench+=(--out "$out"); fi
found=$("$python" -m bench --gpu --check "${bench[@]}") || exit $? # the GPU's name, and the folder of its results
gpu=${found%%$'\n'*} out=${found##*$'\n'}
mkdir -p "$out"
echo "== $gpu; results in $out"

failed=0
check() { # check TITLE COMMAND...: run it, keep its log, and note the outcome for the results
    local title=$1 log status=passed
    log=$out/$(tr -c '[:alnum:]\n' - <<<"$title").log
    shift
    echo "== $title"
    "$@" 2>&1 | tee "$log" || { status=FAILED && failed=1; }
    echo "- $title: $status, $(tail -n 1 "$log")" >>"$out/checks.md"
}
printf 'Checks of %s on %s:\n\n' "$(date -u +%F)" "$gpu" >"$out/checks.md"

if [[ $dry ]]; then
    check "gpu tests, collected" "$python" -m pytest -q -m gpu --collect-only "$smoke"
else
    check "gpu tests" "$python" -m pytest -q -m gpu
    sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null || true)
    for tool in memcheck racecheck; do
        if [[ $sanitizer ]]; then
            check "$tool" "$sanitizer" --tool "$tool" --error-exitcode 1 "$python" -m pytest -q -m gpu "$smoke"
        else
            echo "- $tool: not run, compute-sanitizer is not installed" | tee -a "$out/checks.md"
        fi
    done
fi
echo >>"$out/checks.md"

echo "== benchmarks"
"$python" -m bench --gpu "${bench[@]}" || failed=1
cat "$out/checks.md"
exit "$failed"
