"""Draws one patient: sizes and pose with their natural spread, then the variants and changes that were asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.phantom import reference as ref
from verse_morph.phantom.align import LEAST_EDGE_MM, aligned
from verse_morph.phantom.check import check_options
from verse_morph.phantom.neck import ring_on_dens
from verse_morph.phantom.parameters import (
    Pathology,
    PhantomOptions,
    RibParameters,
    SacrumParameters,
    SpineParameters,
    Variants,
    VertebraParameters,
)
from verse_morph.phantom.pathology import fractured, half_formed
from verse_morph.phantom.pose import Chain, as_point, as_rows, frame_at, rim_tilts, tilts
from verse_morph.space import FloatArray

MEAN_HEIGHT_CM = {"F": (163.0, 6.5), "M": (176.0, 7.0)}
# How much larger a man's spine is than a woman's, in standard deviations of the mixed population, to each side of the
# mean.
SEX_SHIFT = 0.62


def draw_parameters(rng: np.random.Generator, options: PhantomOptions | None = None) -> SpineParameters:
    """One patient.

    Parameters
    ----------
    rng : Generator
        Every random number comes from here, in a fixed order.
    options : PhantomOptions, optional

    Raises
    ------
    InputError
        Impossible anatomy was asked for.
    """
    options = options or PhantomOptions()
    check_options(options)
    sex, age, height, size = _patient(rng, options)
    levels = levels_of(options.variants)
    chain = _chain(rng, levels, size)
    shapes = _shapes(rng, levels, chain, size)
    before, regular = {}, {}
    for index, shape in enumerate(shapes):
        formed = half_formed(shape, options.variants)
        shapes[index] = fractured(formed, options.pathology)
        if shapes[index] is not shape:
            regular[shape.level] = shape
        if shapes[index] is not formed:
            before[shape.level] = formed
    chain = _worn(_settled(chain, shapes, regular), shapes, options.pathology)
    vertebrae = aligned(chain, shapes, options.alignment)
    vertebrae = (ring_on_dens(vertebrae[0], vertebrae[1]), *vertebrae[1:])
    sacrum = _sacrum(rng, vertebrae[-1], size, options)
    ribs = _ribs(rng, levels, size, options.variants)
    width, depth = 252 * np.exp(0.06 * size + 0.05 * rng.normal()), 178 * np.exp(0.05 * size + 0.07 * rng.normal())
    before = {
        name: replace(shape, centre_mm=_by(vertebrae, name).centre_mm, rotation=_by(vertebrae, name).rotation)
        for name, shape in before.items()
    }
    return SpineParameters(sex, age, height, size, vertebrae, sacrum, ribs, float(width), float(depth), options, before)


def _by(vertebrae: tuple[VertebraParameters, ...], name: str) -> VertebraParameters:
    return next(v for v in vertebrae if v.level == name)


def levels_of(variants: Variants) -> tuple[Level, ...]:
    """Levels of a patient with these counts, head to foot."""
    thoracic = [Level(f"T{i}") for i in range(1, variants.thoracic + 1)]
    lumbar = [Level(f"L{i}") for i in range(1, variants.lumbar + 1)]
    return tuple([Level(f"C{i}") for i in range(1, 8)] + thoracic + lumbar)


def _patient(rng: np.random.Generator, options: PhantomOptions) -> tuple[str, float, float, float]:
    """Sex, age, body height and overall size; all numbers are drawn whether asked for or not, so that the rest stays
    the same.
    """
    coin, years, tall, own = rng.random(), rng.normal(56, 17), rng.normal(), rng.normal()
    sex = options.sex or ("F" if coin < 0.48 else "M")
    age = float(np.clip(years, 20, 92)) if options.age is None else float(options.age)
    mean, sd = MEAN_HEIGHT_CM[sex]
    height = float(mean + sd * tall) if options.height_cm is None else float(options.height_cm)
    shift = SEX_SHIFT if sex == "M" else -SEX_SHIFT
    size = shift + 0.62 * (height - mean) / sd + 0.48 * own
    return sex, age, height, float(size)


def _trend(rng: np.random.Generator, count: int, size: float, shares: tuple[float, float, float]) -> FloatArray:
    """Correlated normal numbers along the spine: the person's size, a smooth course and each level's own part."""
    own, steps = rng.normal(size=count), rng.normal(size=count)
    smooth = np.empty(count)
    smooth[0] = steps[0]
    for i in range(1, count):
        smooth[i] = ref.SMOOTHNESS * smooth[i - 1] + np.sqrt(1 - ref.SMOOTHNESS**2) * steps[i]
    person, course, rest = np.sqrt(shares)
    return np.clip(person * size + course * smooth + rest * own, -2.8, 2.8)


def _rows(levels: tuple[Level, ...]) -> list[ref.PointRow]:
    """What body and pedicle points say about each level; the last one stands on the sacrum, whatever its number."""
    return [*(ref.POINTS[level] for level in levels[:-1]), ref.LAST]


def _chain(rng: np.random.Generator, levels: tuple[Level, ...], size: float) -> Chain:
    rows = _rows(levels)
    z = _trend(rng, len(levels), size, ref.DISTANCE_SHARES)
    distances = np.array([row.distance[0] + row.distance[1] * v for row, v in zip(rows, z, strict=True)])[:-1]
    noise = np.clip(rng.normal(size=len(levels)), -2.2, 2.2)
    noise[1:] = ref.TURN_NEIGHBOUR_CORRELATION * noise[:-1] + np.sqrt(1 - ref.TURN_NEIGHBOUR_CORRELATION**2) * noise[1:]
    turns = np.array([row.turn[0] + ref.TURN_SPREAD * row.turn[1] * v for row, v in zip(rows, noise, strict=True)])
    # Links: the one above L1 leans by the tilt at L1; every level turns the line by its angle.
    first = levels.index(Level.L1)
    links = np.zeros(len(levels) - 1)
    lean = float(np.clip(rng.normal(), -2.2, 2.2))
    links[first - 1] = ref.TILT_AT_L1[0] + ref.TILT_AT_L1[1] * lean - turns[first] / 2
    for i in range(first - 1, 0, -1):
        links[i - 1] = links[i] - turns[i]
    for i in range(first, len(links)):
        links[i] = links[i - 1] + turns[i]
    links = _balanced(rng, levels, links, lean)
    bend = _coronal(rng, len(links))
    rotation = np.clip(rng.normal(0, 1.5, len(levels)), -4, 4) - 0.25 * np.concatenate([bend[:1], bend])
    return Chain(levels, distances, links, bend, rotation, float(turns[-1]))


def _balanced(rng: np.random.Generator, levels: tuple[Level, ...], links: FloatArray, lean: float) -> FloatArray:
    """Links whose tilt at a few levels spreads as in real spines; the excess is spread over the levels between."""
    mean = np.zeros(len(links))
    first = levels.index(Level.L1)
    turns = [ref.POINTS[level].turn[0] for level in levels]
    mean[first - 1] = ref.TILT_AT_L1[0] - turns[first] / 2
    for i in range(first - 1, 0, -1):
        mean[i - 1] = mean[i] - turns[i]
    for i in range(first, len(links)):
        mean[i] = mean[i - 1] + turns[i]
    out, index = links.copy(), np.arange(len(links)) + 0.5
    for anchors in ref.TILT_ANCHORS:
        start, z = first, lean
        for level, sd, correlation in anchors:
            z = correlation * z + np.sqrt(1 - correlation**2) * float(np.clip(rng.normal(), -2.2, 2.2))
            i = levels.index(level)
            j = min(i, len(links) - 1)
            more = (mean[i - 1] + mean[j]) / 2 + sd * z - (out[i - 1] + out[j]) / 2
            out += more * np.clip((index - start) / (i - start), 0, 1)
            start = i
    return out


def _coronal(rng: np.random.Generator, count: int) -> FloatArray:
    """A slight coronal course: a few degrees, slowly changing, plus a little at each level."""
    t = np.linspace(0, 1, count)
    amplitudes = rng.normal(0, (1.5, 1.3, 0.9))
    phases = rng.uniform(0, 2 * np.pi, 3)
    course = sum(
        a * np.sin(2 * np.pi * (k + 1) * t + p) for k, (a, p) in enumerate(zip(amplitudes, phases, strict=True))
    )
    out = course + rng.normal(0, 1.1, count)
    return np.asarray(out - out.mean(), dtype=np.float64)


def _shapes(rng: np.random.Generator, levels: tuple[Level, ...], chain: Chain, size: float) -> list[VertebraParameters]:
    girth = rng.normal()
    body = ref.SIZE_CV * (0.75 * size + 0.66 * girth)
    process = ref.PROCESS_CV * (0.5 * size + 0.87 * rng.normal())
    separation = _trend(rng, len(levels), size, ref.PEDICLE_SHARES)
    back = _trend(rng, len(levels), size, ref.PEDICLE_SHARES)
    up = _trend(rng, len(levels), size, ref.PEDICLE_SHARES)
    rows, shapes = _rows(levels), []
    for i, level in enumerate(levels):
        own = ref.LEVEL_CV * np.clip(rng.normal(size=4), -2, 2)
        factors = (
            float(np.exp(body + own[0])),
            float(np.exp(process + 2 * own[1])),
            float(1 + own[2] / 2),
            float(own[3]),
        )
        above = chain.distances_mm[i - 1] / rows[i - 1].distance[0] if i else 1.0
        below = chain.distances_mm[i] / rows[i].distance[0] if i < len(chain.distances_mm) else above
        points = (separation[i], back[i], up[i])
        shapes.append(_shape(level, rows[i], factors, (above + below) / 2, points))
    return shapes


def _shape(
    level: Level,
    row: ref.PointRow,
    factors: tuple[float, ...],
    stretch: float,
    points: tuple[float, float, float],
) -> VertebraParameters:
    body, arch = ref.BODIES.get(level, ref.BODIES[Level.C3]), ref.ARCHES.get(level, ref.ARCHES[Level.C2])
    wide, long, odd, tilt = factors
    scale = ref.PANJABI_SCALE * wide
    back_height = body.height_back * ref.PANJABI_SCALE * ref.HEIGHT_SCALE * stretch * odd
    waist = ref.WAIST[level.region]
    width = waist[0] * (body.width_superior + body.width_inferior) / 2
    depth = waist[1] * (body.depth_superior + body.depth_inferior) / 2
    dish = ref.CONCAVITY[level.region]
    separation, back, up = (p[0] + p[1] * v for p, v in zip((row.separation, row.back, row.up), points, strict=True))
    rise = ref.BODY_POINT_UP.get(level, 0.0)
    # In the neck the spread of the pedicle points is the annotators', not the canal's.
    spread = 1.0 if level.region == "cervical" else separation / row.separation[0]
    canal = arch.canal_width * (0.6 + 0.4 * wide) * spread
    return VertebraParameters(
        level=str(level),
        width_superior=body.width_superior * scale,
        width_middle=width * scale,
        width_inferior=body.width_inferior * scale,
        depth_superior=body.depth_superior * scale,
        depth_middle=depth * scale,
        depth_inferior=body.depth_inferior * scale,
        height_front=back_height * (body.front_share + 1.5 * tilt),
        height_back=back_height,
        right_minus_left=tilt * back_height,
        concavity_superior=dish[0] * wide,
        concavity_inferior=dish[1] * wide,
        back_concavity={"cervical": 0.3, "thoracic": 2.0, "lumbar": 1.2}[level.region]
        * (0.3 if level in (Level.L5, Level.L6) else 1.0),
        uncus=3.5 if level in (Level.C3, Level.C4, Level.C5, Level.C6, Level.C7) else 0.0,
        canal_width=float(canal if level.region == "cervical" else np.clip(canal, 0.6 * separation, separation - 4.5)),
        canal_depth=arch.canal_depth * (0.7 + 0.3 * wide),
        pedicle_separation=separation,
        pedicle_back=back,
        pedicle_up=up + rise,
        pedicle_height=arch.pedicle_height * wide,
        pedicle_angle=arch.pedicle_angle,
        lamina_height=arch.lamina_height * stretch,
        lamina_thickness=arch.lamina_thickness,
        spinous_length=arch.spinous_length * long,
        spinous_drop=arch.spinous_drop,
        spinous_height=arch.spinous_height * stretch,
        spinous_thickness=arch.spinous_thickness,
        transverse_half_span=(38.0 if level is Level.C1 else arch.transverse_half_span) * long,
        transverse_back=arch.transverse_back * wide,
        transverse_up=arch.transverse_up,
        transverse_height=arch.transverse_height,
        facet_x=arch.facet_x * (0.5 + 0.5 * wide),
        facet_share=arch.facet_share,
        facet_z=arch.facet_z,
        body_point=(0.0, 0.0, rise),
    )


def _settled(chain: Chain, shapes: list[VertebraParameters], before: dict[str, VertebraParameters]) -> Chain:
    """The chain after bodies lost height or were found too high for their discs; alters ``shapes`` where discs would
    vanish.
    """
    distances, sagittal, coronal = chain.distances_mm.copy(), chain.sagittal_deg.copy(), chain.coronal_deg.copy()
    for i, shape in enumerate(shapes):
        old = before.get(shape.level)
        if old is None:
            continue
        lost = (old.rim_height - shape.rim_height) / 2
        distances[max(i - 1, 0) : i + 1] -= lost
        bend = np.degrees(
            (old.height_front - old.height_back - shape.height_front + shape.height_back) / shape.depth_middle
        )
        sagittal[:i] += 0.7 * bend
        lean = np.degrees((shape.right_minus_left - old.right_minus_left) / shape.width_middle)
        # The spine straightens again over the next levels above and below.
        away = np.arange(len(coronal)) + 0.5 - i
        coronal += 0.45 * lean * np.sign(away) * np.clip(1.1 - np.abs(away) / 5, 0, 1)
    tilt = tilts(chain.sagittal_deg, chain.last_bend_deg)
    for i in range(1, len(shapes) - 1):
        need = (shapes[i].rim_height + shapes[i + 1].rim_height) / 2 + _least_gap(tilt, shapes, i)
        if shapes[i].level != "C1" and distances[i] < need:
            share = 1 - (need - distances[i]) / (shapes[i].rim_height + shapes[i + 1].rim_height) * 2
            for j in (i, i + 1):
                s = shapes[j]
                shapes[j] = replace(s, height_front=s.height_front * share, height_back=s.height_back * share)
    return replace(chain, distances_mm=distances, sagittal_deg=sagittal, coronal_deg=coronal)


def _worn(chain: Chain, shapes: list[VertebraParameters], pathology: Pathology) -> Chain:
    """The chain after its worn discs have sunk; :func:`aligned` keeps the edges of the bodies apart."""
    distances = chain.distances_mm.copy()
    for disc in pathology.worn_discs:
        i = chain.levels.index(Level(disc.level))
        if i < len(distances):
            distances[i] -= disc.loss_pct / 100 * (distances[i] - (shapes[i].rim_height + shapes[i + 1].rim_height) / 2)
    return replace(chain, distances_mm=distances)


def _least_gap(tilt_deg: FloatArray, shapes: list[VertebraParameters], i: int) -> float:
    """Gap that the middle of a disc needs so that its narrowest edge keeps the least distance."""
    turn = np.radians(tilt_deg[i + 1] - tilt_deg[i])
    wedge = sum((shapes[j].height_front - shapes[j].height_back) / shapes[j].depth_middle / 2 for j in (i, i + 1))
    return float(ref.LEAST_DISC_MM + abs(turn - wedge) * shapes[i].depth_inferior / 2)


def _sacrum(
    rng: np.random.Generator, last: VertebraParameters, size: float, options: PhantomOptions
) -> SacrumParameters:
    """The sacrum below the last vertebra: thickness of the lumbosacral disc and angle between the endplates drawn."""
    disc, angle, long, curve = 10.0 + 2.5 * rng.normal(), 13.0 + 3.5 * rng.normal(), rng.normal(), 38 + 7 * rng.normal()
    if options.variants.castellvi in ("3a", "3b", "4"):
        disc, angle = 4.5, 0.5 * angle
    disc, angle = float(np.clip(disc, 4.0, 15.0)), float(np.clip(angle, 2.0, 21.0))
    for worn in options.pathology.worn_discs:
        if worn.level == last.level:
            loss = worn.loss_pct / 100
            # A sunken disc loses its wedge as well; its back edge stays open.
            angle *= 1 - loss / 2
            edge = np.tan(np.radians(angle)) * 0.48 * last.depth_inferior - np.tan(np.radians(angle / 2)) * 4.0
            disc = min(disc, max(disc * (1 - loss), LEAST_EDGE_MM + float(edge)))
    tilt = rim_tilts(last)
    lower = -tilt["inferior_sagittal"]
    rotation = frame_at(lower + angle, -tilt["inferior_coronal"], 0.0)
    end = last.placement.to_world(np.array([0, 0, -last.rim_height / 2]))
    down = -(rotation[:, 2] + np.array(last.rotation)[:, 2])
    gap = disc + np.tan(np.radians(angle / 2)) * 4.0
    centre = end + gap * down / np.linalg.norm(down) - rotation[:, 1] * 1.5
    scale = float(np.exp(0.04 * size))
    return SacrumParameters(
        width=last.width_inferior * 1.03,
        depth=last.depth_inferior * 0.98,
        length=float((106 + 6 * long) * scale),
        half_span=60.0 * scale,
        curve_deg=float(np.clip(curve, 20, 60)),
        centre_mm=as_point(centre),
        rotation=as_rows(rotation),
    )


def _ribs(
    rng: np.random.Generator, levels: tuple[Level, ...], size: float, variants: Variants
) -> tuple[RibParameters, ...]:
    """All ribs; the last pair of eleven or thirteen is the floating one of that count."""
    thoracic = [level for level in levels if level.region == "thoracic"]
    stumps = {(s.level, s.side): s.length_mm for s in variants.stump_ribs}
    ribs = []
    for i, level in enumerate(thoracic):
        number = i + 1
        row = min(number + (1 if variants.thoracic == 11 and number == 11 else 0), 13) - 1
        common = rng.normal()
        for side in ("left", "right"):
            spread = ref.RIB_CV[row] * (0.85 * common + 0.5 * rng.normal())
            length = ref.RIB_LENGTHS[row] * np.exp(0.04 * size + np.clip(spread, -0.5, 0.5))
            if row >= 11:
                length = max(length, 45.0)
            length = stumps.pop((str(level), side), float(length))
            small = number in (1, 11, 12, 13)
            ribs.append(
                RibParameters(str(level), number, side, length, 6.0 if small else 7.0, 9.5 if number > 10 else 12.0)
            )
    ribs += [
        RibParameters(level, variants.thoracic + 1, side, length, 5.5, 9.0) for (level, side), length in stumps.items()
    ]
    for side in ("left", "right"):
        length = float(np.clip(rng.normal(38, 10), 20, 60))
        if side in variants.cervical_ribs:
            ribs.append(RibParameters("C7", 0, side, length, 5.5, 8.0))
    return tuple(ribs)
