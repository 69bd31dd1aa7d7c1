#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ka0.py - messages by the kernel module's device beside write and read of a pipe, and beside emu0.

All take turns, round after round, both ends on this host and on the same processors.
Exit status: 0 when it ran, whether or not targets are met.
"""

import argparse
import json
import os
import statistics
import sys

sys.dont_write_bytecode = True  # nothing is left beside the sources
from perf_cases import KIB, text_of
from perf_pair import Failed
from perf_report import machine, number, print_table, ratio, short
from rdma import Vipl, met, run

SIZES = [8, KIB, 4 * KIB, 64 * KIB]
TARGET = 1.0  # of ka0 against a pipe: one system call for a message, and one copy, against two of each
COUNT = 300
QUICK_COUNT = 20


class Ours(Vipl):
    def __init__(self, given, device):
        super().__init__(argparse.Namespace(bin=given.bin, cpus=given.cpus, device=device))
        self.name = device

    def latency(self, size, count):
        return self.measure("latency", size, count)


class Pipe:
    name = "pipe"

    def __init__(self, given):
        self.given = given

    def latency(self, size, count):
        program = os.path.join(self.given.bin, "pipe_latency")
        return float(run([program, str(size), str(count), *self.given.cpus.split(",")]))


def options():
    parser = argparse.ArgumentParser(description="messages by ka0 beside write and read of a pipe")
    parser.add_argument("--bin", required=True, help="folder of vip_perf and pipe_latency")
    parser.add_argument("--json", help="file for the rows")
    parser.add_argument("--cpus", default="0,1", help="processors of the two ends (default 0,1)")
    parser.add_argument("--rounds", type=int, default=7, help="(default 7)")
    parser.add_argument("--quick", action="store_true", help="one round of few messages: shows that it works")
    return parser.parse_args()


def rounds(given, contenders):
    """{size: [{name: microseconds}, ...]}; who comes first changes."""
    found = {size: [] for size in SIZES}
    for n in range(given.rounds):
        turn = n % len(contenders)
        for size, rows in found.items():
            order = contenders[turn:] + contenders[:turn]
            rows.append({c.name: c.latency(size, QUICK_COUNT if given.quick else COUNT) for c in order})
        print(f"ka0.py: round {n + 1} of {given.rounds}", file=sys.stderr)
    return found


def row_of(size, rows, baseline, target):
    row = {"bench": "latency-ka0", "case": f"latency, {text_of(size)}, ka0 against {baseline}"}
    row |= {"ours": short(statistics.median(r["ka0"] for r in rows))}
    row |= {"baseline": short(statistics.median(r[baseline] for r in rows)), "unit": "us"}
    row |= {"ratio": short(statistics.median(r["ka0"] / r[baseline] for r in rows)), "target": target}
    return row | {"higher_is_better": False}


def results(found):
    rows = [row_of(size, rows, "pipe", TARGET) for size, rows in found.items()]
    return rows + [row_of(size, rows, "emu0", None) for size, rows in found.items()]


def write(rows, given):
    head = ["", "ours", "baseline", "unit", "ratio", "target", ""]
    table = []
    for r in rows:
        last = [f"{r['target']}", met(r)] if r["target"] else ["", ""]
        table.append([r["case"], number(r["ours"]), number(r["baseline"]), r["unit"], ratio(r["ratio"]), *last])
    print(f"{machine()}; {given.rounds} rounds, in turns; processors {given.cpus}")
    print_table(head, table, sys.stdout)
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")


def main():
    given = options()
    if given.quick:
        given.rounds = 1
    try:
        found = rounds(given, [Ours(given, "ka0"), Pipe(given), Ours(given, "emu0")])
    except (Failed, OSError) as error:
        sys.exit(f"ka0.py: {error}")
    write(results(found), given)


if __name__ == "__main__":
    main()
