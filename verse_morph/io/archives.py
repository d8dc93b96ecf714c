"""Public archives: which there are, fetching them with resumption and checksums, unpacking them safely."""

from __future__ import annotations

import csv
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from verse_morph.errors import DownloadFailed, InputError, OutputError
from verse_morph.io.files import existing, replacing

CHECKSUMS = "checksums.csv"
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60
_RANGE_BEYOND_THE_END = 416

# Called with bytes on disk and bytes in all; 0 where the server does not tell.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Archive:
    """One file of a public data set.

    Parameters
    ----------
    data_set, part : str
        ``verse19`` and ``training``, for example.
    file : str
        Name on disk; the archive is unpacked to the folder of this name without ``.zip``.
    url : str
        Public address.
    bytes : int or None
        Size; None where nobody states one.
    sha256 : str or None
        Checksum; None where nobody states one.
    """

    data_set: str
    part: str
    file: str
    url: str
    bytes: int | None = None
    sha256: str | None = None

    @property
    def folder(self) -> str:
        """Name of the folder that the archive is unpacked to."""
        return Path(self.file).stem


def read_archives(path: Path | str | None = None) -> tuple[Archive, ...]:
    """The archives of a table with the columns of :class:`Archive`; by default the public ones of VerSe.

    Raises
    ------
    InputError
        The table is missing, lacks a column, or names a file with a folder in it.

    Notes
    -----
    The addresses of VerSe are those in the data set's own README (github.com/anjany/verse); it states neither sizes nor
    checksums, so none are listed.
    """
    source = files("verse_morph.io") / "verse_archives.csv" if path is None else existing(path, "a table of archives")
    rows = list(csv.DictReader(source.read_text(encoding="utf-8").splitlines()))
    needed = {field.name for field in fields(Archive)}
    if not rows or needed - rows[0].keys():
        raise InputError(
            f"{source} is no table of archives: it needs the columns {', '.join(sorted(needed))} and a row"
        )
    return tuple(_archive(row) for row in rows)


def _archive(row: Mapping[str, str]) -> Archive:
    name = row["file"]
    if name != Path(name).name or not name.endswith(".zip"):
        raise InputError(f"an archive is a plain file name that ends with .zip, got {name!r}")
    size = int(row["bytes"]) if row["bytes"] else None
    return Archive(row["data_set"], row["part"], name, row["url"], size, row["sha256"].lower() or None)


def choose_archives(archives: Iterable[Archive], data_set: str, parts: Iterable[str] = ()) -> tuple[Archive, ...]:
    """The archives of one data set, all or the named parts, or :class:`InputError` that says what there is."""
    every = tuple(archives)
    known = [archive for archive in every if archive.data_set == data_set]
    if not known:
        names = ", ".join(dict.fromkeys(archive.data_set for archive in every))
        raise InputError(f"no data set {data_set!r}; there are {names}")
    wanted = tuple(parts) or tuple(archive.part for archive in known)
    unknown = set(wanted) - {archive.part for archive in known}
    if unknown:
        there = ", ".join(archive.part for archive in known)
        raise InputError(f"{data_set} has no part {', '.join(sorted(unknown))}; there are {there}")
    return tuple(archive for archive in known if archive.part in wanted)


