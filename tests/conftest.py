"""What all tests share: repeatable hypothesis runs, and one thread a process so that times and sums repeat."""

from __future__ import annotations

import os

# Read by torch, numpy and the processes that tests start, so before any of them is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))
