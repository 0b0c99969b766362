"""grpcio's reflection client as a process of its own: `python reflection_client.py ADDRESS`.

It has its own descriptors of package grpc.reflection.v1alpha, which cannot share a process with
ours. Prints a JSON object: what it learned of the server, and how it defines the protocol itself.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

with grpc.insecure_channel(sys.argv[1]) as channel:
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = descriptor_pool.DescriptorPool(database)
    observer = pool.FindServiceByName("observer.Observer")
    flow = pool.FindMessageTypeByName("flow.Flow")
    learned = {
        "services": list(database.get_services()),
        "methods": [method.full_name for method in observer.methods],
        "flow": sorted([field.number, field.name] for field in flow.fields),
        "files": [observer.file.name, flow.file.name],
        "own": {
            message.name: sorted(
                [
                    field.number,
                    field.name,
                    field.type,
                    field.is_repeated,
                    field.containing_oneof.name if field.containing_oneof else "",
                ]
                for field in message.fields
            )
            for message in reflection_pb2.DESCRIPTOR.message_types_by_name.values()
        },
    }
print(json.dumps(learned))
