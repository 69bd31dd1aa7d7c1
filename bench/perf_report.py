# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""perf_report.py - what ./vip bench perf found: tables, perf.json, perf.csv, perf.md and plots."""

import json
import math
import os
import platform
import statistics
import subprocess
import sys

import perf_cases

LICENCE = "SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause"
PLOTS = ["perf-latency.svg", "perf-bandwidth.svg"]


def spread(values):
    """10 % and 90 % of the rounds."""
    values = sorted(values)
    last = len(values) - 1
    return values[round(last * 0.1)], values[round(last * 0.9)]


class Result:
    """A row with its numbers: the medians over the rounds of what was compared within each."""

    def __init__(self, row, rounds, far):
        self.row = row
        ours, theirs, ratios, best = [], [], [], []
        by_pace = {True: [], False: []}
        for this in rounds:
            others = {key[0]: this.found[key][0] for key in row.baseline if key in this.found}
            if row.ours not in this.found or not others:
                continue
            name = min(others, key=others.get)
            a, b = row.value(this.found[row.ours][0]), row.value(others[name])
            ours.append(a)
            theirs.append(b)
            ratios.append(a / b)
            best.append(name)
            by_pace[this.pace[row.ours[1:]] > far].append(a / b)
        self.count = len(ratios)
        if not ratios:
            return
        self.ours = statistics.median(ours)
        self.baseline = statistics.median(theirs)
        self.ratio = statistics.median(ratios)
        self.low, self.high = spread(ratios)
        self.best = statistics.mode(best)
        self.near, self.far = (statistics.median(r) if r else None for r in (by_pace[False], by_pace[True]))

    @property
    def met(self):
        if self.row.target is None:
            return ""
        good = self.ratio >= self.row.target if self.row.higher_is_better else self.ratio <= self.row.target
        return "met" if good else "**missed**"

    def as_json(self):
        return {
            "bench": "perf",
            "case": self.row.case,
            "ours": short(self.ours),
            "baseline": short(self.baseline),
            "unit": self.row.unit,
            "ratio": short(self.ratio),
            "target": self.row.target,
            "higher_is_better": self.row.higher_is_better,
        }

    def cells(self):
        sign = ">=" if self.row.higher_is_better else "<="
        return [
            self.row.case,
            f"{number(self.ours)} {self.row.unit}",
            f"{number(self.baseline)} {self.row.unit}",
            self.best,
            ratio(self.ratio),
            f"{ratio(self.low)} .. {ratio(self.high)}",
            *["" if value is None else ratio(value) for value in (self.near, self.far)],
            "" if self.row.target is None else f"{sign} {self.row.target:.2f}",
            self.met,
        ]


HEAD = ["", "ours", "baseline", "which", "ratio", "10 % .. 90 %", "near", "far", "target", ""]


def ratio(value):
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def short(value):
    return float(f"{value:.6g}")


def number(value):
    return f"{value:.4g}" if value < 1000 else f"{value:.0f}"


def medians(it, far):
    """near and far: (name, test, bytes): median, 10 %, 90 % over their rounds, in nanoseconds; how many."""
    values = {"near": {}, "far": {}}
    for this in it.rounds:
        for key, found in this.found.items():
            pace = "far" if this.pace[key[1:]] > far else "near"
            values[pace].setdefault(key, []).append(found[0])

    def order(key):
        return key[1], key[2], key[0]

    return {
        pace: {key: (statistics.median(v[key]), *spread(v[key]), len(v[key])) for key in sorted(v, key=order)}
        for pace, v in values.items()
    }


def commoner(tables):
    """The pace of which there is more: curves are of one."""
    return max(tables, key=lambda pace: sum(found[3] for found in tables[pace].values()))


def far_from(it):
    """Above this pace the processors are far from each other; infinite when there is one pace only."""
    paces = [pace for this in it.rounds for pace in this.pace.values()]
    if not paces or max(paces) < 2 * min(paces):
        return math.inf
    return math.sqrt(max(paces) * min(paces))


def pace_text(it, far):
    paces = [pace for this in it.rounds for pace in this.pace.values()]
    text = ""
    for name, some in [("near", [p for p in paces if p <= far]), ("far", [p for p in paces if p > far])]:
        if some:
            text += f"{name}: {statistics.median(some):.0f} ns in {len(some)} comparisons; "
    return f"a cache line from one processor to the other: {text}repeated or left out, as that changed within: " + (
        f"{it.unsteady} of {it.passes}"
    )


def machine():
    model = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "")
    except OSError:
        pass
    return f"{platform.system()} {platform.release()}, {model or platform.machine()}, {os.cpu_count()} processors"


def method(it, processors, burst_ms, far):
    """Lines that say how it was measured, and with what."""
    lines = [
        machine(),
        f"{len(it.rounds)} rounds, bursts of {burst_ms:.0f} ms, one contender after the other in an order that "
        f"rotates; ranks on processors {processors[0]} and {processors[1]}",
        "latency, one-way time: half a round trip, the receive posted before; bandwidth and rate: a stream one way "
        "with a window of messages, each half of it acknowledged; the same buffer each time, which nobody writes or "
        "reads, unless it says 'written and read': then each end writes every cache line of a message before it "
        "sends it, and reads every one of what it received, and the time is that of it all",
        "a ratio is the median of the ratios within each round; the best peer is the best of that round",
        pace_text(it, far),
        "contenders:",
    ]
    for pair in it.pairs.values():
        lines.append(f"  {pair.name}: " + (f"missing: {pair.out}" if pair.out else pair.about))
    for size in [8, *perf_cases.BANDWIDTH_SIZES]:
        windows = [f"{n} {w}" for (n, s), w in it.windows.items() if s == size]
        if windows:
            lines.append(f"  best window at {perf_cases.text_of(size)}: " + ", ".join(windows))
    return lines


