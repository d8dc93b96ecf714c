"""How many vertebrae a reader could name rightly at all: the ceiling of any naming on phantoms with other counts.

    verse-morph phantom -o unseen --n 100 --seed 9191
    python benchmarks/countable.py unseen [more folders ...]

A reader numbers from the neck where any of C1 to T1 is in view, even a sliver, and is then right. Without a neck the
last vertebra with ribs is T12 to him: in a spine of 11 or 13 thoracic vertebrae he names every thoracic one in view
wrongly. Where no thoracic body is in view he sees the last rib pass beside L1 and is right (``ribs``), or does not and
counts L5 up from the sacrum (``sacrum``): in a spine with another lumbar count he names every one wrongly. Everything
else he names rightly. Bodies in view are those of ``naming.py``. One line per scan that no reader names wholly, the
last line is ``at most NN.N % (ribs), NN.N % (sacrum) of N``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from naming import whole

from verse_morph.anatomy import Level
from verse_morph.io import find_cases, read_centroids, read_scan

USUAL_THORACIC, USUAL_LUMBAR = 12, 5


def misnamed(seen: list[Level], highest: Level, thoracic: int, lumbar: int) -> tuple[int, int]:
    """Vertebrae in view that a reader misnames: one who sees the last rib beside L1, one who does not."""
    if not seen or highest <= Level.T1:
        return 0, 0
    chest = [level for level in seen if level.region == "thoracic"]
    if chest:
        wrong = len(chest) if thoracic != USUAL_THORACIC and Level.L1 in seen else 0
        return wrong, wrong
    last = [level for level in Level if level.region == "lumbar"][lumbar - 1]
    return 0, len(seen) if lumbar != USUAL_LUMBAR and seen[-1] is last else 0


def rows_of(folder: Path) -> Iterator[dict]:
    """One row per scan of a data set."""
    counts = pd.read_csv(folder / "participants.csv").set_index("scan")
    for case in find_cases(folder):
        spine = counts.loc[case.scan]
        grid = read_scan(case.ct).grid
        points = dict(read_centroids(case.centroids, grid).points_mm)
        seen = sorted(whole(points, grid))
        ribs, sacrum = misnamed(seen, min(points), int(spine["thoracic"]), int(spine["lumbar_labelled"]))
        yield {"scan": case.scan, "n": len(seen), "ribs": ribs, "sacrum": sacrum}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    table = pd.DataFrame([row for folder in parser.parse_args().folders for row in rows_of(folder)])
    print(table[(table["ribs"] > 0) | (table["sacrum"] > 0)].to_string(index=False))
    total = table["n"].sum()
    ribs, sacrum = (100 * (1 - table[name].sum() / total) for name in ("ribs", "sacrum"))
    print(f"at most {ribs:.1f} % (ribs), {sacrum:.1f} % (sacrum) of {total}")


if __name__ == "__main__":
    main()
