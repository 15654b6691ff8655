"""Tests of the wires: one conformance suite for all, and each one's own traps."""
