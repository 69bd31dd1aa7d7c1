# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""perf_cases.py - who is compared with whom by ./vip bench perf, in which cases, with which targets."""

import os

from perf_pair import Pair

KIB = 1024
MIB = 1024 * 1024

TOUCHED_SIZES = [4 * KIB, 64 * KIB, MIB, 4 * MIB]
LATENCY_SIZES = [1, 8, 64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB]
BANDWIDTH_SIZES = [4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB]
REGISTER_SIZES = [4 * KIB, 64 * KIB, MIB, 4 * MIB]
MAX_BYTES = 4 * MIB
COLD_BYTES = MIB

RATE_WINDOWS = [32, 64, 128, 256]
BANDWIDTH_WINDOWS = [4, 16, 64]
WINDOW_BYTES = 16 * MIB  # at most, but for the smallest

MEMORY = ["private", "segment", "memfd"]
MEMORY_TEXT = {
    "private": "malloc'ed memory",
    "segment": "shared segment",
    "memfd": "sealed memfd",
}
IDLE = [1, 10, 100, 1000]
LIMITS = ["limit", "eventfd"]
PEER_GROUPS = ["ucx", "openmpi", "mpich", "ofi"]

# A peer's environment is ours alone: what is stated is what runs.
CLEARED = ("UCX_", "FI_", "OMPI_", "PMIX_", "MPIR_", "MPICH_", "HYDRA_", "PRTE_")


def text_of(size):
    if size >= MIB:
        return f"{size // MIB} MiB"
    return f"{size // KIB} KiB" if size >= KIB else f"{size} B"


def contenders(binaries, room):
    """All of them, whether or not they are there."""

    def program(name):
        return os.path.join(binaries, "peer_" + name)

    def ours(kind, **settings):
        return Pair(kind, "softvia", program("vipl"), kind, env=settings)

    def ucx(name, transports, **settings):
        return Pair(name, "ucx", program("ucx"), name, env={"UCX_TLS": transports + ",self", **settings})

    def openmpi(name, settings):
        mca = f"pml ob1 btl self,vader btl_vader_eager_limit 32768 {settings}".split()
        folders = ["orte_tmpdir_base", room, "btl_vader_backing_directory", room]
        launcher = "mpirun.openmpi -np 2 --oversubscribe --bind-to none".split()
        for key, value in zip(*[iter(mca + folders)] * 2):
            launcher += ["--mca", key, value]
        root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        return Pair(name, "openmpi", program("openmpi"), " ".join(mca), launcher, root)

    def mpich(name, **settings):
        launcher = "mpirun.mpich -np 2 -bind-to none".split()
        return Pair(name, "mpich", program("mpich"), "netmod UCX", launcher, {"MPIR_CVAR_NOLOCAL": "1", **settings})

    # The best of what was tried: larger pieces where data are copied twice, and single copies only
    # from where they pay.
    posix = {"UCX_POSIX_SEG_SIZE": "49152"}
    cma = {"UCX_RNDV_THRESH": "65536"}
    return [
        Pair("limit", "limit", program("limit"), "futex"),
        Pair("eventfd", "limit", program("limit"), "eventfd"),
        *[ours(kind) for kind in [*MEMORY, "cq", "waiting"]],
        *[ours(f"idle-{n}") for n in IDLE],
        ours("regcache", VIPL_REG_CACHE="on"),
        ucx("ucx-posix", "posix", **posix),
        ucx("ucx-sysv", "sysv", UCX_SYSV_SEG_SIZE="49152"),
        ucx("ucx-cma", "posix,cma", **posix, **cma),
        openmpi("openmpi-cma", "btl_vader_single_copy_mechanism cma"),
        openmpi("openmpi-copy", "btl_vader_single_copy_mechanism none"),
        mpich("mpich-cma", UCX_TLS="posix,cma,self", **cma),
        mpich("mpich-copy", UCX_TLS="posix,self", **posix),
        Pair("ofi-cma", "ofi", program("ofi"), "cma"),
        Pair("ofi-copy", "ofi", program("ofi"), "copy", env={"FI_SHM_DISABLE_CMA": "1"}),
    ]


class Cell:
    """One test at one size, and who takes part: in each round one after the other."""

    def __init__(self, test, size, names, windows=None):
        self.test = test
        self.size = size
        self.names = names
        self.windows = windows


