"""Lessons and quiz without a browser: pictures that come with the package, numbers that follow sliders, a score."""

import re

import numpy as np
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError
from verse_morph.view import living, quiz, teach
from verse_morph.view.lessons import REGIONS, VARIANTS
from verse_morph.view.plates import label_of, picture, plate, tinted


def test_every_plate_is_there_and_shows_what_it_says():
    for variant in VARIANTS:
        of = plate(variant.plate)
        assert of.pixels.shape == of.labels.shape
        assert all(of.has(label) for label in variant.coloured), variant.title
    for region in REGIONS:
        if region.example:
            assert set(np.unique(plate(f"{region.example}_left").labels)) == {0, label_of(region.example)}
    normal = [level for level in Level if level not in (Level.T13, Level.L6, Level.S1)]
    for view in ("anterior", "left"):
        assert all(plate(f"spine_{view}").has(VERSE.value_of(level)) for level in normal)
    assert plate("lower_t13").has(28)
    assert not plate("lower_normal").has(28)
    with pytest.raises(InputError, match="castellvi_0"):
        plate("unknown")


def test_left_and_up_are_where_a_reader_expects_them():
    front, side = plate("spine_anterior"), plate("spine_left")
    assert front.middle(label_of("C2"))[1] < front.middle(label_of("L5"))[1]
    # The patient's left is on the right of a picture from the front: there the process of 2a reaches the sacrum.
    one = plate("castellvi_2a")
    middle = round(one.middle(label_of("L4"))[0])
    left, right = ((half == label_of("L5")).sum() for half in (one.labels[:, :middle], one.labels[:, middle:]))
    assert right > 1.1 * left
    # Spinous processes lie behind, on the right of a picture from the left.
    t7 = np.nonzero((side.labels == label_of("T7")).any(axis=0))[0]
    rows = np.nonzero((side.labels == label_of("T7")).any(axis=1))[0]
    assert side.labels[rows.max(), int(t7.mean()) :].any()


def test_a_bone_is_coloured_alone():
    of = plate("lower_t13")
    made = tinted(of, {28: "#ff0000"})
    assert made[of.labels == 28][:, 1:].max() == 0
    assert (made[of.labels == 0] == 255).all()
    assert made[of.labels == 20][:, 1].min() > 0
    assert 'alt="a &quot;word&quot;"' in picture(of, 'a "word"')


@pytest.mark.parametrize(
    ("kind", "loss", "grade"),
    [("wedge", 0, 0), ("wedge", 19, 0), ("crush", 20, 1), ("wedge", 24, 1), ("biconcave", 30, 2), ("crush", 50, 3)],
)
def test_a_loss_asked_for_is_the_loss_shown(kind, loss, grade):
    state = living.deformed("L1", kind, loss)
    assert max(state.loss_pct.values()) == pytest.approx(loss, abs=1)
    assert state.grade == grade
    assert state.kind == (kind if grade else "none")


def test_the_drawing_shows_the_heights():
    drawn = living.section_drawing(living.deformed("L1", "wedge", 40))
    assert drawn.count("<line") == 3
    assert 'role="img"' in drawn
    lengths = [
        abs(float(y2) - float(y1)) / living.SCALE
        for y1, y2 in re.findall(r'y1="([\d.]+)" x2="[\d.]+" y2="([\d.]+)"', drawn)
    ]
    wanted = living.deformed("L1", "wedge", 40).heights_mm
    assert lengths == pytest.approx([wanted[place] for place in living.PLACES], abs=0.3)
    assert "mm" not in living.section_drawing(living.deformed("L1", "wedge", 40), numbers=False)


def test_a_curve_asked_for_is_the_curve_drawn():
    parameters = living.patient("coronal curve", -40.0)
    found = living.curve_of(parameters, "coronal curve")
    assert found.angle_deg == pytest.approx(-40, abs=0.5)
    drawn = living.spine_drawing(parameters, found)
    lines = re.findall(r'<line x1="([\d.-]+)" y1="([\d.-]+)" x2="([\d.-]+)" y2="([\d.-]+)"', drawn)
    a, b = (np.degrees(np.arctan2(float(y2) - float(y1), float(x2) - float(x1))) for x1, y1, x2, y2 in lines)
    # The vertebrae are turned about their own axes too, which the picture from the front does not show.
    assert abs(a - b) == pytest.approx(40, abs=3.0)


def test_lessons_answer_to_their_controls():
    lesson = teach.HeightLossLesson()
    lesson.presets[3].click()
    assert "Genant grade 3, wedge" in lesson.numbers.value
    lesson.kind.value = "biconcave"
    lesson.loss.value = 10
    assert "Genant grade 0<" in lesson.numbers.value
    variants = teach.VariantLesson()
    coloured = variants.shown.value
    variants.coloured.value = False
    assert variants.shown.value != coloured
    variants.group.value = "castellvi"
    assert variants.shown.value.count("<figure") == 7
    spine = teach.SpineLesson()
    spine.region.value = "lumbar"
    assert "kidney-shaped" in spine.shown.value
    assert "vertebral artery" not in spine.shown.value
    spine.level.value = "T7"
    assert "Number 7 of the thoracic" in spine.shown.value


def test_a_curve_lesson_changes_its_range_with_its_curve():
    lesson = teach.CurveLesson()
    assert "convex to the patient's right" in lesson.numbers.value
    lesson.curve.value = "lumbar lordosis"
    assert lesson.angle.min == 0
    assert "lordosis_L1_L5" in lesson.numbers.value
    assert "lordotic" in lesson.numbers.value


def test_every_question_has_one_right_answer_among_its_options():
    rng = np.random.default_rng(0)
    for make in (quiz.level_question, quiz.variant_question, quiz.grade_question):
        for _ in range(12):
            asked = make(rng)
            assert asked.options.count(asked.answer) == 1
            assert len(set(asked.options)) == len(asked.options) >= 2
            assert asked.answer.split(":")[0] not in asked.picture or asked.kind == "level"
            assert asked.explanation


def test_the_score_counts_right_answers_only():
    state = quiz.sitting(3, 6)
    assert state == quiz.sitting(3, 6)
    assert [question.kind for question in state.questions] == ["level", "variant", "grade"] * 2
    for k, question in enumerate(state.questions):
        wrong = next(option for option in question.options if option != question.answer)
        state = state.answered(question.answer if k % 2 else wrong)
    assert state.score == 3
    assert state.question is None
    assert quiz.total(state) == {"level": (1, 2), "variant": (1, 2), "grade": (1, 2)}
    with pytest.raises(InputError, match="every question"):
        state.answered("L1")


def test_the_quiz_widget_goes_on_to_the_end_and_over():
    lesson = teach.QuizLesson(seed=2, count=3)
    with pytest.raises(InputError, match="choose one of"):
        lesson.sitting.answered("nonsense")
    for _ in range(3):
        lesson.options.value = lesson.sitting.question.answer
        lesson.submit.click()
        assert "✓ Right" in lesson.said.value
        lesson.answer(lesson.options.value)  # a second press answers nothing
        if lesson.sitting.question is not None:
            lesson.onward.click()
    assert "Score: 3 of 3" in lesson.said.value
    assert lesson.onward.description == "another quiz"
    lesson.onward.click()
    assert lesson.sitting.answers == ()
    assert lesson.seed == 3
