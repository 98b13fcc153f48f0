"""What the product reaches, measured: `python -m benchmarks.record`, `python -m benchmarks.enforce`.

Everything is measured in one run on one machine and compared by ratios. The tests run each benchmark small.
"""
