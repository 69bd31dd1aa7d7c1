#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""multicast.py - one sender and 1 to 8 receivers: the coordinator of ./vip bench multicast.

It starts all contenders (bench/multicast), and lets them measure some operations
each, one after the other, round after round, so that whatever the machine does
meanwhile it does to all.  What an operation is: bench/multicast/stage.h.  Exit
status: 0 when it ran, whether or not targets are met.
"""

import argparse
import os
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # nothing is left beside the sources
import multicast_report
from perf import REST, Progress, clean, environment, stop
from perf_cases import KIB, MIB, text_of
from perf_pair import Failed, Pair, Room

FULL_SECONDS = 145
QUICK_SECONDS = 8
STAGE_FILE = 65536
BURST_NS = 6e6  # about, of the operations of a contender in a row
FEWEST, MOST = 3, 20
SPACE_NS = 300000  # what comes between two operations, at least

RECEIVERS = [1, 2, 4, 8]
SIZES = [KIB, 64 * KIB, MIB, 4 * MIB]
MODES = ["arrived", "read", "work"]
OURS = ["shared", "segments", "private"]
MPI = ["openmpi", "mpich"]
GROUPS = ["softvia", *MPI]


class Crowd(Pair):
    """A sender and its receivers; the sender is the one that is asked."""

    count = 1

    def __init__(self, kind, receivers, group, program, words, launcher=(), env=None):
        super().__init__(f"{kind}-{receivers}", group, program, kind, launcher, env)
        self.receivers = receivers
        self.words = words
        self.page = os.memfd_create(self.name)  # what its processes share; it has no name to be left behind
        os.ftruncate(self.page, STAGE_FILE)
        self.moved = None

    def arguments(self, room, _processors, _max_bytes):
        return [f"/proc/{os.getpid()}/fd/{self.page}", room.address, self.name, *self.words]

    def ask(self, command):
        """Nanoseconds - median, 10 %, 90 % - or None when it is out; self.moved: bytes, if it counts them."""
        if self.out:
            return None
        try:
            self.ranks[0].tell(command)
            numbers = [float(word) for word in self._gather()[0].split()[1:]]
            self.moved = numbers[3] if numbers[3] >= 0 else None
            return tuple(numbers[:3])
        except Failed as error:
            self.fail(f"{command}: {error}")
            return None


def contenders(binaries, room, numbers, processors):
    """All of them, whether or not they are there; those that are compared beside each other."""

    def program(name):
        return os.path.join(binaries, name)

    def ours(way, n):
        return Crowd(way, n, "softvia", program("vip_multicast"), [way, str(n)])

    # The best of what was tried.  Where there are more ranks than processors they must give way
    # to each other.  Two or three ranks are quicker when they copy twice, more when the kernel copies once.
    def openmpi(n):
        launcher = f"mpirun.openmpi -np {n + 1} --oversubscribe --bind-to none".split()
        mca = "pml ob1 btl self,vader"
        if n + 1 > processors:
            mca += " mpi_yield_when_idle 1"
        if n == 1:
            mca += " btl_vader_eager_limit 32768 btl_vader_single_copy_mechanism none"
        else:
            mca += " coll_tuned_use_dynamic_rules 1 coll_tuned_bcast_algorithm 1"  # linear
        folders = ["orte_tmpdir_base", room, "btl_vader_backing_directory", room]
        for key, value in zip(*[iter(mca.split() + folders)] * 2):
            launcher += ["--mca", key, value]
        root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        return Crowd("openmpi", n, "openmpi", program("mpi_multicast_openmpi"), ["bcast"], launcher, root)

    def mpich(n):
        launcher = f"mpirun.mpich -np {n + 1} -bind-to none".split()
        words, env = ["bcast"], {}
        if n + 1 > processors:
            words, env = ["yield"], {"MPIR_CVAR_IBCAST_INTRA_ALGORITHM": "sched_binomial"}
        if n <= 2:
            env |= {"MPIR_CVAR_NOLOCAL": "1", "UCX_TLS": "posix,self", "UCX_POSIX_SEG_SIZE": "49152"}
        return Crowd("mpich", n, "mpich", program("mpi_multicast_mpich"), words, launcher, env)

    kinds = [lambda n: ours("shared", n), openmpi, mpich, lambda n: ours("segments", n), lambda n: ours("private", n)]
    return [kind(n) for kind in kinds for n in numbers]


class Bench:
    """The contenders, and all that was measured."""

    def __init__(self, crowds, numbers):
        self.crowds = {crowd.name: crowd for crowd in crowds}
        self.numbers = numbers
        self.expected = {}  # (name, mode, bytes): nanoseconds, of the last time
        self.rounds = []  # of each round: (name, mode or "moved", bytes): (median, 10 %, 90 %)

    def measure(self, name, mode, size, found):
        start = time.monotonic()
        one = self.expected.get((name, mode, size), BURST_NS) + SPACE_NS
        count = max(FEWEST, min(MOST, int(BURST_NS / one)))
        crowd = self.crowds[name]
        result = crowd.ask(f"run {mode} {size} 1 {count}")
        if result:
            self.expected[(name, mode, size)] = result[0]
            found[(name, mode, size)] = result
            if crowd.moved is not None:
                found[(name, "moved", size)] = (crowd.moved,) * 3
        time.sleep((time.monotonic() - start) * REST)

    def round(self, turn, progress, left):
        found = {}
        for mode in MODES:
            for size in SIZES:
                progress.say(f"round {turn + 1}, {left():.0f} s left: {mode} {text_of(size)}")
                names = list(self.crowds)
                at = turn % len(names)
                for name in names[at:] + names[:at]:
                    self.measure(name, mode, size, found)
        return found

    def run(self, seconds, progress):
        end = time.monotonic() + seconds
        self.round(0, progress, lambda: seconds)  # how long things take; all memory was touched
        took = 0.0
        # a round is not begun when half of it would be too late
        while not self.rounds or time.monotonic() + took / 2 < end:
            start = time.monotonic()
            self.rounds.append(self.round(len(self.rounds), progress, lambda: max(0, end - time.monotonic())))
            took = time.monotonic() - start


def listed(allowed, kind):
    """A type of argparse: some of what is allowed, with commas between them."""

    def parse(text):
        values = [kind(word) for word in text.split(",")]
        for value in values:
            if value not in allowed:
                raise argparse.ArgumentTypeError(f"{value} is none of {', '.join(map(str, allowed))}")
        return values

    return parse


def options():
    parser = argparse.ArgumentParser(description="one sender and 1 to 8 receivers, ours and MPI_Bcast")
    parser.add_argument("--bin", required=True, help="where the programs of bench/multicast are")
    parser.add_argument("--out", required=True, help="where the results go")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS} s: shows that it works")
    parser.add_argument("--seconds", type=float, help="to measure; more rounds are better")
    parser.add_argument("--only", type=listed(GROUPS, str), default=GROUPS, help="some of " + ",".join(GROUPS))
    parser.add_argument("--receivers", type=listed(RECEIVERS, int), default=RECEIVERS, help="some of 1,2,4,8")
    given = parser.parse_args()
    if given.seconds is None:
        given.seconds = QUICK_SECONDS if given.quick else FULL_SECONDS
    return given


def bench(given, path, crowds):
    progress = Progress()
    room = Room(path)
    processors = len(os.sched_getaffinity(0))
    crowds.extend(c for c in contenders(given.bin, path, given.receivers, processors) if c.group in given.only)
    env = environment(path)
    for crowd in crowds:
        progress.say(f"starting {crowd.name}")
        crowd.start(room, (), 0, env)
    room.close()
    progress.clear()
    ready = sum(not crowd.out for crowd in crowds)
    print(f"{ready} of {len(crowds)} contenders are ready; measuring for {given.seconds:.0f} s", flush=True)
    it = Bench(crowds, given.receivers)
    it.run(given.seconds, progress)
    progress.clear()
    multicast_report.write(it, processors, given.out)


def main():
    given = options()
    signal.signal(signal.SIGTERM, stop)
    # shared memory of a library that wants a file for it belongs in memory
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = tempfile.mkdtemp(prefix="vip-multicast.", dir=base)
    crowds = []
    try:
        os.makedirs(given.out, exist_ok=True)
        bench(given, path, crowds)
    except KeyboardInterrupt:
        print("\nmulticast.py: stopped, no results are written", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        sys.exit(f"multicast.py: {error}")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        clean(crowds, path)


if __name__ == "__main__":
    main()
