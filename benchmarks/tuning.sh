#!/bin/sh
# What was tried for tiny64 (recipes/README.md): sh benchmarks/tuning.sh DATA OUT
#
# Two shards of Tiny-ImageNet-100's training images teach and vote, another of them is asked; val is not touched. Each run
# leaves OUT/NAME and its kNN as OUT/NAME.knn.json; repeat the line after an interruption. DATA holds tiny-imagenet-100/.
set -eu
tin=$1/tiny-imagenet-100 out=$2
PYTHON=${PYTHON:-python}
few="data.train=$tin/train-{000000..000001}.tar" held="data.val=$tin/train-000005.tar"
mkdir -p "$out"

# one NAME METHOD KEY=VALUE...
one() {
    name=$1 method=$2
    shift 2
    [ ! -s "$out/$name.knn.json" ] || return 0
    "$PYTHON" -m ladder_hub train "recipe=tiny64_$method" resume=auto "out=$out/$name" model.backbone=test_resnet heads.hidden=512 \
        heads.out=128 epochs=5 "$few" "$held" data.workers=0 knn.every=0 log.every=10 "$@"
    "$PYTHON" -m ladder_hub eval knn "$out/$name" "$few" "$held" stage=all k=20 data.workers=0 --json > "$out/$name.part"
    mv "$out/$name.part" "$out/$name.knn.json"
}

# levels NAME W2 W3 W4: a ladder with other weights below res5
levels() {
    name=$1
    shift
    one "$name" ladder_byol $short method=ladder_weights 'levels=[{stage="res2", loss="global", weight='"$1"'},
        {stage="res3", loss="global", weight='"$2"'}, {stage="res4", loss="global", weight='"$3"'}, {stage="res5", loss="global"}]'
}

short="batch_size=64 micro_batch=64"
for method in byol ladder_byol; do
    one "$method-batch256" "$method"
    one "$method-batch64" "$method" $short
    one "$method-momentum0.95" "$method" $short target.base_momentum=0.95
    one "$method-lr8" "$method" $short optim.base_lr=8.0
    one "$method-lr2" "$method" $short optim.base_lr=2.0
    one "$method-crop0.08" "$method" $short 'views.crop_scale=[0.08,1.0]'
    one "$method-heads1024" "$method" $short heads.hidden=1024 heads.out=256
done
levels ladder_byol-w1 0.125 0.25 0.5
levels ladder_byol-w0.25 0.03125 0.0625 0.125
