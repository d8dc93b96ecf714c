"""Archives from a server in this process: whole, resumed, refused. Nothing here touches the real network."""

import contextlib
import hashlib
import io
import re
import socket
import stat
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from verse_morph.errors import DownloadFailed, InputError, OutputError
from verse_morph.io import archives
from verse_morph.io.archives import (
    Archive,
    choose_archives,
    fetch_archive,
    read_archives,
    record_checksum,
    recorded_checksums,
    unpack,
)


def zipped(members):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


CONTENT = zipped(
    {f"dataset-verse19test/rawdata/sub-verse001/sub-verse001_{n}.json": bytes(range(256)) * 50 for n in "abcd"}
)


@dataclass
class Server:
    """What one server gives and what it was asked for."""

    content: bytes = CONTENT
    cut_first_at: int | None = None
    ignores_ranges: bool = False
    ranges: list = field(default_factory=list)
    url: str = ""

    def answer(self, handler):
        wanted = handler.headers.get("Range")
        self.ranges.append(wanted)
        if not handler.path.endswith("/a.zip"):
            handler.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and not self.ignores_ranges else 0
        size = len(self.content)
        if start >= size:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{size}")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(size - start))
        handler.end_headers()
        handler.wfile.write(self.content[start : self.cut_first_at])
        self.cut_first_at = None