def fetch_archive(archive: Archive, folder: Path, progress: Progress = lambda *_: None) -> Path:
    """Bring an archive to a folder and verify it; what is there already is only verified.

    Parameters
    ----------
    archive : Archive
    folder : Path
        Where archives and ``checksums.csv`` lie; it must exist.
    progress : callable
        Called with the bytes on disk and the bytes in all (0 where unknown).

    Returns
    -------
    path : Path
        The archive. While it is being fetched it is called ``<file>.part``; the next call goes on from there.

    Raises
    ------
    DownloadFailed
        No network, an address that does not answer, a connection that breaks off, a wrong size or checksum.
    OutputError
        The disk is full or cannot be written to.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    known = archive.sha256 or recorded_checksums(folder).get(archive.file)
    registry = {archive.file: f"sha256:{known}" if known else None}
    store = pooch.create(folder, base_url="", registry=registry, urls={archive.file: archive.url}, allow_updates=False)
    part = folder / f"{archive.file}.part"
    try:
        return Path(store.fetch(archive.file, downloader=_Resuming(part, archive.bytes, progress)))
    except requests.HTTPError as error:
        raise DownloadFailed(
            f"{error}; the address may have moved: see the data set's own page, "
            "and give other addresses with --manifest"
        ) from error
    except requests.RequestException as error:
        raise DownloadFailed(
            f"cannot fetch {archive.url}: {_short(error)}; is there a network? "
            f"What came so far stays in {part}: the same command goes on from there"
        ) from error
    except ValueError as error:
        raise DownloadFailed(
            f"{archive.file} does not have the checksum {known} that is "
            f"{'published' if archive.sha256 else f'recorded in {folder / CHECKSUMS}'}; "
            "delete the file where it lies on disk, and repeat"
        ) from error
    except OSError as error:
        raise OutputError(f"cannot write {part}: {error.strerror or error}") from error


def _short(error: Exception) -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return "no connection" if type(error) is requests.ConnectionError else "the connection broke off"


class _Resuming:
    """A downloader for pooch that goes on from what an earlier attempt left; pooch's own begins anew."""

    def __init__(self, part: Path, size: int | None, progress: Progress) -> None:
        self.part = part
        self.size = size
        self.progress = progress

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Fetch to the part file, as often as an attempt brings something, then take pooch's temporary name."""
        import requests

        while True:
            before = self._length()
            try:
                self._go_on(url, before)
                break
            except requests.RequestException:
                if self._length() <= before:
                    raise
        if self.size is not None and self._length() != self.size:
            found = self._length()
            self.part.unlink()
            raise DownloadFailed(f"{url} gave {found} bytes where {self.size} are published; is it another file?")
        os.replace(self.part, output_file)

    def _length(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _go_on(self, url: str, start: int) -> None:
        import requests

        # Compressing on the way would make ranges and lengths those of another byte stream.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as answer:
            if answer.status_code == _RANGE_BEYOND_THE_END and start:
                if answer.headers.get("Content-Range", "").endswith(f"/{start}"):
                    return
                self.part.unlink()
                raise requests.ConnectionError("what was there does not belong to this file")
            answer.raise_for_status()
            if answer.status_code != requests.codes.partial_content:
                start = 0
            total = start + int(answer.headers.get("Content-Length", -start))
            with self.part.open("ab" if start else "wb") as file:
                for chunk in answer.iter_content(_CHUNK_BYTES):
                    file.write(chunk)
                    self.progress(file.tell(), total)


def recorded_checksums(folder: Path) -> dict[str, str]:
    """SHA-256 by file name, as recorded in ``checksums.csv`` of a folder; empty where there is none."""
    return {row["file"]: row["sha256"] for row in _records(folder)}


def record_checksum(archive: Archive, path: Path) -> str:
    """Write size and SHA-256 of a fetched archive to ``checksums.csv`` beside it and return the SHA-256."""
    import pooch

    checksum: str = pooch.file_hash(str(path), alg="sha256")
    row = asdict(archive) | {"bytes": path.stat().st_size, "sha256": checksum}
    rows = [known for known in _records(path.parent) if known["file"] != archive.file]
    with replacing(path.parent / CHECKSUMS) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Archive)])
        writer.writeheader()
        writer.writerows([*rows, row])
    return checksum


def _records(folder: Path) -> list[dict[str, str]]:
    path = folder / CHECKSUMS
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.is_file() else []


def unpack(archive: Path, target: Path) -> int:
    """Unpack a zip archive to a folder that appears when all of it is there.

    Returns
    -------
    count : int
        Files unpacked. Their checksums inside the archive (CRC-32) are verified on the way.

    Raises
    ------
    InputError
        The archive is damaged, or a name in it leads out of the folder or is a link; then nothing is unpacked.
    OutputError
        There is too little space, or the folder cannot be written to.
    """
    temporary = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            _require_harmless(archive, members)
            _require_space(target, sum(member.file_size for member in members))
            opened.extractall(temporary)
        os.replace(temporary, target)
    except (zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{archive} is damaged ({error}); delete it and fetch it again") from error
    except OSError as error:
        raise OutputError(f"cannot unpack {archive} to {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sum(not member.is_dir() for member in members)


def _require_harmless(archive: Path, members: Iterable[zipfile.ZipInfo]) -> None:
    for member in members:
        posix, windows = PurePosixPath(member.filename), PureWindowsPath(member.filename)
        leads_out = posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts
        if leads_out or stat.S_ISLNK(member.external_attr >> 16):
            raise InputError(
                f"{archive} is refused: its entry {member.filename!r} leads out of the folder, or is a link"
            )


def _require_space(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise OutputError(f"{target} needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in {target.parent}")
