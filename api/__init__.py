"""What the processes say to each other: the wire contract, and how it is carried.

`api.proto` holds the Hubble API as protobuf, with the generated code beside; `api.lane` carries it
as gRPC over HTTP/2, many messages to a frame. Nothing here knows about kernels, tables or
Kubernetes: every other room stands on this one.
"""
