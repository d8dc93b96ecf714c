"""One HTML page with a spine and its numbers, for people without Python: no server, no network, no installation."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.io.files import replacing
from verse_morph.spine import Spine
from verse_morph.view import needs
from verse_morph.view.angle import PLANES, construction
from verse_morph.view.colours import choices, colouring, key_html, title_of
from verse_morph.view.numbers import doubt_html, first_with_numbers, flags_of, numbers_html
from verse_morph.view.picture import ASSETS
from verse_morph.view.planes import PLANES as PLANES_OF_CT
from verse_morph.view.planes import Surroundings, packed, surroundings, texture, thinned
from verse_morph.view.scene import Scene, scene_of
from verse_morph.view.slices import CUTS
from verse_morph.view.surfaces import CAMERAS, LAYERS, Drawn, camera, draw, draw_layer, matrix_of, middle_mm

if TYPE_CHECKING:
    import pandas as pd

    from verse_morph.volume import Scan

# A whole spine at this many triangles per vertebra makes a page of 5 to 6 MB.
COMPRESSION = 9


def write_page(spine: Spine | Scene, table: pd.DataFrame | None, path: Path | str, scan: Scan | None = None) -> Path:
    """Write the page of one spine.

    Parameters
    ----------
    spine : Spine or Scene
    table : DataFrame or None
        One row per vertebra.
    path : Path or str
        ``.html``; replaced only when complete.
    scan : Scan, optional
        Its part about the spine goes into the page, thinned, for CT planes in the scene.

    Raises
    ------
    OutputError
        It cannot be written there.
    NotMeasurable
        There is no vertebra to show.
    ViewerUnavailable
        A package of the viewers is missing or of another major version.
    GridMismatch
        The scan does not show where the surfaces are.
    """
    target = Path(path)
    text = page_html(spine if isinstance(spine, Scene) else scene_of(spine), table, scan)
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return target


def page_html(scene: Scene, table: pd.DataFrame | None, scan: Scan | None = None) -> str:
    """The text of the page."""
    needs.require(needs.SURFACES)
    drawn = draw([scene])
    ct = None if scan is None else _ct(drawn, thinned(surroundings(scan, scene.bounds_mm())))
    layers = [name for name in LAYERS if draw_layer(drawn, name)]
    for name in layers:
        for thing in drawn.layers[name].values():
            thing.visible = name == "names"
    for surface in drawn.surfaces.values():
        # Its being there makes the surface clickable; the page itself answers.
        surface.click_callback = _answered_by_the_page
    drawn.plot.camera = camera(scene.bounds_mm(), "anterior")
    shown = _content(drawn, scene, table, layers) | {"ct": ct}
    content = json.dumps(shown, allow_nan=False, separators=(",", ":"))
    script = (ASSETS / "page.js").read_text(encoding="utf-8")
    made = drawn.plot.get_snapshot(COMPRESSION, additional_js_code="startPage(K3DInstance);")
    head = f"<style>{(ASSETS / 'page.css').read_text(encoding='utf-8')}</style>"
    # A closing tag inside a string would end the script.
    data = content.replace("</", "<\\/")
    body = f"{_body(scene, table, layers, ct)}<script>window.SPINE = {data};\n{script}</script>"
    made = made.replace("</head>", f"{head}</head>", 1).replace("<body>", f"<body>{body}", 1)
    start = made.index("<title>")
    return f"{made[:start]}<title>{escape(scene.name)}</title>{made[made.index('</title>') + 8 :]}"


def _content(drawn: Drawn, scene: Scene, table: pd.DataFrame | None, layers: list[str]) -> dict[str, Any]:
    levels = scene.levels()
    shown = {key: colouring(key, levels, table) for key in choices(table)}
    return {
        "levels": levels,
        "surfaces": {level: thing.id for (_, level), thing in drawn.surfaces.items()},
        "layers": {name: [[level, thing.id] for (_, level), thing in drawn.layers[name].items()] for name in layers},
        "apart": {level: _rounded(matrix_of([scene], (0, level), 1.0, np.zeros(3))[:3, 3]) for level in levels},
        "middle": _rounded(middle_mm(scene)),
        "colours": {key: [one.colours[level] for level in levels] for key, one in shown.items()},
        "keys": {key: key_html(one) for key, one in shown.items()},
        "numbers": {level: numbers_html(level, table, scene[level].why) for level in levels},
        "angles": _angles(scene),
        "first": first_with_numbers(levels, table),
        "cameras": {name: camera(scene.bounds_mm(), name) for name in CAMERAS},
    }


def _ct(drawn: Drawn, small: Surroundings) -> dict[str, Any]:
    """The CT of the page; its planes are objects of the plot that the page fills when they are switched on."""
    content = packed(small)
    ids = {}
    for plane in PLANES_OF_CT:
        cut = CUTS[plane]
        empty = np.zeros((content["shape"][cut.up], content["shape"][cut.across]), dtype=np.uint8)
        made = texture(empty, np.eye(4, dtype=np.float32), f"CT {plane}")
        made.visible = False
        drawn.plot += made
        ids[plane] = [made.id, cut.across, cut.up, cut.fixed]
    at = {str(bone.level): small.index_at(bone.centre_mm).tolist() for bone in drawn.scenes[0].bones}
    return content | {"planes": ids, "at": at}


def _answered_by_the_page(_hit: object) -> None:
    """Never called: a page has no kernel."""


def _rounded(values: NDArray) -> list[float]:
    return [round(float(v), 2) for v in values]


def _angles(scene: Scene) -> dict[str, str]:
    """The angle of every pair of levels in words, by ``upper lower plane``."""
    found = {}
    levels = scene.levels()
    for k, upper in enumerate(levels):
        for lower in levels[k + 1 :]:
            for plane in PLANES:
                try:
                    words = construction(scene, upper, lower, plane).words
                except NotMeasurable as reason:
                    words = str(reason)
                found[f"{upper} {lower} {plane}"] = words
    return found


def _body(scene: Scene, table: pd.DataFrame | None, layers: list[str], ct: dict[str, Any] | None) -> str:
    levels = scene.levels()
    boxes = "".join(f"<label><input type='checkbox' class='level' value='{n}' checked> {n}</label>" for n in levels)
    ticks = "".join(
        f"<label><input type='checkbox' class='layer' value='{n}'{' checked' if n == 'names' else ''}> {n}</label>"
        for n in layers
    )
    cameras = "".join(f"<button type='button' class='camera' value='{name}'>{name}</button>" for name in CAMERAS)
    text = (ASSETS / "page.html").read_text(encoding="utf-8")
    fields = {
        "NAME": escape(scene.name),
        "DOUBT": doubt_html(flags_of(table)),
        "COLOUR_BY": _options([(title_of(key), key) for key in choices(table)]),
        "VERTEBRAE": _options([(level, level) for level in levels]),
        "UPPER": _options([("none", ""), *((level, level) for level in levels)]),
        "LOWER": _options([(level, level) for level in reversed(levels)]),
        "PLANES": _options([(plane, plane) for plane in PLANES]),
        "LEVELS": boxes,
        "LAYERS": ticks,
        "CAMERAS": cameras,
        "CT": "" if ct is None else _ct_controls(ct),
    }
    for name, value in fields.items():
        text = text.replace(f"[{name}]", value)
    return text


def _ct_controls(ct: dict[str, Any]) -> str:
    rows = []
    for plane in PLANES_OF_CT:
        places = ct["places"][plane]
        slider = f"type='range' class='ct-at' name='{plane}' min='0' max='{len(places) - 1}' value='{len(places) // 2}'"
        tick = f"<label><input type='checkbox' class='ct' value='{plane}'> {plane}</label>"
        rows.append(f"<div>{tick} <input {slider} aria-label='place of the {plane} CT plane'> <output></output></div>")
    button = "<button type='button' id='ct-through'>through the vertebra</button>"
    hint = "<div class='small'>Surfaces in front of a plane hide it: lower the opacity.</div>"
    return f"<fieldset id='ct'><legend>CT planes</legend>{''.join(rows)}{button}{hint}</fieldset>"


def _options(pairs: list[tuple[str, str]]) -> str:
    return "".join(f"<option value='{escape(value, quote=True)}'>{escape(word)}</option>" for word, value in pairs)
