#!/usr/bin/env bash
# Scores the eleven systems in the folder that holds the downloads: all songs, then those whose lyrics are known.
#     bash examples/open-benchmark/score.sh FOLDER
set -euo pipefail
cd "${1:?name the folder that holds predictions, song_describer.csv and MulJam}"

asked=(--references song_describer.csv --controls --sort specificity --against all)
for system in Pengi=pengi "Audio Flamingo=flamingo" LTU=ltu LTU-AS=ltu_as MusiLingo=musilingo MU-LLaMA=mullama \
    GAMA=gama GAMA-IT=gama_it Qwen-Audio=qwen Qwen2-Audio=qwen2 SALMONN=salmonn; do
    asked+=(--predictions "${system%=*}=predictions/${system#*=}_SDD.jsonl")
done
if [ -f autotagging.tsv ]; then asked+=(--tags autotagging.tsv); fi

recap eval "${asked[@]}" --out all --report all.html
recap eval "${asked[@]}" --lyrics MulJam --common --out lyrics --report lyrics.html
