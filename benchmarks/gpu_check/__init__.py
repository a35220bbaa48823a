"""`make gpu-check`: builds, tests and measures on a machine with an NVIDIA GPU; see README.md."""
