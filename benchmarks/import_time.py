"""How long `import verse_morph` takes in a fresh interpreter: median of seven, beside `import numpy`.

Run: .venv/bin/python benchmarks/import_time.py     Aim: under 0.5 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def median_seconds(statement: str, repeats: int = 7) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    bare = median_seconds("pass")
    for statement in ("import numpy", "import verse_morph", "import verse_morph; verse_morph.Level"):
        print(f"{statement:40s} {median_seconds(statement) - bare:6.3f} s above a bare interpreter ({bare:.3f} s)")
