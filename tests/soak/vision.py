"""Both gRPC services, as the server's own reflection describes them."""

from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Services:
    """Messages by name, and calls on a channel."""

    def __init__(self, address: str) -> None:
        self.address = address
        with grpc.insecure_channel(address) as channel:
            # described once, with what they refer to; later the channel isn't needed
            pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
            self._services = {
                name: pool.FindServiceByName(name) for name in ("cenet.v1.Vision", "inference.GRPCInferenceService")
            }
            self._methods = {
                method.name: (
                    f"/{service.full_name}/{method.name}",
                    *map(GetMessageClass, (method.input_type, method.output_type)),
                )
                for service in self._services.values()
                for method in service.methods
            }

    def channel(self) -> grpc.aio.Channel:
        """A connection of its own: without this option channels to one address share one."""
        return grpc.aio.insecure_channel(self.address, [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)])

    def request(self, method: str, **fields: Any) -> Any:
        return self._methods[method][1](**fields)

    def unary(self, channel: grpc.aio.Channel, method: str) -> Any:
        path, asked, answered = self._methods[method]
        return channel.unary_unary(path, asked.SerializeToString, answered.FromString)

    def stream(self, channel: grpc.aio.Channel, method: str) -> Any:
        path, asked, answered = self._methods[method]
        return channel.stream_stream(path, asked.SerializeToString, answered.FromString)
