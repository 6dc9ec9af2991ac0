"""Messages that Triton's client doesn't make, and the services beside the protocol's: health and reflection."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from golden import CLASSIFIER, INPUT, SCORES, assert_close
from serving import Server

TIMEOUT_S = 60
SHAPE = list(CLASSIFIER.tensor.shape)
BYTES = CLASSIFIER.tensor.tobytes()
NUMBERS = CLASSIFIER.tensor.flatten().tolist()
SERVICE = "inference.GRPCInferenceService"


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc) as opened:
        yield opened


def request(*raw: bytes, **fields: Any) -> messages.ModelInferRequest:
    """A request of one input whose fields may be others, with `raw` as the raw contents."""
    tensor = {"name": INPUT, "datatype": "FP32", "shape": SHAPE} | fields
    made = messages.ModelInferRequest(model_name=CLASSIFIER.name, raw_input_contents=raw)
    made.inputs.add(**tensor)
    return made


def infer(channel: grpc.Channel, asked: messages.ModelInferRequest) -> np.ndarray:
    answer = GRPCInferenceServiceStub(channel).ModelInfer(asked, timeout=TIMEOUT_S)
    [output], [data] = answer.outputs, answer.raw_output_contents
    # clients that look for typed contents must not find half of an answer
    assert not output.HasField("contents")
    assert (output.name, output.datatype) == (SCORES, "FP32")
    return np.frombuffer(data, np.float32).reshape(output.shape)


def two_inputs(*raw: bytes) -> messages.ModelInferRequest:
    asked = request(*raw)
    asked.inputs.append(asked.inputs[0])
    return asked


def asking_for(**output: Any) -> messages.ModelInferRequest:
    asked = request(BYTES)
    asked.outputs.add(**output)
    return asked


def with_parameter(name: str, **value: Any) -> messages.ModelInferRequest:
    asked = request(BYTES)
    asked.parameters[name].CopyFrom(messages.InferParameter(**value))
    return asked


GOOD = {
    "raw": request(BYTES),
    "typed": request(contents={"fp32_contents": NUMBERS}),
    "typed picture": request(shape=[1], datatype="BYTES", contents={"bytes_contents": [CLASSIFIER.picture]}),
    "raw picture": request(
        len(CLASSIFIER.picture).to_bytes(4, "little") + CLASSIFIER.picture, shape=[1, 1], datatype="BYTES"
    ),
    "empty typed contents beside raw": request(BYTES, contents={}),
    "priority as int64": with_parameter("priority", int64_param=1),
    "timeout as uint64": with_parameter("timeout", uint64_param=60_000_000),
}

BAD = {
    "both": request(BYTES, contents={"fp32_contents": NUMBERS}),
    "neither": request(),
    "raw for two inputs": request(BYTES, BYTES),
    "raw for one of two inputs": two_inputs(BYTES),
    "raw too short": request(BYTES[:-1]),
    "raw too long": request(BYTES + b"1"),
    "raw empty": request(b""),
    "typed too few": request(contents={"fp32_contents": NUMBERS[:-1]}),
    "typed too many": request(contents={"fp32_contents": [*NUMBERS, 0.0]}),
    "typed as another type": request(contents={"int_contents": [1] * len(NUMBERS)}),
    "typed as two types": request(contents={"fp32_contents": NUMBERS, "int_contents": [1]}),
    "input with a long name": request(BYTES, name="x" * 1_000_000),
    "type with a long name": request(BYTES, datatype="x" * 1_000_000),
    "shape of a million axes": request(BYTES, shape=[1] * 1_000_000),
    "output with a long name": asking_for(name="x" * 1_000_000),
    "type unknown": request(BYTES, datatype="FP33"),
    "type empty": request(BYTES, datatype=""),
    "shape overflows": request(BYTES, shape=[2**62, 2**62, 2**62, 2**62]),
    "shape overflows to the true size": request(BYTES, shape=[2**63 // 64 + 1, 3, 64, 64]),
    "shape overflow behind a zero": request(b"", shape=[0, 2**62, 2**62, 2**62]),
    "shape negative": request(BYTES, shape=[-1, 3, 64, 64]),
    "shape empty": request(BYTES, shape=[]),
    "BYTES longer than they are": request(b"\xff\xff\xff\xffabc", shape=[1], datatype="BYTES"),
    "BYTES of half a length": request(b"\x01\x00", shape=[1], datatype="BYTES"),
    "BYTES too many": request(b"\x01\0\0\0a" * 2, shape=[1], datatype="BYTES"),
    "BYTES too few": request(b"\x01\0\0\0a", shape=[2], datatype="BYTES"),
    "output unknown": asking_for(name="nothing"),
    "classification as text": asking_for(name=SCORES, parameters={"classification": {"string_param": "3"}}),
    "classification negative": asking_for(name=SCORES, parameters={"classification": {"int64_param": -1}}),
    "timeout as text": with_parameter("timeout", string_param="soon"),
    "timeout negative": with_parameter("timeout", int64_param=-1),
    "priority as text": with_parameter("priority", string_param="first"),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_message(channel: grpc.Channel, name: str):
    assert_close(infer(channel, GOOD[name]), CLASSIFIER.outputs[SCORES])


@pytest.mark.parametrize("name", BAD)
def test_bad_message(channel: grpc.Channel, name: str):
    with pytest.raises(grpc.RpcError) as failure:
        infer(channel, BAD[name])
    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT, failure.value.details()
    assert 0 < len(failure.value.details()) < 2000
    assert_close(infer(channel, GOOD["raw"]), CLASSIFIER.outputs[SCORES])


def test_bytes_that_are_no_message(channel: grpc.Channel):
    send = channel.unary_unary(f"/{SERVICE}/ModelInfer", request_serializer=bytes, response_deserializer=bytes)
    with pytest.raises(grpc.RpcError) as failure:
        send(b"\xff" * 100, timeout=TIMEOUT_S)
    assert failure.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)
    assert_close(infer(channel, GOOD["raw"]), CLASSIFIER.outputs[SCORES])


def test_methods_that_are_not_there(channel: grpc.Channel):
    for path in (f"/{SERVICE}/Nothing", "/nobody.Service/Nothing", "/nothing"):
        send = channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(grpc.RpcError) as failure:
            send(b"", timeout=TIMEOUT_S)
        assert failure.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health(channel: grpc.Channel, service: str):
    health = health_pb2_grpc.HealthStub(channel)
    asked = health_pb2.HealthCheckRequest(service=service)
    assert health.Check(asked, timeout=TIMEOUT_S).status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_an_unknown_service(channel: grpc.Channel):
    with pytest.raises(grpc.RpcError) as failure:
        asked = health_pb2.HealthCheckRequest(service="nobody.Service")
        health_pb2_grpc.HealthStub(channel).Check(asked, timeout=TIMEOUT_S)
    assert failure.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_is_watched(channel: grpc.Channel):
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_reflection(channel: grpc.Channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
    described = database.FindFileContainingSymbol(SERVICE)
    [service] = [service for service in described.service if service.name == "GRPCInferenceService"]
    assert {"ModelInfer", "ModelStreamInfer", "RepositoryIndex"} <= {method.name for method in service.method}
