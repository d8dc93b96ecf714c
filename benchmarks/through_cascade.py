"""What the networks cost a measurement: the same scans measured from predicted and from true masks.

    python benchmarks/cascade.py DATA -o PREDICTED
    python benchmarks/through_cascade.py DATA PREDICTED -o OUT

Vertebrae are paired by place (body centres within 12 mm): a shifted numbering costs identification, not heights.
Bias and limits of agreement (mean and mean +- 1.96 SD of the difference, Bland and Altman 1986), predicted minus true,
by region; refused values are counted. The last line is ``median absolute height difference N.NN mm``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from verse_morph.errors import VerseMorphError
from verse_morph.io import Case, find_cases, read_labels, read_scan, scan_on_grid
from verse_morph.measure import measure
from verse_morph.shape import build_spine

NEAR_MM = 12.0
PLACE = ["body_x_mm", "body_y_mm", "body_z_mm"]
HEIGHTS = ("height_anterior_mm", "height_middle_mm", "height_posterior_mm")
NAMES = (
    *HEIGHTS,
    "endplate_superior_tilt_sagittal_deg",
    "endplate_inferior_tilt_sagittal_deg",
    "body_volume_cm3",
    "vertebra_volume_cm3",
    "trabecular_hu_mean",
)


def measured(mask: Path, case: Case) -> pd.DataFrame:
    labels = read_labels(mask, "verse")
    return measure(build_spine(labels, scan_on_grid(read_scan(case.ct), labels.grid)))


def pairs(predicted: pd.DataFrame, true: pd.DataFrame, scan: str) -> list[dict]:
    """Rows of every quantity of every true vertebra that has a predicted body at its place."""
    apart = np.linalg.norm(true[PLACE].to_numpy()[:, None] - predicted[PLACE].to_numpy()[None], axis=-1)
    apart = np.where(np.isfinite(apart), apart, np.inf)
    rows = []
    for k, row in enumerate(true.to_dict("records")):
        j = int(apart[k].argmin()) if apart.shape[1] else 0
        if not apart.shape[1] or apart[k, j] > NEAR_MM:
            continue
        other = predicted.iloc[j]
        region = {"C": "cervical", "T": "thoracic", "L": "lumbar"}[str(row["level"])[0]]
        rows += [
            {
                "scan": scan,
                "level": row["level"],
                "region": region,
                "quantity": n,
                "true": row[n],
                "predicted": other[n],
            }
            for n in NAMES
        ]
    return rows


def agreement(rows: pd.DataFrame) -> pd.DataFrame:
    """Bias and limits of agreement per quantity and region."""
    out = []
    for (quantity, region), part in rows.groupby(["quantity", "region"], sort=False):
        known = part[part["true"].notna()]
        difference = (known["predicted"] - known["true"]).dropna()
        sd = difference.std()
        out.append(
            {
                "quantity": quantity,
                "region": region,
                "n": len(difference),
                "refused": len(known) - len(difference),
                "bias": difference.mean(),
                "lower": difference.mean() - 1.96 * sd,
                "upper": difference.mean() + 1.96 * sd,
                "median_absolute": difference.abs().median(),
            }
        )
    return pd.DataFrame(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("predicted", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    rows: list[dict] = []
    for case in find_cases(given.data):
        mask = given.predicted / f"{case.scan}_seg-vert_msk.nii.gz"
        if case.ct is None or case.mask is None or not mask.is_file():
            continue
        try:
            rows += pairs(measured(mask, case), measured(case.mask, case), case.scan)
        except VerseMorphError as error:
            print(f"{case.scan}: {error}")
    given.output.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    table.to_csv(given.output / "through_cascade.csv", index=False)
    print(agreement(table).round(2).to_string(index=False))
    heights = table[table["quantity"].isin(HEIGHTS)]
    print(f"median absolute height difference {(heights['predicted'] - heights['true']).abs().median():.2f} mm")


if __name__ == "__main__":
    main()
