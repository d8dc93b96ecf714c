"""`view`: JupyterLab on a ready notebook of a run's results."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from verse_morph.errors import InputError, OutputError

JUPYTERLAB = {"jupyterlab": 4}
HOST = "127.0.0.1"


@dataclass(frozen=True)
class ViewJob:
    """What `view` was asked for; see the options of the command."""

    results: Path
    port: int | None = None
    browser: bool = True


def run_view(job: ViewJob) -> None:
    """Write the notebook, print its address, and run JupyterLab until it is stopped.

    Raises
    ------
    VerseMorphError
        There are no results, JupyterLab is missing, or the port is taken.
    typer.Exit
        JupyterLab ended with an error; the exit code is its own.
    """
    from verse_morph.view.needs import SURFACES, require
    from verse_morph.view.results import results_of

    require(SURFACES | JUPYTERLAB)
    notebook = write_notebook(results_of(job.results))
    port = free_port(job.port)
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(16)
    print(f"notebook {notebook}", flush=True)
    print(f"open     {address(notebook, port, token)}", flush=True)
    print("stop     Ctrl-C", flush=True)
    # In the environment, not among the arguments: those are seen by everyone on the machine.
    done = subprocess.run(command(notebook, port, job.browser), env=os.environ | {"JUPYTER_TOKEN": token})
    if done.returncode not in (0, 130, -2):
        raise typer.Exit(done.returncode)


def write_notebook(results: Path) -> Path:
    """A notebook beside the results that shows them; one that is there is kept, for it may have been worked on.

    Parameters
    ----------
    results : Path
        Folder of one scan.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    place = results.resolve()
    target = place.parent / f"view_{place.name}.ipynb"
    if target.exists():
        return target
    try:
        target.write_text(json.dumps(notebook_of(place.name), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def notebook_of(name: str) -> dict[str, Any]:
    """The notebook that shows the results in the folder ``name`` beside it."""
    cells = [
        _words(f"# What do the results of {name} look like?\n\nRun all cells (menu Run). Research use, not diagnosis."),
        _code(
            "from verse_morph.view import open_results\n\n"
            f"results = open_results({name!r})\n"
            "print(*results.notes, sep='\\n')"
        ),
        _words("## The spine in 3D\n\nColour by any column, click a vertebra to read its numbers."),
        _code("results.view()"),
        _words("## The scan\n\nCT and mask, as far as they are where they were when the results were made."),
        _code(
            "shown = results.scan is not None or results.labels is not None\n"
            "results.slices() if shown else 'neither the CT nor the mask is where it was'"
        ),
        _words("## The table"),
        _code("results.table"),
    ]
    kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
    numbered = [{**cell, "id": f"cell-{k}"} for k, cell in enumerate(cells)]
    return {"cells": numbered, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


def _words(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def _code(text: str) -> dict[str, Any]:
    source = text.splitlines(keepends=True)
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}


def free_port(wanted: int | None) -> int:
    """A free port of this machine.

    Raises
    ------
    InputError
        The one that was asked for is taken.
    """
    with socket.socket() as trial:
        try:
            trial.bind((HOST, wanted or 0))
        except OSError as error:
            raise InputError(f"port {wanted} cannot be used ({error.strerror}); without --port any is taken") from error
        return int(trial.getsockname()[1])


def address(notebook: Path, port: int, token: str) -> str:
    """Where the notebook is found by a browser on this machine."""
    from urllib.parse import quote

    return f"http://{HOST}:{port}/lab/tree/{quote(notebook.name)}?token={token}"


def command(notebook: Path, port: int, browser: bool) -> list[str]:
    """The call of JupyterLab."""
    made = [sys.executable, "-m", "jupyterlab", str(notebook), f"--ServerApp.port={port}", f"--ServerApp.ip={HOST}"]
    made += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={notebook.parent}"]
    # In containers everything runs as root, which JupyterLab refuses unless told.
    made += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return made + ([] if browser else ["--no-browser"])
