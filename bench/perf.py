#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""perf.py - ours and the peers side by side: the coordinator of ./vip bench perf.

It starts all contenders (bench/peers), and lets them measure in bursts of some
milliseconds, one after the other, round after round, so that whatever the machine
does meanwhile it does to all.  The time that a cache line takes from one processor to
the other is looked at between any two bursts: on a shared host it changes by a
factor of three or more within seconds, and contenders that were measured before and
after such a change are not compared.  Exit status: 0 when it ran, whether or not
targets are met.
"""

import argparse
import glob
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # nothing is left beside the sources
import perf_cases
import perf_report
from perf_pair import END_LIMIT, Room

FULL_SECONDS = 240
QUICK_SECONDS = 15
REST = 0.05  # of the time: real-time processes must leave some to others
WAKE_PAUSE_US = 150
PACE = "latency 8 50 20"  # of the limit: a millisecond
STEADY = 1.6  # what the pace may change by within a comparison
TRIES = 3
SHORT = 0.25  # of a burst, while it is prepared
WINDOW_TRIES = 3
BATCH_NS = 20000  # a sample is at least so long: the clock takes some 30 ns


class Progress:
    """One line that changes on a terminal, else a line now and then."""

    def __init__(self):
        self.terminal = sys.stderr.isatty()
        self.last = 0.0

    def say(self, text):
        if self.terminal:
            print(f"\r\033[K  {text:.100}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self.last > 20:
            print(f"  {text}", file=sys.stderr, flush=True)
            self.last = time.monotonic()

    def clear(self):
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


class Round:
    """What one round gave."""

    def __init__(self):
        self.found = {}  # (name, test, bytes): (median, 10 %, 90 %) in nanoseconds
        self.pace = {}  # (test, bytes): nanoseconds of a cache line meanwhile


class Bench:
    """The contenders, the cells of a round, and all that was measured."""

    def __init__(self, pairs, burst_ms):
        self.pairs = {pair.name: pair for pair in pairs}
        self.burst_ns = burst_ms * 1e6
        self.expected = {}  # (name, test, bytes): nanoseconds, of the last time
        self.windows = {}
        self.rounds = []
        self.passes = self.unsteady = 0
        peers = [p for p in pairs if p.group in perf_cases.PEER_GROUPS and not p.out]
        self.peers = [p.name for p in peers]
        self.ucx = [p.name for p in peers if p.group == "ucx"]
        self.cells = perf_cases.cells([p.name for p in pairs if not p.out], self.peers)

    def command(self, cell, name, share=1.0):
        """What fills a burst, by what it took the last time."""
        one = self.expected.get((name, cell.test, cell.size))
        burst = self.burst_ns * share

        def count(ns, least):
            return least if not ns else max(least, min(20000, int(burst / ns)))

        if cell.test in ("latency", "touched"):
            per = max(1, int(BATCH_NS / (2 * one))) if one else 1
            return f"{cell.test} {cell.size} {per} {count(one and 2 * one * per, 4)}"
        if cell.test == "bandwidth":
            window = self.windows.get((name, cell.size), cell.windows[0])
            # enough of them that it does not matter where in a window they end
            return f"bandwidth {cell.size} {max(8 * window, int(burst / one) if one else 0)} {window}"
        if cell.test == "wake":
            return f"wake {cell.size} {count(2000 * (WAKE_PAUSE_US + 20), 4)} {WAKE_PAUSE_US}"
        # what comes between two samples takes about as long
        return f"{cell.test} {cell.size} {count(one and 3 * one, 4)}"

    def measure(self, cell, name, share=1.0):
        start = time.monotonic()
        result = self.pairs[name].ask(self.command(cell, name, share))
        time.sleep((time.monotonic() - start) * REST)
        if result:
            self.expected[(name, cell.test, cell.size)] = max(result[0], 1.0)
        return result

    def best_window(self, cell, name):
        """Each time all of them, so that only those are compared that ran beside each other."""
        ratios = {window: [] for window in cell.windows}
        for _ in range(WINDOW_TRIES):
            took = {}
            for window in cell.windows:
                self.windows[(name, cell.size)] = window
                result = self.measure(cell, name, SHORT)
                took[window] = result[0] if result else 1.0
            for window, ns in took.items():
                ratios[window].append(ns / min(took.values()))
        return min(cell.windows, key=lambda window: statistics.median(ratios[window]))

    def prepare(self, progress):
        """How long things take, and each one's best window."""
        for cell in self.cells:
            progress.say(f"warming up: {cell.test} {perf_cases.text_of(cell.size)}")
            for name in cell.names:
                self.measure(cell, name, SHORT)
                if cell.windows:
                    self.windows[(name, cell.size)] = self.best_window(cell, name)

    def pace(self):
        result = self.pairs["limit"].ask(PACE) if "limit" in self.pairs else None
        return result[0] if result else 1.0

    def compare(self, cell, turn):
        """All of a cell, one after the other: what was found, at which pace, and whether at one."""
        found = {}
        paces = [self.pace()]
        for name in cell.names[turn:] + cell.names[:turn]:
            result = self.measure(cell, name)
            if result:
                found[(name, cell.test, cell.size)] = result
            paces.append(self.pace())
        self.passes += 1
        steady = max(paces) <= STEADY * min(paces)
        self.unsteady += not steady
        return found, statistics.median(paces), steady

    def round(self, number, progress, left):
        this = Round()
        for cell in self.cells:
            progress.say(f"round {number + 1}, {left():.0f} s left: {cell.test} {perf_cases.text_of(cell.size)}")
            key = (cell.test, cell.size)
            for attempt in range(TRIES):
                found, pace, steady = self.compare(cell, number % len(cell.names))
                # the last is better than none at all
                if steady or (attempt == TRIES - 1 and not any(key in done.pace for done in self.rounds)):
                    this.found.update(found)
                    this.pace[key] = pace
                    break
        self.rounds.append(this)

    def run(self, seconds, progress):
        end = time.monotonic() + seconds
        self.prepare(progress)
        number = 0
        took = 0.0
        # a round is not begun when half of it would be too late
        while not number or time.monotonic() + took / 2 < end:
            start = time.monotonic()
            self.round(number, progress, lambda: max(0, end - time.monotonic()))
            took = time.monotonic() - start
            number += 1


