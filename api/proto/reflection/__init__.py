"""The reflection services of gRPC, in the versions that clients ask for."""
