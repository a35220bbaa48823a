"""`python -m sparse_gemm.bench`."""

from __future__ import annotations

import sys

from sparse_gemm.bench.cli import main

sys.exit(main())