def print_table(head, rows, to):
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip(), file=to)


def markdown(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def by_size(table, test, names, value):
    """A line for each size, a column for each contender."""
    sizes = sorted({key[2] for key in table if key[1] == test})
    rows = []
    for size in sizes:
        found = [table.get((name, test, size)) for name in names]
        rows.append([perf_cases.text_of(size), *[number(value(size, f[0])) if f else "" for f in found]])
    return rows


def curves(it, table):
    """Title, head and rows of each table beside the targets'."""
    names = [n for n in [*perf_cases.MEMORY, *it.peers] if n in it.pairs]
    big = {key: v for key, v in table.items() if key[2] != 8}
    return [
        ("One way in microseconds", ["bytes", *names], by_size(table, "latency", names, lambda _, ns: ns / 1000)),
        (
            "One way in microseconds, written and read",
            ["bytes", *names],
            by_size(table, "touched", names, lambda _, ns: ns / 1000),
        ),
        ("Bandwidth in GB/s", ["bytes", *names], by_size(big, "bandwidth", names, lambda size, ns: size / ns)),
        (
            "memcpy of data that the other processor has just written, in GB/s",
            ["bytes", "memcpy"],
            by_size(table, "cold", ["limit"], lambda size, ns: size / ns),
        ),
        (
            "VipRegisterMem of private memory in microseconds",
            ["bytes", "register", "in the cache"],
            by_size(table, "local", ["private", "regcache"], lambda _, ns: ns / 1000),
        ),
    ]


def write_csv(it, tables, lines, path):
    with open(path, "w", encoding="utf-8") as out:
        print("#", LICENCE, file=out)
        for line in lines:
            print("#", line, file=out)
        print("pace,contender,group,test,bytes,window,rounds,median_ns,p10_ns,p90_ns", file=out)
        for pace, table in tables.items():
            for (name, test, size), (median, low, high, count) in table.items():
                window = it.windows.get((name, size), "") if test == "bandwidth" else ""
                row = [pace, name, it.pairs[name].group, test, size, window, count]
                print(*row, *[f"{ns:.2f}" for ns in (median, low, high)], sep=",", file=out)


def write_markdown(results, tables, lines, path):
    with open(path, "w", encoding="utf-8") as out:
        print(f"<!-- {LICENCE} -->", file=out)
        print("# ./vip bench perf\n", file=out)
        for line in lines:
            print(f"  - {line.strip()}" if line.startswith(" ") else f"- {line}", file=out)
        print(file=out)
        print("\n".join(markdown(HEAD, [r.cells() for r in results])), file=out)
        for title, head, rows in tables:
            if rows:
                print(f"\n### {title}\n", file=out)
                print("\n".join(markdown(head, rows)), file=out)


def plot(bench, names, out, settings=""):
    """Without gnuplot there are no plots, and that is said."""
    here = os.path.dirname(os.path.abspath(__file__))
    script = os.path.join(here, f"{bench}.gnuplot")
    try:
        given = f"csv='{out}/{bench}.csv'; dir='{out}'; {settings}"
        subprocess.run(["gnuplot", "-e", given, script], check=True, capture_output=True)
    except FileNotFoundError:
        print(f"{bench}.py: no plots: gnuplot is not installed", file=sys.stderr)
        return []
    except subprocess.CalledProcessError as error:
        print(f"{bench}.py: no plots: gnuplot: {error.stderr.decode().strip()}", file=sys.stderr)
        return []
    for name in names:
        path = os.path.join(out, name)
        with open(path, encoding="utf-8") as file:
            first, rest = file.read().split("\n", 1)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{first}\n<!-- {LICENCE} -->\n{rest}")
    return names


def write(it, processors, burst_ms, out):
    far = far_from(it)
    results = [Result(row, it.rounds, far) for row in perf_cases.rows(it.peers, it.ucx)]
    left_out = [r.row.case for r in results if not r.count]
    results = [r for r in results if r.count]
    by_pace = medians(it, far)
    pace = commoner(by_pace)
    lines = method(it, processors, burst_ms, far)
    if far < math.inf:
        lines.append(f"curves by size are of the rounds in which the processors were {pace}; perf.csv has both")
    tables = curves(it, by_pace[pace])

    print("\n".join(lines), end="\n\n")
    print_table(HEAD, [r.cells() for r in results], sys.stdout)
    for title, head, rows in tables:
        if rows:
            print(f"\n{title}")
            print_table(head, rows, sys.stdout)
    if left_out:
        print("\nnot compared, as one side is missing: " + "; ".join(left_out))

    write_csv(it, by_pace, lines, os.path.join(out, "perf.csv"))
    write_markdown(results, tables, lines, os.path.join(out, "perf.md"))
    with open(os.path.join(out, "perf.json"), "w", encoding="utf-8") as file:
        json.dump([r.as_json() for r in results], file, indent=1)
        file.write("\n")
    names = ["perf.json", "perf.csv", "perf.md", *plot("perf", PLOTS, out, f"pace='{pace}'")]
    print(f"\n{', '.join(names)} are in {out}")
