# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""perf_pair.py - a contender of ./vip bench perf: two processes that are asked over a socket each.

What they are asked is in bench/peers/peer_measure.h.  A contender that does not
start, dies or hangs is out, with the reason; the others go on.
"""

import os
import select
import signal
import socket
import subprocess
import time

START_LIMIT = 110  # seconds; a thousand connections are made meanwhile
ANSWER_LIMIT = 15
END_LIMIT = 5


class Failed(Exception):
    """A contender is out; the text says why."""


class Rank:
    """The coordinator's end of one process's socket."""

    def __init__(self, sock, pid):
        self.sock = sock
        self.pid = pid
        self.pending = b""
        self.about = ""

    def tell(self, line):
        try:
            self.sock.sendall(line.encode() + b"\n")
        except OSError as error:
            raise Failed(f"it has ended: {error.strerror}") from error

    def line(self):
        """A whole line that is there, else None."""
        if b"\n" not in self.pending:
            return None
        line, self.pending = self.pending.split(b"\n", 1)
        return line.decode(errors="replace")

    def read(self):
        try:
            more = self.sock.recv(4096)
        except OSError:
            more = b""
        if not more:
            raise Failed("it has ended without a word")
        self.pending += more


class Room:
    """A folder of this run alone, with the socket that ranks call."""

    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path)
        self.address = os.path.join(path, "socket")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.address)
        self.listener.listen(64)

    def close(self):
        self.listener.close()


class Pair:
    """A contender: its name, how it is started, and its ranks, which are asked, while it is well."""

    count = 2  # of the ranks

    def __init__(self, name, group, program, kind, launcher=(), env=None):
        self.name = name
        self.group = group  # softvia, limit, ucx, openmpi, mpich, ofi
        self.program = program
        self.kind = kind
        self.launcher = list(launcher)
        self.env = env or {}
        self.ranks = {}
        self.process = None
        self.log = ""
        self.out = None  # why it is missing

    @property
    def about(self):
        """Priority and version as the rank tells them, and what is set for it."""
        settings = [f"{key}={value}" for key, value in self.env.items() if "AS_ROOT" not in key]
        return ", ".join([self.ranks[0].about, *settings])

    def arguments(self, room, processors, max_bytes):
        return [room.address, self.name, room.name, *map(str, processors), str(max_bytes), self.kind]

    def start(self, room, processors, max_bytes, environment):
        if not os.access(self.program, os.X_OK):
            self.out = "not installed when the peers were built"
            return
        arguments = self.arguments(room, processors, max_bytes)
        self.log = os.path.join(room.path, self.name + ".log")
        try:
            with open(self.log, "wb") as log:
                self.process = subprocess.Popen(
                    [*self.launcher, self.program, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is ours to hear
                    env={**environment, **self.env},
                )
            self._greet(room.listener)
        except OSError as error:
            self.fail(f"{self.launcher[0] if self.launcher else self.program}: {error.strerror}")
        except Failed as error:
            self.fail(str(error))

    def _greet(self, listener):
        """All ranks have called and are ready."""
        deadline = time.monotonic() + START_LIMIT
        ready = set()
        new = []  # connected, and have not said who they are
        while len(ready) < self.count:
            sockets = [r.sock for r in [*self.ranks.values(), *new]]
            readable = select.select([listener, *sockets], [], [], 0.1)[0]
            if listener in readable:
                new.append(Rank(listener.accept()[0], 0))
            for rank in [*self.ranks.values(), *new]:
                if rank.sock in readable:
                    rank.read()
                while (line := rank.line()) is not None:
                    self._greeting(rank, line, ready)
            new = [r for r in new if not r.pid]
            if not readable and self.process.poll() is not None:
                raise Failed(f"it ends with status {self.process.returncode}{self._last_words()}")
            if time.monotonic() > deadline:
                raise Failed(f"it is not ready after {START_LIMIT} s{self._last_words()}")

    def _greeting(self, rank, line, ready):
        word, _, rest = line.partition(" ")
        if word == "hello":
            _, number, pid = rest.rsplit(" ", 2)
            rank.pid = int(pid)
            self.ranks[int(number)] = rank
        elif word == "ready":
            rank.about = rest
            ready.add(rank)
        else:
            raise Failed(rest if word == "fail" else f"it says: {line}")

    def _last_words(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                lines = [line.strip() for line in log if any(c.isalpha() for c in line)]
        except OSError:
            lines = []
        return f": {lines[-1]}" if lines else ""

    def _gather(self):
        """One line of each rank."""
        deadline = time.monotonic() + ANSWER_LIMIT
        lines = {}
        while len(lines) < self.count:
            for number, rank in self.ranks.items():
                if number not in lines and (line := rank.line()) is not None:
                    if line.startswith("fail "):
                        raise Failed(line[5:])
                    lines[number] = line
            waiting = [r for n, r in self.ranks.items() if n not in lines]
            if not waiting:
                break
            readable = select.select([r.sock for r in waiting], [], [], max(0, deadline - time.monotonic()))[0]
            if not readable:
                raise Failed(f"no answer in {ANSWER_LIMIT} s")
            for rank in waiting:
                if rank.sock in readable:
                    rank.read()
        return lines

    def ask(self, command):
        """Nanoseconds - median, 10 %, 90 % - or None when it is out."""
        if self.out:
            return None
        try:
            for rank in self.ranks.values():
                rank.tell(command)
            self._gather()
            for number in (1, 0):
                self.ranks[number].tell("go")
            words = self._gather()[0].split()
            return tuple(float(word) for word in words[1:4])
        except Failed as error:
            self.fail(f"{command}: {error}")
            return None

    def fail(self, why):
        self.out = why
        self.end(0)

    def end(self, limit):
        """The ranks leave when their sockets close; who is not gone in time is killed."""
        for rank in self.ranks.values():
            rank.sock.close()
        if not self.process:
            return
        try:
            if limit:
                self.process.wait(limit)
        except subprocess.TimeoutExpired:
            pass
        if self.process.poll() is None:
            for rank in self.ranks.values():
                send_signal(os.kill, rank.pid)
            send_signal(os.killpg, self.process.pid)
            self.process.wait()


def send_signal(how, pid):
    try:
        how(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
