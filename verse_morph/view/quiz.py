"""A quiz on levels, variants and height loss: questions from phantoms, a score, an explanation after every answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.view import living
from verse_morph.view.lessons import VARIANTS
from verse_morph.view.plates import SPECIAL, label_of, picture, plate

GRADES = ("grade 0 (below 20 %)", "grade 1 (20 to below 25 %)", "grade 2 (25 to 40 %)", "grade 3 (above 40 %)")
ASKED = tuple(str(level) for level in Level if level not in (Level.T13, Level.L6, Level.S1))


@dataclass(frozen=True)
class Question:
    """One question.

    Parameters
    ----------
    kind : str
        ``level``, ``variant`` or ``grade``.
    text : str
    picture : str
        HTML.
    options : tuple of str
    answer : str
        One of the options.
    explanation : str
    """

    kind: str
    text: str
    picture: str
    options: tuple[str, ...]
    answer: str
    explanation: str


@dataclass(frozen=True)
class Sitting:
    """Questions and what was answered so far; the next question is the first without an answer."""

    questions: tuple[Question, ...]
    answers: tuple[str, ...] = ()

    @property
    def question(self) -> Question | None:
        """The one to answer now; None at the end."""
        return self.questions[len(self.answers)] if len(self.answers) < len(self.questions) else None

    @property
    def score(self) -> int:
        """Number of right answers."""
        return sum(given == asked.answer for given, asked in zip(self.answers, self.questions, strict=False))

    def answered(self, given: str) -> Sitting:
        """With one answer more.

        Raises
        ------
        InputError
            All are answered, or this is none of the options.
        """
        if self.question is None:
            raise InputError("every question of this quiz is answered; start another one")
        if given not in self.question.options:
            raise InputError(f"choose one of {', '.join(self.question.options)}")
        return replace(self, answers=(*self.answers, given))


def sitting(seed: int, count: int = 9) -> Sitting:
    """A quiz; the same seed asks the same questions.

    Parameters
    ----------
    seed : int
    count : int
        Number of questions; the three kinds take turns.
    """
    rng = np.random.default_rng(seed)
    makers = (level_question, variant_question, grade_question)
    made: list[Question] = []
    while len(made) < count:
        asked = makers[len(made) % len(makers)](rng)
        # The same picture twice in one quiz teaches nothing.
        if all(asked.picture != other.picture for other in made):
            made.append(asked)
    return Sitting(tuple(made))


def level_question(rng: np.random.Generator) -> Question:
    """Which vertebra is coloured?"""
    level = Level(str(rng.choice(ASKED)))
    view = str(rng.choice(["left", "anterior"]))
    near = [name for name in ASKED if 0 < abs(Level(name).rank - level.rank) <= 3]
    wrong = [str(name) for name in rng.choice(near, 3, replace=False)]
    of = plate(f"spine_{view}")
    return Question(
        "level",
        "Which vertebra is orange? (Twelve thoracic and five lumbar vertebrae, no variant.)",
        picture(of, f"A whole spine from {_from(view)}, one vertebra coloured", {label_of(level): SPECIAL}),
        tuple(sorted([str(level), *wrong], key=lambda name: Level(name).rank)),
        str(level),
        f"It is {level}. {_counted(level)}",
    )


def variant_question(rng: np.random.Generator) -> Question:
    """Which variant is this?"""
    asked = VARIANTS[int(rng.integers(len(VARIANTS)))]
    group = [variant.title for variant in VARIANTS if variant.group == asked.group and variant is not asked]
    wrong = [str(title) for title in rng.choice(group, min(3, len(group)), replace=False)]
    options = sorted([asked.title, *wrong], key=[variant.title for variant in VARIANTS].index)
    return Question(
        "variant",
        f"What is this? {asked.hint}",
        picture(plate(asked.plate), f"Bones from the front. {asked.seen}"),
        tuple(options),
        asked.title,
        f"{asked.title}: {asked.text}",
    )


def grade_question(rng: np.random.Generator) -> Question:
    """Which Genant grade has this loss of height?"""
    level, kind = str(rng.choice(["T8", "T12", "L1", "L3"])), str(rng.choice(living.KINDS))
    # Losses a few points inside a grade, so that the eye has a chance.
    loss = float(rng.choice([0, 12, 22, 30, 36, 48, 55]))
    state = living.deformed(level, kind, loss)
    told = "; ".join(
        f"{place} {state.heights_mm[place]:.1f} of {state.heights_before_mm[place]:.1f} mm" for place in living.PLACES
    )
    most = max(living.PLACES, key=lambda place: state.loss_pct[place])
    was, now = state.heights_before_mm[most], state.heights_mm[most]
    return Question(
        "grade",
        f"{level}, cut in the middle; dashed: what was expected. Heights: {told}. Which Genant grade?",
        living.section_drawing(state, numbers=False),
        GRADES,
        GRADES[state.grade],
        f"The largest loss is {most}: 1 - {now:.1f} / {was:.1f} = {100 * (1 - now / was):.0f} %, {GRADES[state.grade]}"
        f"{'' if state.kind == 'none' else f', shape {state.kind}'}. Height loss is not yet a fracture.",
    )


def _from(view: str) -> str:
    return "the left, front on the left" if view == "left" else "the front"


def _counted(level: Level) -> str:
    region = level.region
    number = int(level.value[1:])
    if region == "cervical":
        start = "C1 is the ring under the skull, C2 the one with the peg that the ring turns on"
        return f"{start}; count {number} from the top."
    if region == "thoracic":
        return f"Seven cervical vertebrae, then T1, the first that carries a rib; this is number {number} of twelve."
    return f"The lowest free vertebra above the sacrum is L5; this is number {6 - number} from below."


def total(sitting: Sitting) -> dict[str, tuple[int, int]]:
    """Right answers and questions answered, by kind."""
    found: dict[str, tuple[int, int]] = {}
    for given, asked in zip(sitting.answers, sitting.questions, strict=False):
        right, all_ = found.get(asked.kind, (0, 0))
        found[asked.kind] = (right + (given == asked.answer), all_ + 1)
    return found
