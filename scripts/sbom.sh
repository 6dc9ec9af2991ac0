#!/usr/bin/env bash
# Writes what the released programs are made of, as CycloneDX: Rust's crates, ONNX Runtime's wheel, and the Python package's.
set -euo pipefail
cd "$(dirname "$0")/.."
cyclonedx_rust=$1 cyclonedx_python=$2 folder=target/sbom
mkdir -p "$folder"

"$cyclonedx_rust" cyclonedx --format json --spec-version 1.5 --describe binaries --all-features
for part in cenet-serve:. ce_op:ops/shared; do
    find "${part#*:}" -maxdepth 1 -name "*.cdx.json" -exec mv {} "$folder/${part%%:*}.cdx.json" \;
done
find ops -maxdepth 1 -name '*.cdx.json' -delete
"$cyclonedx_python" requirements --output-file "$folder/onnxruntime.cdx.json" scripts/onnxruntime.txt
"$cyclonedx_python" requirements --output-file "$folder/cenet-python.cdx.json" python/requirements.lock
ls -l "$folder"
