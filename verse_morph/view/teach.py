"""Widgets that teach: a normal spine, its variants, height loss and curves on a slider, a quiz.

>>> from verse_morph.view import teach
>>> teach.VARIANTS[1].title
'T13: a thirteenth thoracic vertebra'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from verse_morph.anatomy import Level
from verse_morph.phantom.case import COCCYX, SACRUM
from verse_morph.view import living, needs
from verse_morph.view.colours import REGIONS as REGION_COLOURS
from verse_morph.view.lessons import REGIONS, VARIANTS, Variant
from verse_morph.view.plates import SPECIAL, figure, label_of, named, picture, plate
from verse_morph.view.quiz import Sitting, sitting, total

__all__ = ["VARIANTS", "CurveLesson", "HeightLossLesson", "QuizLesson", "SpineLesson", "VariantLesson"]

COLOURS = {**REGION_COLOURS, "sacral": "#cc79a7"}
LEVELS: list[Level] = [level for level in Level if level not in (Level.T13, Level.L6, Level.S1)]
NOT_FRACTURE = (
    "<small>Height loss is not a fracture: Scheuermann's disease, a Cupid's bow, limbus vertebrae and normal wedging "
    "of the chest look alike. Phantoms, not patients; for learning, not for diagnosis.</small>"
)


class _Lesson:
    """What all lessons share: a widget, and words where there are no widgets."""

    widget: Any

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, object]:
        return needs.mime_bundle(self.widget, **kwargs)


class SpineLesson(_Lesson):
    """A normal spine from two sides: choose a region or a vertebra, read what tells it apart.

    Raises
    ------
    ViewerUnavailable
        A package of the viewers is missing or of another major version.
    """

    def __init__(self) -> None:
        import ipywidgets as w

        needs.require(needs.WIDGETS)
        names = [region.name for region in REGIONS]
        self.region = w.ToggleButtons(options=["whole spine", *names], description="", tooltips=["all regions", *names])
        self.level = w.Dropdown(options=["none", *map(str, LEVELS)], description="vertebra")
        self.shown = w.HTML()
        self.widget = _framed("vm-teach-spine", self.region, self.level, self.shown)
        for control in (self.region, self.level):
            control.observe(lambda _: self._show(), "value")
        self._show()

    def _show(self) -> None:
        region, level = self.region.value, self.level.value
        colours = {label_of(each): COLOURS[each.region] for each in LEVELS if region in ("whole spine", each.region)}
        if region in ("whole spine", "sacral"):
            colours |= {SACRUM: COLOURS["sacral"], COCCYX: COLOURS["sacral"]}
        if level != "none":
            colours = {label_of(level): SPECIAL}
        names = {label_of(each): str(each) for each in LEVELS if level in ("none", str(each))} | {SACRUM: "S"}
        told = f"{region}, names beside the vertebrae" if level == "none" else f"{level} coloured"
        views = [
            named(plate(f"spine_{view}"), f"Normal spine from {words}: {told}", colours, names)
            for view, words in (("anterior", "the front"), ("left", "the left, front on the left"))
        ]
        style = "display:flex;flex-wrap:wrap;gap:14px"
        self.shown.value = f'<div style="{style}">{"".join(views)}<div>{self._words(region, level)}</div></div>'

    def _words(self, region: str, level: str) -> str:
        if level != "none":
            number = [each for each in LEVELS if each.region == Level(level).region].index(Level(level)) + 1
            region = Level(level).region
            head = f"<h3>{level}</h3><p>Number {number} of the {region} vertebrae.</p>"
            return head + "".join(_region(each) for each in REGIONS if each.name == region)
        return "".join(_region(each) for each in REGIONS if region in ("whole spine", each.name))


class VariantLesson(_Lesson):
    """Variants side by side; what makes each of them can be coloured."""

    GROUPS = (
        ("lower", "How many ribs, how many lumbar vertebrae?"),
        ("neck", "Where do the ribs begin?"),
        ("castellvi", "How does the last lumbar vertebra meet the sacrum? (Castellvi 1984)"),
    )

    def __init__(self) -> None:
        import ipywidgets as w

        needs.require(needs.WIDGETS)
        self.coloured = w.Checkbox(True, description="colour what is special (orange)", indent=False)
        self.group = w.ToggleButtons(
            options=[("lower spine", "lower"), ("neck", "neck"), ("Castellvi types", "castellvi")]
        )
        self.shown = w.HTML()
        self.widget = _framed("vm-teach-variants", self.group, self.coloured, self.shown)
        for control in (self.group, self.coloured):
            control.observe(lambda _: self._show(), "value")
        self._show()

    def _show(self) -> None:
        title = dict(self.GROUPS)[self.group.value]
        figures = "".join(self._figure(each) for each in VARIANTS if each.group == self.group.value)
        self.shown.value = f"<h3>{title}</h3>{figures}"

    def _figure(self, variant: Variant) -> str:
        colours = dict.fromkeys(variant.coloured, SPECIAL) if self.coloured.value else {}
        of = plate(variant.plate)
        caption = f"<b>{variant.title}</b><br>{variant.text[0].upper()}{variant.text[1:]}"
        return figure(picture(of, variant.seen, colours, min(230, of.pixels.shape[1])), caption)


class HeightLossLesson(_Lesson):
    """A vertebra that loses height with a slider: its heights, losses and Genant grade change with it."""

    def __init__(self) -> None:
        import ipywidgets as w

        needs.require(needs.WIDGETS)
        self.level = w.Dropdown(options=["T8", "T12", "L1", "L3"], value="L1", description="vertebra")
        self.kind = w.ToggleButtons(options=living.KINDS)
        self.loss = w.IntSlider(30, min=0, max=70, description="loss %")
        self.presets = [w.Button(description=f"grade {grade}") for grade in range(4)]
        self.shown, self.numbers = w.HTML(), w.HTML(layout=w.Layout(max_width="430px"))
        self.numbers.add_class("vm-teach-numbers")
        inside = w.HBox([self.shown, self.numbers], layout=w.Layout(flex_flow="row wrap", align_items="center"))
        rows = (self.level, self.kind, self.loss, w.HBox(self.presets), inside, w.HTML(NOT_FRACTURE))
        self.widget = _framed("vm-teach-height", *rows)
        for control in (self.level, self.kind, self.loss):
            control.observe(lambda _: self._show(), "value")
        for button, loss in zip(self.presets, (0, 22, 32, 50), strict=True):
            button.on_click(_setting(self.loss, loss))
        self._show()

    def _show(self) -> None:
        state = living.deformed(self.level.value, self.kind.value, self.loss.value)
        self.shown.value = living.section_drawing(state)
        rows = "".join(
            f"<tr><td>{place}</td><td>{state.heights_before_mm[place]:.1f}</td><td>{state.heights_mm[place]:.1f}</td>"
            f"<td>{state.loss_pct[place]:.0f} %</td></tr>"
            for place in living.PLACES
        )
        shape = "" if state.kind == "none" else f", {state.kind}"
        self.numbers.value = (
            '<div role="status"><table><tr><th>height</th><th>before, mm</th><th>now, mm</th><th>loss</th></tr>'
            f"{rows}</table><p><b>Genant grade {state.grade}{shape}</b></p><p>Below 20 %: 0; from 20 %: 1; "
            "from 25 %: 2; above 40 %: 3.<br>Orange: where heights are taken (10, 50 and 90 % of the depth).<br>"
            "Dashed blue: before.</p></div>"
        )


class CurveLesson(_Lesson):
    """A spine that bends with a slider, with the Cobb angle between its end vertebrae."""

    RANGES = {"coronal curve": (-60, 60, 30), "thoracic kyphosis": (-80, 0, -40), "lumbar lordosis": (0, 75, 45)}  # noqa: RUF012

    def __init__(self) -> None:
        import ipywidgets as w

        needs.require(needs.WIDGETS)
        self.curve = w.ToggleButtons(options=list(living.CURVES))
        self.angle = w.IntSlider(30, min=-60, max=60, step=5, description="degrees", continuous_update=False)
        self.shown, self.numbers = w.HTML(), w.HTML(layout=w.Layout(max_width="430px"))
        self.numbers.add_class("vm-teach-numbers")
        inside = w.HBox([self.shown, self.numbers], layout=w.Layout(flex_flow="row wrap"))
        self.widget = _framed("vm-teach-curve", self.curve, self.angle, inside)
        self.curve.observe(lambda _: self._other(), "value")
        self.angle.observe(lambda _: self._show(), "value")
        self._show()

    def _other(self) -> None:
        low, high, start = self.RANGES[self.curve.value]
        # All at once: the slider never holds a value outside its range, and draws once.
        with self.angle.hold_trait_notifications():
            self.angle.min, self.angle.max, self.angle.value = low, high, start
        self._show()

    def _show(self) -> None:
        parameters = living.patient(self.curve.value, float(self.angle.value))
        found = living.curve_of(parameters, self.curve.value)
        self.shown.value = living.spine_drawing(parameters, found)
        sign = _sign(self.curve.value, found.angle_deg)
        self.numbers.value = (
            f'<div role="status"><p><b>{self.curve.value}: {abs(found.angle_deg):.1f}°</b>{sign}</p>'
            f"<p>Between the upper endplate of {found.upper} and the lower endplate of {found.lower} (orange).<br>"
            f"In tables <code>{found.name}</code> is {found.angle_deg:+.1f}.</p><p>Sagittal angles are positive when "
            "lordotic, coronal ones when convex to the patient's right. The 10° that define scoliosis hold for films "
            "taken standing; in a CT the patient lies.</p></div>"
        )


class QuizLesson(_Lesson):
    """Name the level, the variant, the grade; a score and an explanation after every answer.

    Parameters
    ----------
    seed : int
        The same seed asks the same questions.
    count : int
        Number of questions.
    """

    def __init__(self, seed: int = 1, count: int = 9) -> None:
        import ipywidgets as w

        needs.require(needs.WIDGETS)
        self.seed, self.count = seed, count
        self.sitting: Sitting = sitting(seed, count)
        self.shown, self.said = w.HTML(), w.HTML()
        self.options = w.RadioButtons(layout=w.Layout(width="auto"))
        self.submit = w.Button(description="answer", button_style="primary")
        self.onward = w.Button(description="next")
        side = w.VBox([self.options, w.HBox([self.submit, self.onward]), self.said], layout=w.Layout(max_width="520px"))
        inside = w.HBox([self.shown, side], layout=w.Layout(flex_flow="row wrap"))
        self.widget = _framed("vm-teach-quiz", inside)
        self.submit.on_click(lambda _: self.answer(self.options.value))
        self.onward.on_click(lambda _: self.go_on())
        self._ask()

    def answer(self, given: str | None) -> None:
        """Answer the question that is shown."""
        asked = self.sitting.question
        if asked is None or given is None or self.submit.layout.display != "":
            return
        self.sitting = self.sitting.answered(given)
        right = "✓ Right." if given == asked.answer else f"✗ Not {given}."
        self.said.value = f'<div role="status"><p><b>{right}</b> {asked.explanation}</p>{self._score()}</div>'
        self.options.disabled = True
        self.submit.layout.display, self.onward.layout.display = "none", ""

    def go_on(self) -> None:
        """The next question; after the last one a new quiz."""
        if self.sitting.question is None:
            self.seed += 1
            self.sitting = sitting(self.seed, self.count)
        self._ask()

    def _ask(self) -> None:
        asked = self.sitting.question
        if asked is None:
            return
        number = len(self.sitting.answers) + 1
        self.shown.value = f"<p><b>{number} of {self.count}.</b> {asked.text}</p>{asked.picture}"
        self.options.options = asked.options
        self.options.value, self.options.disabled = None, False
        self.said.value = "" if not self.sitting.answers else self._score()
        self.submit.layout.display, self.onward.layout.display = "", "none"
        self.onward.description = "next"

    def _score(self) -> str:
        done = len(self.sitting.answers)
        words = f"Score: {self.sitting.score} of {done}"
        if self.sitting.question is None:
            self.onward.description = "another quiz"
            kinds = ", ".join(f"{kind} {right} of {all_}" for kind, (right, all_) in total(self.sitting).items())
            words = f"That was the last one. {words} ({kinds})"
        return f"<p><b>{words}</b></p>"


def _setting(slider: Any, value: int) -> Callable[[object], None]:
    def press(_button: object) -> None:
        slider.value = value

    return press


def _framed(name: str, *rows: Any) -> Any:
    import ipywidgets as w

    made = w.VBox(list(rows))
    made.add_class(name)
    return made


def _region(region: Any) -> str:
    colour = COLOURS[region.name]
    signs = "".join(f"<li>{sign}</li>" for sign in region.signs)
    views = ""
    if region.example:
        views = "".join(
            picture(plate(f"{region.example}_{view}"), f"{region.example} from {words}", {}, 130)
            for view, words in (("superior", "above, front at the top"), ("left", "the left, front on the left"))
        )
    mark = f'<span aria-hidden="true" style="background:{colour};padding:0 9px;margin-right:6px"></span>'
    return f"<p>{mark}<b>{region.name}</b> ({region.levels})</p><ul>{signs}</ul>{views}"


def _sign(curve: str, angle: float) -> str:
    if abs(angle) < 0.5:
        return ""
    if curve == "coronal curve":
        return f", convex to the patient's {'right' if angle > 0 else 'left'}"
    return f", {'lordotic' if angle > 0 else 'kyphotic'}"
