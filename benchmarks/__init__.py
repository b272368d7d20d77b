"""What is measured, against what: `python -m benchmarks` (docs/performance.md)."""
