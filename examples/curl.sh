#!/usr/bin/env bash
# The server from a shell, by curl alone. In one terminal `make run`, in another:
#
#     examples/curl.sh                      # two pictures of this checkout
#     examples/curl.sh photo.jpg cells.jpg  # a picture to classify, and one to find blood cells in
#
# CENET_URL says where the server is, unless it is at http://127.0.0.1:8000.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
photo=${1:-$here/models/ce_resnet_caltech101/1/golden.png}
cells=${2:-$here/docs/images/smear.jpg}
url=${CENET_URL:-http://127.0.0.1:8000}

ask() { # an answer that is an error is shown, and ends the script
  curl --silent --show-error --fail-with-body "$@"
  echo
}

echo '# what is in a picture: its bytes are the body'
ask --data-binary "@$photo" "$url/classify?model=ce_resnet_caltech101&top_k=3"

echo '# several at once: a form with files'
ask --form "image=@$photo" --form "image=@$photo" "$url/classify?model=ce_resnet_caltech101&top_k=1"

echo '# where things are in it'
ask --data-binary "@$cells" "$url/detect?model=ce_fcos_bccd&max_detections=3"

echo '# the same, drawn'
drawn=$(mktemp -d)/found.jpg
ask --header 'Accept: image/jpeg' --data-binary "@$cells" --output "$drawn" "$url/detect?model=ce_fcos_bccd"
echo "drawn into $drawn"

echo '# Open Inference Protocol: what the model takes and gives'
ask "$url/v2/models/ce_resnet_caltech101"

echo '# a picture as the whole body, without JSON around it'
ask --header 'Inference-Header-Content-Length: 0' --data-binary "@$photo" "$url/v2/models/ce_resnet_caltech101/infer" | cut -c 1-200

echo '# a picture behind JSON that asks for the three best labels: 4 bytes of its length, then its own'
length=$(($(wc -c <"$photo")))
body=$(mktemp)
trap 'rm -f "$body"' EXIT
json='{"inputs": [{"name": "input", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": '$((length + 4))'}}],
 "outputs": [{"name": "logits", "parameters": {"classification": 3}}]}'
{
  printf '%s' "$json"
  # the number in 4 bytes, the lowest first
  printf "$(printf '\\x%02x' $((length & 255)) $((length >> 8 & 255)) $((length >> 16 & 255)) $((length >> 24 & 255)))"
  cat "$photo"
} >"$body"
ask --header "Inference-Header-Content-Length: ${#json}" --data-binary "@$body" "$url/v2/models/ce_resnet_caltech101/infer"