@pytest.fixture
def server(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    # Small steps, so that what came before a cut is on disk.
    monkeypatch.setattr(archives, "_CHUNK_BYTES", 1000)
    given = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            given.answer(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        given.url = f"http://127.0.0.1:{http.server_port}/a.zip"
        yield given
        http.shutdown()
        thread.join()


def archive_of(server, **known):
    return Archive("verse19", "test", "a.zip", server.url, **known)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_and_its_progress(server, tmp_path):
    seen = []
    path = fetch_archive(archive_of(server), tmp_path, lambda *state: seen.append(state))
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ["a.zip"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert server.ranges == [None]


def test_a_connection_that_breaks_off_is_taken_up_where_it_stopped(server, tmp_path):
    server.cut_first_at = 20_000
    path = fetch_archive(archive_of(server), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=20000-"]


def test_what_an_earlier_process_left_is_taken_up(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:12_345])
    assert fetch_archive(archive_of(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=12345-"]
    assert names(tmp_path) == ["a.zip"]


def test_a_part_that_was_whole_already_is_taken(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    assert fetch_archive(archive_of(server), tmp_path).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT + b"more")
    with pytest.raises(DownloadFailed):
        fetch_archive(archive_of(server), tmp_path)
    assert fetch_archive(archive_of(server), tmp_path).read_bytes() == CONTENT


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    server.ignores_ranges = True
    (tmp_path / "a.zip.part").write_bytes(b"x" * 5000)
    assert fetch_archive(archive_of(server), tmp_path).read_bytes() == CONTENT


def test_an_unfinished_file_never_bears_the_final_name(server, tmp_path):
    server.cut_first_at = 20_000
    left = threading.Event()

    def leave(done, _total):
        if done > 10_000 and not left.is_set():
            left.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_archive(archive_of(server), tmp_path, leave)
    assert names(tmp_path) == ["a.zip.part"]
    assert fetch_archive(archive_of(server), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("known", [{"sha256": "0" * 64}, {"bytes": 17}])
def test_another_file_than_the_published_one_is_refused(server, tmp_path, known):
    with pytest.raises(DownloadFailed, match="published"):
        fetch_archive(archive_of(server, **known), tmp_path)
    assert names(tmp_path) == []


def test_the_published_checksum_and_size_pass(server, tmp_path):
    known = {"sha256": hashlib.sha256(CONTENT).hexdigest(), "bytes": len(CONTENT)}
    assert fetch_archive(archive_of(server, **known), tmp_path).is_file()


def test_the_checksum_of_the_first_download_is_kept_and_asked_for(server, tmp_path):
    archive = archive_of(server)
    path = fetch_archive(archive, tmp_path)
    checksum = record_checksum(archive, path)
    assert recorded_checksums(tmp_path) == {"a.zip": checksum}
    assert checksum == hashlib.sha256(CONTENT).hexdigest()
    path.unlink()
    server.content = zipped({"other": b"content"})
    with pytest.raises(DownloadFailed, match=r"recorded in .*checksums.csv"):
        fetch_archive(archive, tmp_path)
    assert names(tmp_path) == ["checksums.csv"]


def test_a_file_on_disk_that_changed_is_refused_and_left(server, tmp_path):
    archive = archive_of(server)
    path = fetch_archive(archive, tmp_path)
    record_checksum(archive, path)
    assert fetch_archive(archive, tmp_path) == path
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(DownloadFailed, match="delete the file"):
        fetch_archive(archive, tmp_path)
    assert path.is_file()
    assert server.ranges == [None]


def test_a_wrong_address(server, tmp_path):
    server.url = server.url.replace("a.zip", "b.zip")
    with pytest.raises(DownloadFailed, match=r"404.*b.zip; the address may have moved"):
        fetch_archive(archive_of(server), tmp_path)
    assert names(tmp_path) == []


def test_no_network(server, tmp_path):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        free = taken.getsockname()[1]
    server.url = f"http://127.0.0.1:{free}/a.zip"
    with pytest.raises(DownloadFailed, match="no connection; is there a network"):
        fetch_archive(archive_of(server), tmp_path)


def test_unpacking(tmp_path):
    (tmp_path / "a.zip").write_bytes(CONTENT)
    assert unpack(tmp_path / "a.zip", tmp_path / "a") == 4
    file = tmp_path / "a" / "dataset-verse19test" / "rawdata" / "sub-verse001" / "sub-verse001_c.json"
    assert file.read_bytes() == bytes(range(256)) * 50
    assert names(tmp_path) == ["a", "a.zip"]


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/evil.txt", "..\\evil.txt", "C:\\evil.txt"])
def test_a_name_that_leads_out_is_refused_and_nothing_unpacked(tmp_path, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a.zip").write_bytes(zipped({"good.txt": b"good", name: b"evil"}))
    with pytest.raises(InputError, match="leads out of the folder"):
        unpack(inside / "a.zip", inside / "a")
    assert names(inside) == ["a.zip"]
    assert names(tmp_path) == ["inside"]


def test_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    (tmp_path / "a.zip").write_bytes(zipped({link: "/etc"}))
    with pytest.raises(InputError, match="is a link"):
        unpack(tmp_path / "a.zip", tmp_path / "a")


def test_a_damaged_archive_leaves_nothing(tmp_path):
    middle = len(CONTENT) // 2
    (tmp_path / "a.zip").write_bytes(CONTENT[:middle] + b"????" + CONTENT[middle + 4 :])
    with pytest.raises(InputError, match="damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "a")
    assert names(tmp_path) == ["a.zip"]


def test_too_little_space_is_said_before_unpacking(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(CONTENT)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(OutputError, match="GB are free"):
        unpack(tmp_path / "a.zip", tmp_path / "a")


def test_the_public_addresses():
    every = read_archives()
    assert [(a.data_set, a.part) for a in every] == [
        (data_set, part) for data_set in ("verse19", "verse20") for part in ("training", "validation", "test")
    ]
    for archive in every:
        assert archive.url == f"https://s3.bonescreen.de/public/VerSe-complete/{archive.file}"
        assert archive.folder == f"dataset-{archive.data_set}{archive.part}"


def test_choosing():
    every = read_archives()
    assert [a.part for a in choose_archives(every, "verse20")] == ["training", "validation", "test"]
    assert [a.file for a in choose_archives(every, "verse19", ["test"])] == ["dataset-verse19test.zip"]
    with pytest.raises(InputError, match="there are verse19, verse20"):
        choose_archives(every, "verse21")
    with pytest.raises(InputError, match="has no part tests"):
        choose_archives(every, "verse20", ["tests"])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("file,url\na.zip,http://x\n", "needs the columns"),
        ("data_set,part,file,url,bytes,sha256\n", "needs the columns"),
        ("data_set,part,file,url,bytes,sha256\nd,p,../a.zip,http://x,,\n", "plain file name"),
    ],
)
def test_a_table_that_is_none(tmp_path, text, match):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError, match=match):
        read_archives(tmp_path / "m.csv")
