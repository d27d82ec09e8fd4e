#!/bin/sh
# Makes the six demonstration models from the data in examples/data: raw rows into a feature store, features computed
# by serve-features, labels from the next day's close, models by serve-train. Anyone can run it again; the same release
# gives the same predictions. Needs cargo and awk.
set -eu
cd "$(dirname "$0")/.."

version=20250331_000000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

examples/data/prepare.sh
cargo build --release --locked --bin serve-ctl
ctl="target/release/serve-ctl --features sqlite://$work/features.db --registry $work/models"

$ctl features migrate
$ctl features ingest --table price_data examples/data/price_data.csv
$ctl features ingest --table sentiment_data examples/data/sentiment_data.csv

for set in vader finbert; do
    # The first 60 days have too little history for the longest windows.
    $ctl features build --declarations models/features.yaml --set "$set" --from 2019-03-15 --output "$work/$set.csv"
    # A row stamped with the beginning of a day knows the days before it; its label is whether that day closes higher
    # than the one before.
    awk -F, '
        NR == FNR { if ($2 ~ /^20/) { if (close_before != "") label[$2] = ($6 > close_before) ? "up" : "down"
                                      close_before = $6 + 0 }
                    next }
        FNR == 1  { print $0 ",direction"; next }
        { day = substr($2, 1, 10); if (day in label) print $0 "," label[day] }
    ' examples/data/price_data.csv "$work/$set.csv" > "$work/$set-labelled.csv"
    for algorithm in logistic_regression random_forest gradient_boosting; do
        name="$set-$(echo "$algorithm" | tr _ -)"
        echo "== $name"
        case $algorithm in
            logistic_regression) options="" ;;
            random_forest) options="--trees 100 --depth 6 --min-samples-leaf 20" ;;
            gradient_boosting) options="--trees 60 --depth 3 --min-samples-leaf 40 --learning-rate 0.05" ;;
        esac
        # shellcheck disable=SC2086 -- options are words
        $ctl train --name "$name" --algorithm "$algorithm" --data "$work/$set-labelled.csv" --target direction \
            --feature-set "$set" --classes down,up --version "$version" $options
    done
done

for name in "$work"/models/*; do
    rm -rf "models/$(basename "$name")"
    cp -R "$name" models/
    rm -f "models/$(basename "$name")/.lock"
done
