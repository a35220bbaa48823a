"""The compressed matrix: Sparse24Tensor (`tensor`), and how one is made.

`compression` prunes, checks and compresses, `quantization` quantises; `patterns` are the patterns
by name, `device_format` is packed storage on a CUDA device, `tensor_checks` what stored parts must
be.
"""
