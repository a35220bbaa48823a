"""Measures sparse_gemm beside its peers, on this machine: `python -m sparse_gemm.bench --help`.

    python -m sparse_gemm.bench run decode --out results.json
    python -m sparse_gemm.bench report results.json --out report
    python -m sparse_gemm.bench compare before.json after.json

Modules, lowest first:

    names                of ways and types
    timing, sampler      samples and their spread, in turns; clocks and power of the GPU
    shapes, cases        the linear layers of well-known models; the suites: what is measured
    operands             which types go together
    devices              a CPU or a GPU: flush, graphs, events; what of torch runs there alone
    weights, ways        random 2:4 weights; what each peer makes of them
    peers_cpu, peers_cuda, compressing, calling   the ways: ours and the peers'
    measure, energy      one case -> one record
    peaks, machine       rates on paper; what a figure was measured on
    document, tables     records as JSON, and as lines of text
    run                  suites -> a document, as it grows
    compare              two documents -> what has become slower
    series, plots, page  a document -> figures and one HTML page

benchmarks/README.md in the source tree documents the JSON.
"""
