"""``python -m tests.benchmarks``: what a plugin costs on each wire, and what others cost."""
