# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""multicast_report.py - what ./vip bench multicast found: tables, multicast.json, .csv, .md and plots."""

import json
import os
import statistics
import sys

from perf_cases import KIB, MIB, text_of
from perf_report import LICENCE, machine, markdown, number, plot, print_table, short, spread

PLOTS = ["multicast-time.svg", "multicast-work.svg"]
HEAD = ["", "ours", "baseline", "which", "ratio", "10 % .. 90 %", "target", ""]

MODE_TEXT = {
    "arrived": "Until the last receiver knows that all data are there, in microseconds",
    "read": "Until the last receiver has summed all data, in microseconds",
    "work": "Processor time of all processes, in microseconds",
    "moved": "Bytes moved",
}
MODE_CASE = {"arrived": "time until all have", "read": "time until all have read", "work": "processor time of"}
KINDS = {
    "shared": "one segment, 1 send",
    "segments": "N segments, N sends",
    "private": "N private buffers, N sends",
    "openmpi": "Open MPI",
    "mpich": "MPICH",
}
AGAINST_MPI = "the better MPI's broadcast"


class Row:
    """Ours against the best of the baseline's contenders, round by round."""

    def __init__(self, case, mode, size, ours, baseline, target=None):
        self.case = case
        self.ours = (ours, mode, size)
        self.baseline = [(name, mode, size) for name in baseline]
        self.unit = "bytes" if mode == "moved" else "us"
        self.scale = 1 if mode == "moved" else 1000
        self.target = target

    def fill(self, rounds):
        """False: one side is missing."""
        ours, theirs, ratios, best = [], [], [], []
        for found in rounds:
            others = {key[0]: found[key][0] for key in self.baseline if key in found}
            if self.ours not in found or not others:
                continue
            name = min(others, key=others.get)
            ours.append(found[self.ours][0] / self.scale)
            theirs.append(others[name] / self.scale)
            ratios.append(ours[-1] / theirs[-1])
            best.append(name)
        if not ratios:
            return False
        self.value, self.other, self.ratio = (statistics.median(v) for v in (ours, theirs, ratios))
        self.low, self.high = spread(ratios)
        self.best = statistics.mode(best)
        return True

    def exact(self, value):
        return int(value) if self.unit == "bytes" else short(value)

    def as_json(self):
        return {
            "bench": "multicast",
            "case": self.case,
            "ours": self.exact(self.value),
            "baseline": self.exact(self.other),
            "unit": self.unit,
            "ratio": short(self.ratio),
            "target": self.target,
            "higher_is_better": False,
        }

    def cells(self):
        return [
            self.case,
            f"{number(self.value)} {self.unit}",
            f"{number(self.other)} {self.unit}",
            self.best,
            f"{self.ratio:.2f}",
            f"{self.low:.2f} .. {self.high:.2f}",
            "" if self.target is None else f"<= {self.target:.2f}",
            "" if self.target is None else "met" if self.ratio <= self.target else "**missed**",
        ]


def people(n):
    return f"{n} receiver" if n == 1 else f"{n} receivers"


def rows(sizes, numbers):
    """All comparisons; those with a target first."""
    found = []
    for mode, text in MODE_CASE.items():
        for size in sizes:
            for n in numbers:
                of = f"{text} {text_of(size)}, {people(n)}, one segment, against"
                at_target = (mode, size, n) == ("arrived", MIB, 8)
                ours = f"shared-{n}"
                if n > 1 and 1 in numbers:
                    found.append(Row(f"{of} 1 receiver", mode, size, ours, ["shared-1"], 1.2 if at_target else None))
                mpi = [f"openmpi-{n}", f"mpich-{n}"]
                found.append(Row(f"{of} {AGAINST_MPI}", mode, size, ours, mpi, 0.3 if at_target else None))
                for kind in ["segments", "private"]:
                    found.append(Row(f"{of} {KINDS[kind]}", mode, size, ours, [f"{kind}-{n}"]))
    for size in sizes:
        for n in numbers:
            case = f"bytes moved of {text_of(size)}, {people(n)}, one segment, against {KINDS['private']}"
            found.append(Row(case, "moved", size, f"shared-{n}", [f"private-{n}"]))
    return sorted(found, key=lambda row: row.target is None)


def medians(rounds):
    """(name, mode, bytes): median, 10 %, 90 % over the rounds, in nanoseconds; how many rounds."""
    table = {}
    for key in sorted({key for found in rounds for key in found}, key=lambda k: (k[1], k[2], k[0])):
        values = [found[key][0] for found in rounds if key in found]
        table[key] = (statistics.median(values), *spread(values), len(values))
    return table


