"""`python -m sparse_gemm`."""

from __future__ import annotations

import sys

from sparse_gemm.cli import main

sys.exit(main())
