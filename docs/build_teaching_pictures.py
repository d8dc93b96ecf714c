"""Draws the bones that the teaching notebook shows, from phantoms, into ``verse_morph/view/assets``.

Two PNG of each plate: the lit bones in grey, and the label of the bone at every pixel, by which the notebook colours
them. About five minutes on two cores; needed again only when the phantom's anatomy changes.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from verse_morph.anatomy import VERSE, Level
from verse_morph.phantom.case import CERVICAL_RIB, COCCYX, SACRUM, rib_label
from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.parameters import SIDES, PhantomOptions, StumpRib, Variants
from verse_morph.phantom.skeleton import bones_of
from verse_morph.view.lit import lit

OUT = Path(__file__).resolve().parents[1] / "verse_morph" / "view" / "assets"
SEED = 1
CASTELLVI = ("0", "1", "2a", "2b", "3a", "3b", "4")


def patient(**variants):
    """The same patient every time, with what is asked."""
    options = PhantomOptions(sex="F", age=35, height_cm=168, pelvis=False, variants=Variants(**variants))
    return draw_parameters(np.random.default_rng(SEED), options)


def bones(parameters, levels, ribs=False, sacrum=False):
    """The bones of these levels."""
    vertebrae = {VERSE.value_of(level) for level in levels}
    numbers = {rib.number for rib in parameters.ribs if Level(rib.level) in levels}
    wanted = set(vertebrae) | ({SACRUM, COCCYX} if sacrum else set())
    if ribs:
        wanted |= {rib_label(side, n) for side in SIDES for n in numbers if n}
        wanted |= set(CERVICAL_RIB.values()) if 0 in numbers else set()
    return [bone for bone in bones_of(parameters) if bone.label in wanted]


def around(shown, margin_mm=3.0):
    """Box around bones."""
    bounds = np.array([bone.world_bounds_mm() for bone in shown])
    return np.stack([bounds[:, 0].min(axis=0) - margin_mm, bounds[:, 1].max(axis=0) + margin_mm])


def save(name, shown, view, box, step_mm):
    """One plate, cropped to what is on it."""
    made = lit(shown, view, box, step_mm)
    rows, columns = np.nonzero(made.labels)
    part = np.s_[max(rows.min() - 4, 0) : rows.max() + 5, max(columns.min() - 4, 0) : columns.max() + 5]
    Image.fromarray(made.pixels[part] // 4 * 4 + 3).save(OUT / f"teach_{name}.png", optimize=True)
    Image.fromarray(made.labels[part]).save(OUT / f"teach_{name}_labels.png", optimize=True)
    print(name, made.pixels[part].shape, (OUT / f"teach_{name}.png").stat().st_size // 1024, "KB", flush=True)


def castellvi():
    """The last lumbar vertebra and the wings of the sacrum, from the front, tilted by nothing."""
    for kind in CASTELLVI:
        parameters = patient(castellvi=kind)
        shown = bones(parameters, [Level.L4, Level.L5], sacrum=True)
        box = around(shown)
        box[0, 2] = parameters.sacrum.centre_mm[2] - 62
        save(f"castellvi_{kind}", shown, "anterior", box, 0.7)


def lower():
    """The thoracolumbar junction and the lumbar spine with ribs, from the front."""
    stumps = (StumpRib("T12", "left", 25.0), StumpRib("T12", "right", 30.0))
    for name, variants in (
        ("normal", {}),
        ("t13", {"thoracic": 13}),
        ("l6", {"lumbar": 6}),
        ("stump_rib", {"stump_ribs": stumps}),
    ):
        parameters = patient(**variants)
        levels = [level for level in parameters.levels if level >= Level.T10]
        shown = bones(parameters, levels, ribs=True, sacrum=True)
        box = around(shown)
        middle = parameters["L1"].centre_mm[0]
        box[:, 0] = middle - 95, middle + 95
        box[0, 2] = parameters.sacrum.centre_mm[2] - 55
        box[1, 2] = parameters["T10"].centre_mm[2] + 40
        save(f"lower_{name}", shown, "anterior", box, 0.8)


def neck():
    """C5 to T2 with and without cervical ribs, from the front."""
    for name, variants in (("normal", {}), ("cervical_rib", {"cervical_ribs": ("left", "right")})):
        parameters = patient(**variants)
        levels = [level for level in parameters.levels if Level.C5 <= level <= Level.T2]
        shown = bones(parameters, levels, ribs=True)
        box = around(shown)
        middle = parameters["C7"].centre_mm[0]
        box[:, 0] = middle - 75, middle + 75
        box[0, 2] = parameters["T2"].centre_mm[2] - 40
        save(f"neck_{name}", shown, "anterior", box, 0.7)


def normal():
    """The whole spine from two sides, and one vertebra of each region from two."""
    parameters = patient()
    for level in (Level.C1, Level.C2, Level.C4, Level.T7, Level.L3):
        shown = bones(parameters, [level])
        for view in ("superior", "left"):
            save(f"{level}_{view}", shown, view, around(shown), 0.4)
    shown = bones(parameters, parameters.levels, sacrum=True)
    for view in ("anterior", "left"):
        save(f"spine_{view}", shown, view, around(shown), 0.9)


if __name__ == "__main__":
    castellvi()
    lower()
    neck()
    normal()
