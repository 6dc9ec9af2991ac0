#!/usr/bin/env bash
# The gRPC face from a shell, by grpcurl (https://github.com/fullstorydev/grpcurl), which learns the messages by asking the
# server for them. In one terminal `make run`, in another:
#
#     examples/grpcurl.sh            # a picture of this checkout
#     examples/grpcurl.sh photo.jpg
#
# CENET_GRPC_ADDR says where the server is, unless it is at 127.0.0.1:8001.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
photo=${1:-$here/models/ce_resnet_caltech101/1/golden.png}
address=${CENET_GRPC_ADDR:-127.0.0.1:8001}

ask() { # METHOD: the request is read from standard input
  grpcurl -plaintext -d @ "$address" "$1"
}

echo '# what the server offers'
grpcurl -plaintext "$address" list

echo '# whether it is well'
ask grpc.health.v1.Health/Check <<<'{}'
ask inference.GRPCInferenceService/ServerReady <<<'{}'

echo '# what a model takes and gives'
ask inference.GRPCInferenceService/ModelMetadata <<<'{"name": "ce_resnet_caltech101"}'

echo '# the three best labels of a picture; bytes are base64 in JSON'
answer=$(
  ask inference.GRPCInferenceService/ModelInfer <<END
{
  "model_name": "ce_resnet_caltech101",
  "inputs": [
    {"name": "input", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": ["$(base64 <"$photo" | tr -d '\n')"]}}
  ],
  "outputs": [{"name": "logits", "parameters": {"classification": {"int64_param": 3}}}]
}
END
)
echo "$answer"

echo '# the answer in plain text: each label behind 4 bytes of its length'
sed -nE '/"raw_?[Oo]utput_?[Cc]ontents"/{n;s/[^"]*"([^"]*)".*/\1/p;}' <<<"$answer" | base64 --decode | tr -cs '[:print:]' '\n'
