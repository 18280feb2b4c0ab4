#!/usr/bin/env bash
# Everything that only a GPU can show, in one command: the GPU tests, the kernels' tests on the GPU, compute-sanitizer, and
# the benchmarks. A step that fails does not keep the others from running; the outcomes stand together at the end.
#
#   bench/gpu.sh [--wheels DIR] [--out DIR] [--budget SECONDS] [--quick] [--dry-run] \
#                [options of `python -m bench --gpu`: --case, --only, --rounds]
#
#   --wheels DIR      add the wheels of this folder to the interpreter's packages for this run, without their dependencies
#   --out DIR         where results and the steps' logs go (default: bench/results/<gpu>, and bench/results/GPU.md)
#   --budget SECONDS  most time for each step (default: no limit; with --quick 150); one that needs more has failed
#   --quick           a selection, about ten minutes in all on an H100
#   --dry-run         no GPU: collect its tests, run a kernel's tests by the emulator, skip the sanitizers, run tiny cases on
#                     the processor
#
# PYTHON chooses the interpreter (default: .venv/bin/python). Exit code: 0; 1 if a step failed; 2 usage; 4 without a usable
# GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

smoke=tests/exactness/test_gpu_smoke.py
# Kernels' tests that sanitizers watch.
some="by_hand or odd or shapes or any_order or every_centre or adopt or sketch_of or wgmma"
python=${PYTHON:-.venv/bin/python}
wheels='' out='' budget='' quick='' dry='' bench=()
while (($#)); do
    case $1 in
        --wheels | --out | --budget)
            (($# > 1)) || { echo "$1 needs a value" >&2; exit 2; }
            declare "${1#--}=$2"
            shift 2
            ;;
        --quick) quick=1 bench+=(--case 1m-float16 --case spectrum --case dbscan-haloes --case knn-384d --case training-large --rounds 3) && shift ;;
        --dry-run) dry=1 bench+=(--dry-run) && shift ;;
        *) bench+=("$1") && shift ;;
    esac
done
budget=${budget:-${quick:+150}}
[[ ${budget:=0} =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo "--budget $budget: a number of seconds" >&2; exit 2; }
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
check() { # check TITLE COMMAND...: run it within the budget, keep its log, and note the outcome for the results
    local title=$1 log code=0 status=passed
    log=$out/$(tr -c '[:alnum:]\n' - <<<"$title").log
    shift
    echo "== $title"
    timeout --signal=INT --kill-after=20 "$budget" "$@" 2>&1 | tee "$log" || code=$?
    case $code in
        0) ;;
        124 | 137) status="FAILED, not done in $budget s" ;;
        *) status=FAILED ;;
    esac
    ((code)) && failed=1
    echo "- $title: $status, $(tail -n 1 "$log")" >>"$out/checks.md"
}
printf 'Checks of %s on %s%s:\n\n' "$(date -u +%F)" "$gpu" "${quick:+, a selection}" >"$out/checks.md"
pytest=("$python" -m pytest -q -p no:cacheprovider)

if [[ $dry ]]; then
    check "gpu tests, collected" "${pytest[@]}" -m gpu --collect-only "$smoke" tests/engines/cuda
    check "kernel tests by the emulator" "${pytest[@]}" tests/kernels/test_distances.py --kernels=stand-in
else
    tests=(tests)
    if [[ $quick ]]; then tests=("$smoke" tests/engines/cuda tests/neighbors); fi
    check "gpu tests" "${pytest[@]}" -m gpu "${tests[@]}"
    check "kernel tests" "${pytest[@]}" tests/kernels --kernels=gpu
    sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null || true)
    for tool in memcheck racecheck synccheck initcheck; do
        if [[ $sanitizer ]]; then
            watched=("$sanitizer" --tool "$tool" --error-exitcode 1 "${pytest[@]}")
            check "$tool of small fits" "${watched[@]}" -m gpu "$smoke" ${quick:+-k "seeding or cosine or predict"}
            check "$tool of kernels" "${watched[@]}" tests/kernels --kernels=gpu -k "$some"
        else
            echo "- $tool: not run, compute-sanitizer is not installed" | tee -a "$out/checks.md"
        fi
    done
fi

check benchmarks "$python" -m bench --gpu "${bench[@]}"
cat "$out/checks.md"
exit "$failed"