def options():
    parser = argparse.ArgumentParser(description="ours and the peers side by side")
    parser.add_argument("--bin", required=True, help="where the programs of bench/peers are")
    parser.add_argument("--out", required=True, help="where the results go")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS} s: shows that it works")
    parser.add_argument("--seconds", type=float, help="to measure; more rounds are better")
    parser.add_argument("--only", help="groups with commas between them: " + ",".join(GROUPS))
    given = parser.parse_args()
    given.only = given.only.split(",") if given.only else GROUPS
    for group in given.only:
        if group not in GROUPS:
            parser.error(f"--only: there is no group {group}; the groups are {', '.join(GROUPS)}")
    if given.seconds is None:
        given.seconds = QUICK_SECONDS if given.quick else FULL_SECONDS
    return given


GROUPS = ["softvia", "limit", *perf_cases.PEER_GROUPS]


def environment(room):
    """Ours, without what would change a peer, and with an agent of our own unless one is named."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(perf_cases.CLEARED)}
    env.setdefault("VIPL_AGENT_DIR", os.path.join(room, "agent"))
    env["TMPDIR"] = room
    return env


def start(pairs, room, processors, progress):
    env = environment(room.path)
    for pair in pairs:
        progress.say(f"starting {pair.name}")
        pair.start(room, processors, perf_cases.MAX_BYTES, env)


def clean(pairs, path):
    """Nothing stays behind, however the run ends."""
    for pair in pairs:
        for rank in pair.ranks.values():
            rank.sock.close()
    for pair in pairs:
        pair.end(END_LIMIT)
    # what a library has named after this run and could not remove, being killed
    for name in glob.glob("/dev/shm/*" + glob.escape(os.path.basename(path)) + "*"):
        if name != path:
            os.unlink(name)
    for _ in range(50):
        if not os.path.exists(os.path.join(path, "agent")):
            break
        time.sleep(0.1)
    shutil.rmtree(path, ignore_errors=True)


def stop(_number, _frame):
    raise KeyboardInterrupt


def bench(given, path, processors, pairs):
    progress = Progress()
    room = Room(path)
    pairs.extend(p for p in perf_cases.contenders(given.bin, path) if p.group in given.only)
    start(pairs, room, processors, progress)
    room.close()
    burst_ms = min(20.0, max(2.0, given.seconds / 6))
    it = Bench(pairs, burst_ms)
    if not it.cells:
        sys.exit("\n".join(["perf.py: nothing to measure:", *(f"  {p.name}: {p.out}" for p in pairs)]))
    it.run(given.seconds, progress)
    progress.clear()
    perf_report.write(it, processors, burst_ms, given.out)


def main():
    given = options()
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        sys.exit(f"perf.py: two processes that poll need two processors, and {len(allowed)} may be used here")
    signal.signal(signal.SIGTERM, stop)
    # shared memory of a library that wants a file for it belongs in memory
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = tempfile.mkdtemp(prefix="vip-perf.", dir=base)
    pairs = []
    try:
        os.makedirs(given.out, exist_ok=True)
        bench(given, path, allowed[:2], pairs)
    except KeyboardInterrupt:
        print("\nperf.py: stopped, no results are written", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        sys.exit(f"perf.py: {error}")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        clean(pairs, path)


if __name__ == "__main__":
    main()
