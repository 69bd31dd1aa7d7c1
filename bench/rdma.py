#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""rdma.py - VIPL over an RDMA device beside perftest's ib_send_lat and ib_send_bw on the same one.

Both run in turns, round after round, both ends on this host and on the same two
processors, so that whatever the machine does meanwhile it does to both.  Or all on
one processor, whose clock counts instructions.  Exit status: 0 when it ran, whether
or not targets are met.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # nothing is left beside the sources
from perf_cases import KIB, MIB, text_of
from perf_pair import Failed
from perf_report import machine, number, print_table, ratio, short

LATENCY_SIZES = [8, KIB, 4 * KIB, 64 * KIB, MIB]
BANDWIDTH_SIZES = [4 * KIB, 64 * KIB, MIB]
TARGETS = {"latency": 1.15, "bandwidth": 0.9}
UNITS = {"latency": "us", "bandwidth": "MB/s"}
START_SECONDS = 20  # a server of perftest listens by then
RUN_SECONDS = 120


def run(words, env=None):
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=RUN_SECONDS, check=False, env=env)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{words[0]}: no end within {RUN_SECONDS} s") from error
    if done.returncode:
        raise Failed(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


class Vipl:
    """Both ends in one command."""

    def __init__(self, given):
        self.given = given

    def measure(self, what, size, count):
        test = {"latency": "lat", "bandwidth": "bw"}[what]
        words = [os.path.join(self.given.bin, "vip_perf"), test, "-d", self.given.device, "-s", str(size)]
        rows = json.loads(run([*words, "-n", str(count), "--cpus", self.given.cpus, "--json", "-q"]))
        return rows[0]["median"]


class Perftest:
    def __init__(self, given):
        self.given = given
        self.port = 18515
        self.env = os.environ | ({"LD_PRELOAD": given.counted} if given.counted else {})

    def measure(self, what, size, count):
        program = {"latency": "ib_send_lat", "bandwidth": "ib_send_bw"}[what]
        self.port += 1  # the last one's may still be in TIME_WAIT
        words = [program, "-d", self.given.device, "-x", self.given.gid, "-s", str(size), "-n", str(max(count, 5))]
        words += ["-F", "-p", str(self.port)]
        here, there = [["taskset", "-c", cpu, *words] for cpu in self.given.cpus.split(",")]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(there, env=self.env, **pipes) as server:
            try:
                text = self._client(server, [*here, "localhost"])
                server.communicate(timeout=START_SECONDS)
            except subprocess.TimeoutExpired:
                pass  # its measuring is over
            finally:
                server.kill()
        fields = [line.split() for line in text.splitlines() if line.split()[:1] == [str(size)]]
        if not fields:
            raise Failed(f"{program}: no result in: {text.strip()[-300:]}")
        # latency: bytes, iterations, min, max, typical; bandwidth: bytes, iterations, peak, average in MiB/s
        return float(fields[0][4]) if what == "latency" else float(fields[0][3]) * MIB / 1e6

    def _client(self, server, words):
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return run(words, self.env)
            except Failed:
                if server.poll() is not None:
                    raise Failed(f"{words[3]}: {server.stderr.read().strip()[-300:]}") from None
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)


def options():
    parser = argparse.ArgumentParser(description="VIPL over an RDMA device beside ib_send_lat and ib_send_bw")
    parser.add_argument("--device", default="rxe0", help="RDMA device (default rxe0)")
    parser.add_argument("--gid", default="1", help="index of its GID for perftest (default 1)")
    parser.add_argument("--bin", required=True, help="folder of vip_perf")
    parser.add_argument("--json", action="store_true", help="the rows as JSON in the last line, too")
    parser.add_argument("--cpus", default="0,1", help="processors of the two ends (default 0,1)")
    parser.add_argument("--rounds", type=int, default=9, help="(default 9)")
    counted = "on one processor, whose clock counts instructions: LIBRARY (libpoll_yields.so), preloaded to perftest, "
    counted += "gives it away after a poll without anything; up to 64 KiB"
    parser.add_argument("--counted", metavar="LIBRARY", help=counted)
    parser.add_argument("--quick", action="store_true", help="one round of few messages: shows that it works")
    given = parser.parse_args()
    if given.counted:
        given.cpus = "0,0"
    return given


def count_of(what, size, quick):
    """Messages of a turn: half a second, and the machine is disturbed for less; an emulated processor moves 50 MB/s."""
    if quick:
        return 20
    return max(20, min(5000, 16 * MIB // size)) if what == "latency" else max(30, min(4000, 32 * MIB // size))


def rounds(given, contenders, cases):
    """{case: [(ours, baseline), ...]}; a line for each round on standard error."""
    found = {case: [] for case in cases}
    total = 1 if given.quick else given.rounds
    for n in range(total):
        for case in cases:
            order = contenders if n % 2 == 0 else contenders[::-1]
            values = {c: c.measure(*case, count_of(*case, given.quick)) for c in order}
            found[case].append(tuple(values[c] for c in contenders))
        print(f"rdma.py: round {n + 1} of {total}", file=sys.stderr)
    return found


def results(found):
    rows = []
    for (what, size), pairs in found.items():
        ours, theirs = (statistics.median(values) for values in zip(*pairs))
        row = {"bench": "rdma", "case": f"{what}, {text_of(size)}, against perftest", "ours": short(ours)}
        row |= {"baseline": short(theirs), "unit": UNITS[what]}
        row |= {"ratio": short(statistics.median(a / b for a, b in pairs)), "target": TARGETS[what]}
        rows.append(row | {"higher_is_better": what == "bandwidth"})
    return rows


def met(row):
    good = row["ratio"] >= row["target"] if row["higher_is_better"] else row["ratio"] <= row["target"]
    return "met" if good else "MISSED"


def write(rows, given, count):
    head = ["", "ours", "perftest", "unit", "ratio", "target", ""]
    table = [
        [r["case"], number(r["ours"]), number(r["baseline"]), r["unit"], ratio(r["ratio"]), f"{r['target']}", met(r)]
        for r in rows
    ]
    print(f"{machine()}; device {given.device}; {count} rounds, in turns; processors {given.cpus}")
    print_table(head, table, sys.stdout)
    if given.json:
        print(json.dumps(rows))


def main():
    given = options()
    cases = [("latency", s) for s in LATENCY_SIZES] + [("bandwidth", s) for s in BANDWIDTH_SIZES]
    if given.counted:  # who waits for 1 MiB has had all of his time slice before it is there
        cases = [(what, size) for what, size in cases if size < MIB]
    try:
        found = rounds(given, [Vipl(given), Perftest(given)], cases)
    except (Failed, OSError) as error:
        sys.exit(f"rdma.py: {error}")
    write(results(found), given, 1 if given.quick else given.rounds)


if __name__ == "__main__":
    main()
