"""The phantom command: what it writes, and one clear line where it cannot."""

from functools import partial

import pytest

from verse_morph.io import find_cases


@pytest.fixture
def call(command_line):
    return partial(command_line, "phantom")


def test_a_data_set_is_written_and_told(call, tmp_path):
    code, out, err = call(
        "-o", tmp_path / "made", "--n", 1, "--seed", 3, "--variant", "cervical-rib", "--preset", "thick"
    )
    assert (code, err) == (0, "")
    assert "sub-phantom000" in out
    assert "fictions" in out
    assert [case.scan for case in find_cases(tmp_path / "made")] == ["sub-phantom000"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--n", 0), "n is 0; allowed are 1 to 100000"),
        (("--preset", "acme"), "preset 'acme' is unknown; allowed are philips"),
        (("--variant", "lumbar-3"), "variant 'lumbar-3' is unknown; allowed are mixed"),
        (("--workers", 0), "workers is 0; allowed are 1 to 64"),
    ],
)
def test_bad_requests_end_with_one_line(call, tmp_path, arguments, message):
    code, out, err = call("-o", tmp_path / "made", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "made").exists()
