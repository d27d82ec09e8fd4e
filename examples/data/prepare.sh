#!/bin/sh
# Makes price_data.csv and sentiment_data.csv from btc-daily.csv. Needs only awk.
set -eu
cd "$(dirname "$0")"

awk -F, '
BEGIN {
    print "# Real: Bitcoin days from btc-daily.csv; a row is stamped with the day it describes, which ends 24 h later."
    print "symbol,timestamp,open,high,low,close,volume"
}
NR > 1 { printf "BTC/USD,%s,%s,%s,%s,%s,%s\n", $1, $2, $3, $4, $5, $6 }
' btc-daily.csv > price_data.csv

# Park and Miller'"'"'s generator (x = 16807 x mod 2^31 - 1) is exact in any awk.
awk -F, '
BEGIN {
    print "# vader: real, from btc-daily.csv. finbert: GENERATED as 0.6 * vader + noise; it is not the output of FinBERT."
    print "symbol,timestamp,vader,finbert"
    state = 20250331
}
function uniform() { state = (16807 * state) % 2147483647; return state / 2147483647 }
NR > 1 {
    score = 0.6 * $7 + 0.8 * (uniform() + uniform() + uniform() - 1.5)
    if (score > 1) score = 1
    if (score < -1) score = -1
    printf "BTC/USD,%s,%s,%.4f\n", $1, $7, score
}
' btc-daily.csv > sentiment_data.csv
