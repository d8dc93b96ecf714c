"""Accuracy of the whole cascade, CT to mask, on a data set in VerSe layout: nothing but the CT is given.

    verse-morph phantom -o DIR --n 20 --seed 4242          unseen phantoms: training draws from other seeds
    python benchmarks/cascade.py DIR -o OUT                predicted masks, points and tables
    python benchmarks/cascade.py DIR -o OUT --table-only   the tables again from the masks of a finished run

Identification by the rules of `verse-morph evaluate`, both modes; Dice per vertebra; what is in doubt is told apart
from what is wrong and not in doubt. ``in view``: vertebrae with 8 mm of scan or more above and below the body's centre,
slivers at the border left out. The last line is ``strict identification NN.N % dice 0.NNN``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import pandas as pd
from naming import whole

from verse_morph.errors import VerseMorphError
from verse_morph.evaluate import all_missed, evaluate_scan
from verse_morph.io import Case, find_cases, read_centroids, read_labels, read_scan, write_centroids, write_labels
from verse_morph.segment.cascade import SegmentOptions, segment


def predict(case: Case, options: SegmentOptions, folder: Path) -> dict:
    """Mask, points and a record of one case; what was refused is recorded with its reason."""
    started = time.perf_counter()
    record: dict = {"scan": case.scan, "refused": None}
    try:
        found = segment(read_scan(case.ct), options)
        write_labels(found.labels, folder / f"{case.scan}_seg-vert_msk.nii.gz")
        write_centroids(found.points_mm, folder / f"{case.scan}_seg-subreg_ctd.json", found.labels.grid)
        margin = None if found.decoding is None else found.decoding.margin
        record |= {"flags": [str(f) for f in found.flags], "margin": margin, "seconds": dict(found.seconds)}
        record |= {"levels": [str(level) for level in found.labels.levels()]}
    except VerseMorphError as error:
        record["refused"] = str(error)
    record["total_seconds"] = round(time.perf_counter() - started, 1)
    (folder / f"{case.scan}.json").write_text(json.dumps(record, indent=1))
    return record


def compare(case: Case, record: dict, folder: Path) -> pd.DataFrame:
    """Rows per vertebra and mode."""
    truth = read_labels(case.mask, "verse")
    true = None if case.centroids is None else dict(read_centroids(case.centroids, truth.grid).points_mm)
    if record["refused"]:
        rows = all_missed(truth).vertebrae
    else:
        mask = read_labels(folder / f"{case.scan}_seg-vert_msk.nii.gz", "verse")
        said = read_centroids(folder / f"{case.scan}_seg-subreg_ctd.json", mask.grid).points_mm
        rows = evaluate_scan(mask, truth, points=None if true is None else (said, true)).vertebrae
    seen = {str(level) for level in (whole(true, truth.grid) if true else ())}
    return rows.assign(in_view=rows["level"].astype(str).isin(seen))


def report(rows: pd.DataFrame, records: list[dict]) -> None:
    doubt = {r["scan"]: bool(r["refused"]) or "numbering_in_doubt" in r.get("flags", ()) for r in records}
    strict = rows[rows["mode"].astype(str) == "strict"].copy()
    strict["doubt"] = strict["scan"].map(doubt)
    true = strict[strict["outcome"] != "false_positive"]
    seen = true[true["in_view"]]
    parts = [("all", true), *true.groupby("region"), *true.groupby("doubt"), ("in view", seen), *seen.groupby("region")]
    for name, part in parts:
        right = 100 * (part["outcome"] == "hit").mean()
        hits = part.loc[part["outcome"] == "hit", "dice"].mean()
        means = part[["centroid_distance_mm", "hausdorff95_mm"]].mean()
        print(f"{name!s:<10} n {len(part):4d}  identified {right:5.1f} %  dice {part['dice'].fillna(0).mean():.3f} "
              f"where identified {hits:.3f}  distance {means.iloc[0]:.2f} mm  hd95 {means.iloc[1]:.2f} mm")  # fmt: skip
    print("outcomes:", strict["outcome"].value_counts().to_dict())
    clean = strict.groupby("scan")["outcome"].agg(lambda o: bool((o == "hit").all()))
    sure = [scan for scan, d in doubt.items() if not d]
    print(f"scans wholly right {clean.sum()} of {len(clean)}; not in doubt {len(sure)}, of these wholly right "
          f"{int(clean.reindex(sure).fillna(False).sum())}")  # fmt: skip
    for record in records:
        print(record["scan"], record["refused"] or " ".join(record["levels"][:: max(1, len(record["levels"]) - 1)]),
              "right" if clean.get(record["scan"]) else "WRONG", "doubt" if doubt[record["scan"]] else "",
              f"{record['total_seconds']} s")  # fmt: skip
    hit = 100 * (true["outcome"] == "hit").mean()
    print(f"strict identification {hit:.1f} % dice {true['dice'].fillna(0).mean():.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--table-only", action="store_true")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    cases = [case for case in find_cases(given.data) if case.ct is not None and case.mask is not None]
    records, tables = [], []
    for case in cases:
        done = given.output / f"{case.scan}.json"
        if not given.table_only and not done.is_file():
            predict(case, SegmentOptions(weights=given.weights, threads=given.threads), given.output)
        records.append(json.loads(done.read_text()))
        tables.append(compare(case, records[-1], given.output))
    rows = pd.concat(tables, ignore_index=True)
    rows.to_csv(given.output / "vertebrae.csv", index=False)
    report(rows, records)


if __name__ == "__main__":
    main()
