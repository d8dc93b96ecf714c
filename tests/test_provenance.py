import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

import verse_morph
from verse_morph.errors import InputError
from verse_morph.provenance import as_dict, describe_input, provenance


@pytest.fixture
def mask_file(tmp_path):
    file = tmp_path / "a_seg.nii.gz"
    file.write_bytes(b"not really a mask")
    return file


def test_a_file_is_named_without_its_path_and_hashed(mask_file):
    found = describe_input(mask_file)
    assert found.name == "a_seg.nii.gz"
    assert found.sha256 == hashlib.sha256(b"not really a mask").hexdigest()
    assert found.size_bytes == 17


def test_a_folder_changes_its_hash_with_content_and_with_names(tmp_path):
    (tmp_path / "one").write_bytes(b"1")
    first = describe_input(tmp_path)
    (tmp_path / "one").write_bytes(b"2")
    second = describe_input(tmp_path)
    (tmp_path / "one").rename(tmp_path / "two")
    third = describe_input(tmp_path)
    assert len({first.sha256, second.sha256, third.sha256}) == 3
    assert first.size_bytes == 1
    assert first.name == tmp_path.name


def test_missing_input_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*nothing"):
        describe_input(tmp_path / "nothing")


def test_record_says_versions_parameters_and_time(mask_file):
    started = datetime.now(timezone(timedelta(hours=2))) - timedelta(seconds=3)
    record = provenance([mask_file], {"scheme": "verse"}, started)
    assert record.program == "verse_morph"
    assert record.version == verse_morph.__version__
    assert record.packages["numpy"] == np.__version__
    assert record.parameters == {"scheme": "verse"}
    assert record.seconds >= 3
    assert datetime.fromisoformat(record.started_utc) == started.replace(microsecond=0)
    assert record.started_utc.endswith("+00:00")


def test_record_goes_through_json(mask_file):
    record = provenance([mask_file], {"figures": False, "scheme": None}, datetime.now(UTC))
    back = json.loads(json.dumps(as_dict(record), allow_nan=False))
    assert back["inputs"][0]["name"] == "a_seg.nii.gz"
    assert back["parameters"] == {"figures": False, "scheme": None}


def test_a_start_without_time_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        provenance([], {}, datetime(2026, 1, 1))
