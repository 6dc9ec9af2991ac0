"""Processes that were started here: how much memory they and their children hold, and their end."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

_STOP_TIMEOUT_S = 20


class Child:
    """A process in a session of its own, with what it starts in turn."""

    def __init__(self, command: list[str | Path], environment: dict[str, str], folder: Path, log: Path) -> None:
        """Starts it, in `folder`; what it says is written to `log`."""
        self.log, self.begun = log, time.monotonic()
        with log.open("wb") as told:
            self.process = subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def family(self) -> dict[int, str]:
        """Itself, its descendants, and what else is in its session: when each began, by its number."""
        found, session = {}, str(self.process.pid)
        table = _processes()
        for pid in table:
            line, seen = pid, set()
            while line in table and line not in seen:
                seen.add(line)
                if line == self.process.pid or table[line]["session"] == session:
                    found[pid] = table[pid]["began"]
                    break
                line = int(table[line]["parent"])
        return found

    def memory_mb(self) -> float:
        """PSS of all of them: what they share counts once."""
        return sum(_pss_kib(pid) for pid in self.family()) * 1024 / 1e6

    def end(self) -> bool:
        """Asks it to end, and kills what is left of it then. Whether it ended by itself, in time."""
        family = self.family()
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
            in_time = True
        except subprocess.TimeoutExpired:
            in_time = False
        left = {**family, **self.family()}
        alive = _processes()
        for pid, began in left.items():
            # a number may have been given to another process since
            if pid in alive and alive[pid]["began"] == began:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()
        return in_time


def _processes() -> dict[int, dict[str, str]]:
    """Parent, session and beginning of all processes, by their numbers."""
    table = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # behind the name, which may hold anything
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            table[int(folder.name)] = {"parent": fields[1], "session": fields[3], "began": fields[19]}
    return table


def _pss_kib(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
