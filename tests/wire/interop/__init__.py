"""The gRPC project's interop test service over the port: its messages and its handlers."""
