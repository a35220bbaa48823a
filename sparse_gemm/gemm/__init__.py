"""One product, from arrays to the extension's call, for every array library.

`type_rules` says which types go together, `epilogue` what a call does beside the product, `eager`
checks both and calls C++. `sparse_gemm.ops`, above, is the door for users.
"""
