"""gRPC reflection, package grpc.reflection.v1."""
