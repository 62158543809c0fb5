#!/bin/sh
# The comparison behind zoo/ledger.toml: sh benchmarks/evidence.sh cpu|gpu DATA OUT [KEY=VALUE...]
#
# The four methods and the ladder that is dense at every stage (cells of Table 5), seeds 0 and 1, one network, one budget, on
# Tiny-ImageNet-100 at 64 pixels; then of every run and of the untrained network kNN and linear classifiers by stage, mIoU
# on VOC, AP on nuclei. Repeat the same line until it ends
# with status 0: it goes on where it stopped (75: it was asked to stop; 1: something failed, and is tried again).
# DATA holds tiny-imagenet-100/, voc2012-seg/ and nuclei/, as shards and COCO JSON; the same words each time.
# PYTHON names another interpreter; a GPU that is lent for minutes: `timeout 580 sh benchmarks/evidence.sh gpu ...`.
set -eu
scale=$1 data=$2 out=$3
shift 3
PYTHON=${PYTHON:-python}
tin=$data/tiny-imagenet-100 voc=$data/voc2012-seg nuclei=$data/nuclei
case $scale in
    cpu) keys="model.backbone=test_resnet heads.hidden=512 heads.out=128 epochs=5 batch_size=64 micro_batch=64 data.workers=0" ;;
    gpu) keys="model.backbone=resnet18 epochs=100" ;;
    *) echo "evidence.sh: the first word is cpu or gpu" >&2; exit 2 ;;
esac
CELLS=${CELLS:-'["byol","dense_byol","gggg","ddgg","dddd"]'}
evals="[\"knn stage=all k=20\", \"linear recipe=cached_100e\", \
\"segment recipe=voc_small data.train=$voc/train.tar data.val=$voc/val.tar data.classes=21\", \
\"detect recipe=nuclei epochs=2 optim.milestones=[1.25,1.75] data.train=$nuclei/instances_train.json \
data.val=$nuclei/instances_val.json data.images=$nuclei/images.tar\"]"
# shellcheck disable=SC2086  # keys are words
exec "$PYTHON" -m ladder_hub sweep table5 scale=tiny64 "cells=$CELLS" "seeds=[0,1]" "out=$out" "data.train=$tin/train-{000000..000005}.tar" \
    "data.val=$tin/val-000000.tar" $keys "evals=$evals" knn.every=0 log.every=20 "$@"
