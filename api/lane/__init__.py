"""The lane: gRPC over HTTP/2 in which many messages travel in one write.

Stock gRPC servers spend tens of microseconds of Python on every message. Here a method yields
batches of messages that are already length-prefixed, and one batch becomes a few DATA frames and
one write; a client gets whole batches back. Everything else is plain gRPC, so grpcio and grpc-go
talk to both sides without noticing.

Walk it in this order: ``wire`` (bytes of messages and frames), ``intake`` (received bytes to
frames), ``h2state`` (HTTP/2 state), ``conn`` and ``stream`` (both sides), ``call``, ``server`` and
``service`` (serving), ``dial``, ``response`` and ``client`` (calling).
"""
