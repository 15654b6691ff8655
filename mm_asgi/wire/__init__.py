"""gRPC as this package sees it: port.py says what a wire offers, the other modules are wires."""
