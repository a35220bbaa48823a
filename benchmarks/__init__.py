"""Benchmarks of sparse_gemm against its baselines; README.md says how to run and read them."""
