#!/bin/sh
# All that needs a GPU, in under 8 minutes, one table last: sh benchmarks/gpu.sh [SHARDS]
#
# SHARDS: tar shards of JPEG photos, a brace pattern or a folder; without, the pipeline is fed by generated shapes.
# SMALL=1 rehearses it all in tiny sizes, on a CPU. PYTHON names another interpreter. JSON goes to benchmarks/results/.
set -u
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python}
SHARDS=${1:-}
LOG=$(mktemp)
if [ "${SMALL:-}" ]; then
    sizes="2 4" size=64 steps=2 skipped=0 warm=1 batch=4 cells=14 images=4 small=--small precision=float32 limit=400
    kernels="resnet18 64 8"
else
    sizes="64 128 256" size=224 steps=8 skipped=2 warm=5 batch=256 cells=56 images=64 small="" precision=bf16 limit=150
    kernels="resnet50 224 256"
fi
begun=$(date +%s)
part() { echo "== $1 ($(($(date +%s) - begun)) s)" | tee -a "$LOG"; shift; timeout $limit "$@" 2>&1 | tee -a "$LOG"; }

for n in $sizes; do
    part "steps of $n images" "$PYTHON" benchmarks/step.py --only byol,ladder_byol,ladder_dense --batch "$n" --size $size \
        --rounds 2 --steps $steps --skipped $skipped --warm $warm $small --name "gpu-step-$n" precision=$precision
done
part "the same compiled" "$PYTHON" benchmarks/step.py --only ladder_byol --batch $batch --size $size --rounds 1 \
    --steps $steps --skipped $skipped --warm $warm $small --name gpu-step-compiled precision=$precision \
    compile=$([ "${SMALL:-}" ] && echo false || echo true)
part "shares of a step" "$PYTHON" benchmarks/step.py --shares --wall --only ladder_byol --batch $batch --size $size \
    --steps $steps $small --name gpu-shares precision=$precision
part "correspondence" "$PYTHON" benchmarks/correspondence.py --batch $images --side $cells --name gpu-correspondence
part "photometric kernels and the real pipeline" "$PYTHON" benchmarks/gpu_run.py $kernels "$SHARDS"
echo
echo "== all of it, after $(($(date +%s) - begun)) s"
"$PYTHON" benchmarks/gpu_run.py --summary
