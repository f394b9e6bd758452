#!/usr/bin/env bash
# Scores the eleven systems in the folder that holds the three downloads: all songs, then those whose lyrics are known.
set -euo pipefail
cd "${1:?name the folder that holds predictions, song_describer.csv and MulJam}"

files=()
for system in Pengi=pengi "Audio Flamingo=flamingo" LTU=ltu LTU-AS=ltu_as MusiLingo=musilingo MU-LLaMA=mullama \
    GAMA=gama GAMA-IT=gama_it Qwen-Audio=qwen Qwen2-Audio=qwen2 SALMONN=salmonn; do
    files+=(--predictions "${system%=*}=predictions/${system#*=}_SDD.jsonl")
done
asked=(--references song_describer.csv --controls --sort specificity --against all)

recap eval "${files[@]}" "${asked[@]}" --out all --report all/page.html
recap eval "${files[@]}" "${asked[@]}" --lyrics MulJam --common --out lyrics --report lyrics/page.html
