"""`fetch`: the public VerSe data sets, on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from verse_morph.cli.console import Report, output, progress, table
from verse_morph.errors import InputError, OutputError
from verse_morph.io.archives import (
    Archive,
    Progress,
    choose_archives,
    fetch_archive,
    read_archives,
    record_checksum,
    recorded_checksums,
    unpack,
)

LICENCE = "CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/"
_BENCHMARK = (
    "Sekuboyina et al., VerSe: A vertebrae labelling and segmentation benchmark for multi-detector CT images, "
    "Medical Image Analysis 73 (2021) 102166, doi:10.1016/j.media.2021.102166"
)
PAPERS = {
    "verse19": (
        _BENCHMARK,
        "Löffler et al., A vertebral segmentation dataset with fracture grading, "
        "Radiology: Artificial Intelligence 2 (2020) e190138, doi:10.1148/ryai.2020190138",
    ),
    "verse20": (
        _BENCHMARK,
        "Liebl et al., A computed tomography vertebral segmentation dataset with anatomical variations and "
        "multi-vendor scanner data, Scientific Data 8 (2021) 284, doi:10.1038/s41597-021-01060-0",
    ),
}
PAGES = {"verse19": "https://osf.io/nqjyw/", "verse20": "https://osf.io/t98fz/"}
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class FetchJob:
    """A request to fetch a data set; see the options of the command."""

    data_set: str
    output: Path | None
    parts: tuple[str, ...] = ()
    keep_archives: bool = False
    only_list: bool = False
    manifest: Path | None = None


def run_fetch(job: FetchJob) -> None:
    """Show licence and papers, then fetch, verify and unpack one archive after the other.

    Raises
    ------
    VerseMorphError
        An unknown data set or part, no network, a wrong checksum, an archive that leads out of its folder, a full disk.
    """
    if job.output is None and not job.only_list:
        raise InputError("say where the data set shall lie: -o DIR (or --list to see what would be fetched)")
    archives = choose_archives(read_archives(job.manifest), job.data_set, job.parts)
    console = output()
    _show_terms(console, job.data_set)
    if job.output is None or job.only_list:
        console.print(_listing(archives))
        return
    try:
        job.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {job.output}: {error.strerror or error}") from error
    for archive in archives:
        _fetch(archive, job.output, job.keep_archives, console)
    _show_cases(console, job.output, archives)


def _show_terms(console: Console, data_set: str) -> None:
    page = f", {PAGES[data_set]}" if data_set in PAGES else ""
    console.print(f"{data_set}{page}", soft_wrap=True)
    console.print(f"licence: {LICENCE}", soft_wrap=True)
    for paper in PAPERS.get(data_set, ()):
        console.print(f"cite: {paper}", soft_wrap=True)


def _listing(archives: tuple[Archive, ...]) -> Table:
    columns = ("part", "file", "size", "SHA-256", "address")
    rows = [
        [archive.part, archive.file, _size(archive.bytes), archive.sha256 or "not published", archive.url]
        for archive in archives
    ]
    return table(f"{archives[0].data_set}: what would be fetched", columns, rows, words=columns)


def _size(size: int | None) -> str:
    return "not published" if size is None else f"{size / 1e9:.2f} GB"


def _fetch(archive: Archive, folder: Path, keep: bool, console: Console) -> None:
    target, path = folder / archive.folder, folder / archive.file
    if target.is_dir() and not path.exists():
        console.print(f"{archive.file}: unpacked already in {target}", soft_wrap=True)
        return
    was_recorded = archive.file in recorded_checksums(folder)
    with progress() as report:
        fetch_archive(archive, folder, _in_megabytes(report, archive.file))
    if target.is_dir():
        console.print(f"{archive.file}: SHA-256 verified, unpacked already in {target}", soft_wrap=True)
        return
    # Recorded only after its content proved whole: a checksum of a damaged file would be kept for good.
    count = unpack(path, target)
    checksum = record_checksum(archive, path)
    word = "verified" if was_recorded or archive.sha256 else "recorded"
    console.print(f"{archive.file}: {count} files in {target}; SHA-256 {word}: {checksum}", soft_wrap=True)
    if not keep:
        path.unlink()


def _in_megabytes(report: Report, name: str) -> Progress:
    return lambda done, total: report(f"{name} (MB)", done // _MEGABYTE, total // _MEGABYTE)


def _show_cases(console: Console, folder: Path, archives: tuple[Archive, ...]) -> None:
    from verse_morph.io.verse import find_cases

    for archive in archives:
        cases = find_cases(folder / archive.folder)
        pairs = sum(case.ct is not None and case.mask is not None for case in cases)
        console.print(f"{archive.folder}: {len(cases)} scans, {pairs} with CT and mask", soft_wrap=True)
