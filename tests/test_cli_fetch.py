"""The fetch command against a server in this process; nothing here touches the real network."""

import contextlib
import functools
import socket
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def call(command_line, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return partial(command_line, "fetch")


@pytest.fixture
def mirror(tmp_path):
    """A table of archives whose addresses are in this process; training exists, validation does not."""
    served = tmp_path / "served"
    served.mkdir()
    with zipfile.ZipFile(served / "dataset-verse19training.zip", "w") as archive:
        for kind, name in (("rawdata", "ct.nii.gz"), ("derivatives", "seg-vert_msk.nii.gz")):
            archive.writestr(f"dataset-verse19training/{kind}/sub-verse001/sub-verse001_{name}", b"not an image")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=served)) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        lines = ["data_set,part,file,url,bytes,sha256"]
        for part in ("training", "validation"):
            name = f"dataset-verse19{part}.zip"
            lines.append(f"verse19,{part},{name},http://127.0.0.1:{http.server_port}/{name},,")
        table = tmp_path / "mirror.csv"
        table.write_text("\n".join(lines) + "\n")
        yield table
        http.shutdown()
        thread.join()


def test_a_data_set_on_disk_and_a_second_call(call, mirror, tmp_path):
    asked = ("verse19", "-o", tmp_path / "data", "--part", "training", "--manifest", mirror)
    code, out, err = call(*asked, "--keep-archives")
    assert (code, err) == (0, "")
    licence, cited, fetched = (out.index(word) for word in ("CC BY-SA 4.0", "Löffler", "SHA-256 recorded"))
    assert licence < cited < fetched
    assert "dataset-verse19training: 1 scans, 1 with CT and mask" in out
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert names == {"dataset-verse19training.zip", "dataset-verse19training", "checksums.csv"}
    code, out, _ = call(*asked)
    assert code == 0
    assert "SHA-256 verified, unpacked already" in out


def test_archives_go_when_they_are_unpacked(call, mirror, tmp_path):
    asked = ("verse19", "-o", tmp_path / "data", "--part", "training", "--manifest", mirror)
    assert call(*asked)[0] == 0
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert names == {"dataset-verse19training", "checksums.csv"}
    code, out, _ = call(*asked)
    assert code == 0
    assert "unpacked already" in out


def test_what_came_stays_when_a_later_part_is_missing(call, mirror, tmp_path):
    code, _, err = call("verse19", "-o", tmp_path / "data", "--manifest", mirror)
    assert code == 2
    assert "404" in err
    assert err.count("\n") == 1
    assert (tmp_path / "data" / "dataset-verse19training").is_dir()


def test_no_network_is_one_line(call, mirror, tmp_path):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        free = taken.getsockname()[1]
    table = tmp_path / "nowhere.csv"
    table.write_text(f"data_set,part,file,url,bytes,sha256\nverse20,test,a.zip,http://127.0.0.1:{free}/a.zip,,\n")
    code, out, err = call("verse20", "-o", tmp_path / "data", "--manifest", table)
    assert code == 2
    assert err.count("\n") == 1
    assert "is there a network?" in err
    assert "Liebl" in out


def test_the_list_needs_no_network_and_no_folder(call, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    code, out, err = call("verse20", "--list", "--part", "test")
    assert (code, err) == (0, "")
    assert "dataset-verse20test.zip" in out
    assert "not published" in out
    assert "training" not in out


def test_sizes_in_the_list(call, tmp_path):
    table = tmp_path / "m.csv"
    table.write_text("data_set,part,file,url,bytes,sha256\nd,p,a.zip,http://127.0.0.1/a.zip,2500000000,\n")
    code, out, _ = call("d", "--list", "--manifest", table)
    assert code == 0
    assert "2.50 GB" in out


def test_without_a_folder(call):
    code, out, err = call("verse19")
    assert (code, out) == (2, "")
    assert "-o DIR" in err
