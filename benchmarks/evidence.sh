#!/bin/sh
# The comparison behind zoo/ledger.toml and docs/evidence.md: sh benchmarks/evidence.sh cpu|gpu DATA OUT [KEY=VALUE...]
#
# The four methods and the ladder that is dense at every stage (cells of Table 5), seeds 0 and 1, one network, one budget,
# on Tiny-ImageNet-100 at 64 pixels; then of every run and of the untrained network kNN and linear classifiers by stage,
# mIoU on VOC, AP on nuclei. On a GPU the two ladders as ResNet-50 too. CELLS='["byol","gggg"]' does less. At the end
# distances of views (views.json), collapse (collapse.json) and what `plan` says of each cell (plan-CELL.json). With more
# seeds or cells than before, remove those three first.
# Repeat the same line until it ends with status 0: it goes on where it stopped (75: it was asked to stop; 1: something
# failed, and is tried again). DATA holds tiny-imagenet-100/, voc2012-seg/ and nuclei/, as shards and COCO JSON.
# PYTHON names another interpreter; a GPU that is lent for minutes: `timeout 580 sh benchmarks/evidence.sh gpu ...`.
set -eu
trap : TERM INT  # the sweep gets the signal as well; wait for its checkpoints
scale=$1 data=$2 out=$3
shift 3
PYTHON=${PYTHON:-python}
tin=$data/tiny-imagenet-100 voc=$data/voc2012-seg nuclei=$data/nuclei
evals="[\"knn stage=all k=20\", \"linear recipe=cached_100e\", \
\"segment recipe=voc_small data.train=$voc/train.tar data.val=$voc/val.tar data.classes=21\", \
\"detect recipe=nuclei epochs=2 optim.milestones=[1.25,1.75] data.train=$nuclei/instances_train.json \
data.val=$nuclei/instances_val.json data.images=$nuclei/images.tar\"]"

# sweep CELLS KEY=VALUE...
sweep() {
    cells=$1
    shift
    "$PYTHON" -m ladder_hub sweep table5 scale=tiny64 "cells=$cells" "seeds=[0,1]" \
        "data.train=$tin/train-{000000..000005}.tar" "data.val=$tin/val-000000.tar" "evals=$evals" knn.every=0 log.every=20 "$@"
}

# looks FOLDER: at all runs of a finished sweep; what is there already is left
looks() {
    for first in "$1"/*/seed0; do break; done
    [ -s "$1/views.json" ] || "$PYTHON" -m ladder_hub analyse views "random:$first" "$1"/*/seed? \
        "data.images=$tin/val-000000.tar" n=5000 "out=$1/views"
    [ -s "$1/collapse.json" ] || "$PYTHON" -m ladder_hub analyse collapse "$1"/*/seed? \
        "data.images=$tin/val-000000.tar" n=512 "out=$1/collapse"
    for run in "$1"/*/seed0; do
        plan=$1/plan-$(basename "$(dirname "$run")")
        [ -s "$plan.json" ] || "$PYTHON" -m ladder_hub plan "recipe=$run/recipe.toml" probe=true --json > "$plan.part"
        [ -s "$plan.json" ] || mv "$plan.part" "$plan.json"
    done
}

all='["byol","dense_byol","gggg","ddgg","dddd"]' ladders='["gggg","ddgg"]'
case $scale in
    cpu) sweep "${CELLS:-$all}" "out=$out" model.backbone=test_resnet heads.hidden=512 heads.out=128 epochs=5 batch_size=64 \
        micro_batch=64 data.workers=0 "$@"
        looks "$out" ;;
    gpu) sweep "${CELLS:-$all}" "out=$out/resnet18" model.backbone=resnet18 epochs=100 "$@"
        sweep "$ladders" "out=$out/resnet50" model.backbone=resnet50 epochs=100 "$@"
        looks "$out/resnet18"
        looks "$out/resnet50" ;;
    *) echo "evidence.sh: the first word is cpu or gpu" >&2; exit 2 ;;
esac