def cells(names, peers):
    """What a round consists of, when there are names."""
    all_latency = [*MEMORY, *peers]
    at_8 = ["limit", *all_latency, "cq", *[f"idle-{n}" for n in IDLE]]
    found = [Cell("latency", size, at_8 if size == 8 else all_latency) for size in LATENCY_SIZES]
    found += [Cell("touched", size, all_latency) for size in TOUCHED_SIZES]
    for size in BANDWIDTH_SIZES:
        windows = [w for w in BANDWIDTH_WINDOWS if w * size <= WINDOW_BYTES]
        found.append(Cell("bandwidth", size, [*MEMORY, *peers], windows))
    found.append(Cell("bandwidth", 8, ["private", *peers], RATE_WINDOWS))
    for size in BANDWIDTH_SIZES:
        found.append(Cell("cold", size, ["limit", *(["segment", "memfd"] if size == COLD_BYTES else [])]))
    found.append(Cell("wake", 8, ["waiting", *LIMITS]))
    found += [Cell("local", size, ["private", "regcache"]) for size in REGISTER_SIZES]
    for cell in found:
        cell.names = [name for name in cell.names if name in names]
    return [cell for cell in found if cell.names]


class Row:
    """A comparison: ours against the best of the names of the baseline, round by round.

    how: 'us' - time; 'GB/s', 'M/s' - what is counted in the time, and more is better.
    """

    def __init__(self, case, test, size, ours, baseline, how="us", target=None):
        self.case = case
        self.ours = (ours, test, size)
        self.baseline = [(name, test, size) for name in baseline]
        self.unit = how
        self.target = target

    @property
    def higher_is_better(self):
        return self.unit != "us"

    def value(self, ns):
        if self.unit == "GB/s":
            return self.ours[2] / ns
        return 1000 / ns if self.unit == "M/s" else ns / 1000


def rows(peers, ucx):
    """All comparisons; those with a target first."""
    best = "the best peer"
    found = [
        Row("latency of 8 B against the hand-over of a cache line", "latency", 8, "private", ["limit"], target=1.5)
    ]
    for size in [8, 64, KIB, 4 * KIB]:
        found.append(
            Row(f"latency of {text_of(size)} against {best}", "latency", size, "private", peers, target=0.8)
        )
    for size in [64 * KIB, MIB, 4 * MIB]:
        for kind, target in [("segment", 0.8), ("memfd", 0.8), ("private", 1.0)]:
            case = f"one-way time of {text_of(size)}, {MEMORY_TEXT[kind]}, against {best}"
            found.append(Row(case, "latency", size, kind, peers, target=target))
    for kind, target in [("segment", 1.15), ("memfd", None)]:
        case = f"{text_of(COLD_BYTES)} into a {MEMORY_TEXT[kind]} against memcpy of the same cold data"
        found.append(Row(case, "cold", COLD_BYTES, kind, ["limit"], target=target))
    found.append(
        Row("message rate of 8 B, one VI, against UCX", "bandwidth", 8, "private", ucx, "M/s", target=1.5)
    )
    for n in IDLE[:0:-1]:
        found.append(
            Row(
                f"latency of 8 B with {n} idle connected VIs against with 1",
                "latency",
                8,
                f"idle-{n}",
                ["idle-1"],
                target=1.1 if n == 1000 else None,
            )
        )
    found.append(
        Row("latency of 8 B with 1 idle connected VI against with none", "latency", 8, "idle-1", ["private"])
    )
    found.append(
        Row("latency of 8 B, completion queue against direct Done", "latency", 8, "cq", ["private"], target=1.2)
    )
    case = "VipRegisterMem of 64 KiB that the registration cache has, against without it"
    found.append(Row(case, "local", 64 * KIB, "regcache", ["private"], target=0.02))
    for size in TOUCHED_SIZES:
        for kind in MEMORY:
            case = f"one-way time of {text_of(size)}, written and read, {MEMORY_TEXT[kind]}, against {best}"
            found.append(Row(case, "touched", size, kind, peers))
    found.append(Row("message rate of 8 B against the best peer", "bandwidth", 8, "private", peers, "M/s"))
    for size in BANDWIDTH_SIZES:
        for kind in MEMORY:
            case = f"bandwidth of {text_of(size)}, {MEMORY_TEXT[kind]}, against {best}"
            found.append(Row(case, "bandwidth", size, kind, peers, "GB/s"))
    found.append(Row("waking: VipRecvWait against futex or eventfd", "wake", 8, "waiting", LIMITS))
    return sorted(found, key=lambda row: row.target is None)
