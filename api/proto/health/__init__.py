"""The standard health service of gRPC (package grpc.health.v1)."""