def by_number(table, mode, sizes, numbers, kinds):
    """A line for each size and number of receivers, a column for each kind."""
    lines = []
    for size in sizes:
        for n in numbers:
            line = [text_of(size), str(n)]
            for kind in kinds:
                found = table.get((f"{kind}-{n}", mode, size))
                if mode == "moved":
                    line.append(f"{found[0]:.0f}" if found else "not counted")
                else:
                    line.append(number(found[0] / 1000) if found else "")
            lines.append(line)
    return lines


def method(it, processors):
    """Lines that say how it was measured, and with what."""
    lines = [
        machine(),
        f"{len(it.rounds)} rounds; in each, all contenders one after the other in an order that rotates, some "
        "operations each; a time is the median over the rounds of the medians of a round, a ratio the median of the "
        "ratios within each round; the better MPI is the better one of that round",
        "before an operation all receivers wait for it in their own way, for 100 us; the sender starts the clock; all "
        "times are of one clock; the latest receiver counts.  arrived: it knows that all data are there (MPI_Bcast has "
        "returned); read: it has summed all bytes.  The sums are checked each time",
        "processor time: what all processes spend in their calls, from sending to giving the buffer back; they all "
        "come at the same time, and nobody waits before",
        "bytes moved: by our NIC, as VipxInspect counts them.  MPI does not count; each rank has a buffer of its own, "
        "so at least N times the data are written",
        f"each process is bound to a processor, in turns over {processors}, with a real-time priority if that is "
        "allowed, all contenders alike",
        "contenders:",
    ]
    for crowd in it.crowds.values():
        lines.append(f"  {crowd.name}: " + (f"missing: {crowd.out}" if crowd.out else settings(crowd)))
    return lines


def settings(crowd):
    """What it says of itself, and how it was started; not where its files are."""
    if crowd.group == "softvia":
        return crowd.about
    words, launcher = [], iter(crowd.launcher)
    for word in launcher:
        if word != "--mca":
            words.append(word)
            continue
        key, value = next(launcher), next(launcher)
        if not value.startswith("/"):
            words.append(f"{key}={value}")
    call = "MPI_Ibcast, MPI_Test, sched_yield" if "yield" in crowd.words else "MPI_Bcast"
    return f"{crowd.about}, {call}: {' '.join(words)}"


def write_csv(table, lines, path):
    with open(path, "w", encoding="utf-8") as out:
        print("#", LICENCE, file=out)
        for line in lines:
            print("#", line, file=out)
        print("contender,receivers,what,bytes,rounds,median,p10,p90", file=out)
        for (name, mode, size), (median, low, high, count) in table.items():
            kind, n = name.rsplit("-", 1)
            print(f"{kind},{n},{mode},{size},{count},{median:.0f},{low:.0f},{high:.0f}", file=out)


def write_markdown(results, tables, lines, path):
    with open(path, "w", encoding="utf-8") as out:
        print(f"<!-- {LICENCE} -->", file=out)
        print("# ./vip bench multicast\n", file=out)
        for line in lines:
            print(f"  - {line.strip()}" if line.startswith(" ") else f"- {line}", file=out)
        print(file=out)
        print("\n".join(markdown(HEAD, [r.cells() for r in results])), file=out)
        for title, head, body in tables:
            print(f"\n### {title}\n", file=out)
            print("\n".join(markdown(head, body)), file=out)


def worth_a_line(row):
    """Of the many comparisons: those with a target, and of 1 MiB to the most receivers."""
    return row.target is not None or (row.ours[0] == "shared-8" and row.ours[2] == MIB)


def write(it, processors, out):
    table = medians(it.rounds)
    sizes = sorted({key[2] for key in table})
    all_rows = rows(sizes, it.numbers)
    results = [row for row in all_rows if row.fill(it.rounds)]
    left_out = len(all_rows) - len(results)
    lines = method(it, processors)
    kinds = [kind for kind in KINDS if any(crowd.kind == kind for crowd in it.crowds.values())]
    head = ["bytes", "N", *[KINDS[kind] for kind in kinds]]
    tables = [(text, head, by_number(table, mode, sizes, it.numbers, kinds)) for mode, text in MODE_TEXT.items()]
    main = [row for row in results if worth_a_line(row)]

    print("\n".join(lines), end="\n\n")
    print_table(HEAD, [row.cells() for row in main], sys.stdout)
    for title, columns, body in tables:
        print(f"\n{title}")
        print_table(columns, body, sys.stdout)
    if left_out:
        print(f"\n{left_out} comparisons are left out, as one side is missing")

    write_csv(table, lines, os.path.join(out, "multicast.csv"))
    write_markdown(main, tables, lines, os.path.join(out, "multicast.md"))
    with open(os.path.join(out, "multicast.json"), "w", encoding="utf-8") as file:
        json.dump([row.as_json() for row in results], file, indent=1)
        file.write("\n")
    names = ["multicast.json", "multicast.csv", "multicast.md", *plot("multicast", PLOTS, out)]
    print(f"\n{', '.join(names)} are in {out}")
