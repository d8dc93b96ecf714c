"""The learning curve of a run, drawn anew at every validation."""

from __future__ import annotations

from pathlib import Path

from verse_morph.io.files import replacing


def draw_curve(log: Path, path: Path) -> None:
    """Loss and held-out scores of a log (CSV) against samples, as a picture."""
    import pandas as pd
    from matplotlib.figure import Figure

    table = pd.read_csv(log)
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(table["samples"], table["train_loss"], label="training")
    left.plot(table["samples"], table["held_out_loss"], label="held out")
    left.set(xlabel="samples", ylabel="loss")
    for name in table.columns[5:]:
        if name != "held_out_loss":
            right.plot(table["samples"], table[name], label=name.removeprefix("held_out_").replace("_", " "))
    right.set(xlabel="samples", ylabel="held-out score", ylim=(0, 1))
    for axes in (left, right):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
