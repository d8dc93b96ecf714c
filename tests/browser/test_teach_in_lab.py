"""The teaching notebook in a real JupyterLab: every lesson is drawn, sliders change numbers, the quiz scores."""

from pathlib import Path

import numpy as np
import pytest

from verse_morph.view import quiz

from .bench import open_notebook, run_all

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "60_teach_anatomy.ipynb"


def into_view(page, selector):
    """Notebooks draw only what is near the window: scroll until the lesson is there."""

    def there():
        page.tab.evaluate("window.jupyterapp.commands.execute('notebook:move-cursor-down')")
        return page.tab.locator(selector).count() > 0 and page.tab.locator(selector).first.is_visible()

    page.wait_until(there)
    page.tab.locator(selector).first.scroll_into_view_if_needed()
    return page.tab.locator(selector).first


def saturation(pixels):
    """Largest difference between the colours of a pixel."""
    return int(np.ptp(pixels.astype(int), axis=2).max())


@pytest.mark.slow
def test_the_teaching_notebook_in_jupyterlab(lab, page):
    open_notebook(page, lab.copy(NOTEBOOK))
    run_all(page)

    spine = into_view(page, ".vm-teach-spine")
    page.wait_until(lambda: spine.locator("svg image").count() == 2)
    assert np.ptp(page.picture(".vm-teach-spine svg")) > 100
    spine.get_by_role("button", name="lumbar").click()
    page.wait_until(lambda: "kidney-shaped" in spine.inner_text() and "heart-shaped" not in spine.inner_text())

    variants = into_view(page, ".vm-teach-variants")
    page.wait_until(lambda: variants.locator("img").count() == 4)
    # The special one is orange until the colour is switched off; a new picture takes the old one's place.
    seen = variants.locator("img").nth(1).get_attribute("src")
    assert saturation(page.picture(".vm-teach-variants img", 1)) > 100
    variants.get_by_role("checkbox").click()
    page.wait_until(lambda: variants.locator("img").nth(1).get_attribute("src") != seen)
    assert saturation(page.picture(".vm-teach-variants img", 1)) < 60
    assert all(variants.locator("img").nth(k).get_attribute("alt") for k in range(4))

    height = into_view(page, ".vm-teach-height")
    numbers = height.locator(".vm-teach-numbers")
    assert "Genant grade 2" in numbers.inner_text()
    height.get_by_role("button", name="grade 3").click()
    page.wait_until(lambda: "Genant grade 3" in numbers.inner_text())
    height.get_by_role("slider").press("ArrowLeft")
    page.wait_until(lambda: "49 %" in numbers.inner_text())

    curve = into_view(page, ".vm-teach-curve")
    assert "30.0°" in curve.inner_text()
    curve.get_by_role("slider").press("ArrowRight")
    page.wait_until(lambda: "35.0°" in curve.inner_text())

    asked = quiz.sitting(seed=1).questions
    lesson = into_view(page, ".vm-teach-quiz")
    lesson.get_by_label(asked[0].answer, exact=True).check()
    lesson.get_by_role("button", name="answer").click()
    page.wait_until(lambda: "Score: 1 of 1" in lesson.inner_text())
    lesson.get_by_role("button", name="next").click()
    page.wait_until(lambda: "2 of 9" in lesson.inner_text())
    wrong = next(option for option in asked[1].options if option != asked[1].answer)
    lesson.get_by_label(wrong, exact=True).check()
    lesson.get_by_role("button", name="answer").click()
    page.wait_until(lambda: "Score: 1 of 2" in lesson.inner_text())
    assert page.errors == []
    assert page.outside == []
