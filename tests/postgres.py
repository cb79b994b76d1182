"""A private PostgreSQL for one test run: its own folder and socket, no network, gone afterwards."""

import atexit
import csv
import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import pytest

NULL = "\\N"
END = "end of the answer"


def binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest there is; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def reason() -> str | None:
    """Say why there is no PostgreSQL for tests; None where there is."""
    if binaries() is None:
        return "needs PostgreSQL (apt-get install postgresql), which is absent"
    if os.geteuid() == 0 and (shutil.which("runuser") is None or not _has_user("postgres")):
        return "PostgreSQL does not run as root, and there is no runuser or no user postgres"
    return None


def _has_user(name: str) -> bool:
    return subprocess.run(["id", name], capture_output=True, check=False).returncode == 0


@cache
def running() -> "Postgres":
    """Return the server of this process, which starts at the first call; a test that needs it skips where it cannot."""
    if why := reason():
        pytest.skip(why)
    server = Postgres()
    atexit.register(server.stop)
    return server


class Postgres:
    """A running server; `query` asks it in SQL, `copy` loads rows."""

    def __init__(self) -> None:
        self._programs = binaries()
        self._session: subprocess.Popen[str] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="spora-pg-", dir="/tmp"))
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
        self._run(
            "initdb", "-D", self._data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", *self._locale()
        )
        options = f"-c listen_addresses='' -c unix_socket_directories='{self._folder}' -c fsync=off"
        self._run("pg_ctl", "-D", self._data, "-l", str(self._folder / "log"), "-o", options, "-w", "start")

    def _locale(self) -> list[str]:
        """Order texts as English does where the server can: by their bytes, a forgotten COLLATE would not show."""
        said = subprocess.run([str(self._programs / "initdb"), "--help"], capture_output=True, text=True, check=True)
        return (
            ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
            if "icu" in said.stdout
            else ["--locale=C"]
        )

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(
            command, cwd="/", text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr

    def _client(self) -> list[str]:
        command = [str(self._programs / "psql"), "-h", str(self._folder), "-U", "postgres", "-d", "postgres"]
        return [*command, "-X", "-q", "--csv", "-P", f"null={NULL}"]

    def psql(self, text: str, *, stdin: str = "") -> None:
        """Run statements; a failure is a RuntimeError with the server's message."""
        command = [*self._client(), "-v", "ON_ERROR_STOP=1", "-c", text]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)

    def query(self, text: str) -> list[tuple[str | None, ...]]:
        """Return the rows of a SELECT as texts, all in one session: a process each would take 0.1 s."""
        if self._session is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self._session = subprocess.Popen(self._client(), text=True, **pipes)
        self._session.stdin.write(f"{text};\n\\echo {END} :ERROR :LAST_ERROR_MESSAGE\n")
        self._session.stdin.flush()
        lines = []
        while not (line := self._session.stdout.readline()).startswith(END):
            assert line, "the session ended"
            lines.append(line)
        if line.startswith(f"{END} true"):
            raise RuntimeError(line)
        # a line with nothing on it is a row of one empty text
        return [tuple(None if value == NULL else value for value in row or [""]) for row in csv.reader(lines)][1:]

    def copy(self, table: str, rows: Iterable[Sequence[object]]) -> None:
        """Load rows into a table."""
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_MINIMAL)
        for row in rows:
            writer.writerow([NULL if value is None else _text(value) for value in row])
        self.psql(f"COPY \"{table}\" FROM STDIN WITH (FORMAT csv, NULL '{NULL}')", stdin=text.getvalue())

    def stop(self) -> None:
        """Stop the server and delete its folder."""
        if self._session is not None:
            self._session.communicate()
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._folder)


def _text(value: object) -> str:
    if isinstance(value, list):
        return "{" + ",".join('"' + str(item).replace('"', '\\"') + '"' for item in value) + "}"
    return str(value)
