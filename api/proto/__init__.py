"""The Hubble API: messages and services, as .proto files with generated Python modules beside.

`flow`, `observer`, `peer` and `relay` are exact to the field number, the name and the order of
declaration: clients of Hubble depend on all three. `health` is gRPC's standard service; `leavitt`
is what we add, carried in `Flow.extensions`. `generate` makes the `*_pb2` modules; never edit
those by hand.
"""
