# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# perf.gnuplot - time and bandwidth over the size, all contenders, from what
# perf.py measured.
#
# gnuplot -e "csv='perf.csv'; dir='docs/results'" perf.gnuplot

set datafile separator ","
set terminal svg size 960,640 noenhanced font "sans-serif,14" background "white"
set key left top Left reverse samplen 3 spacing 1.15
set logscale xy
set xtics ("1" 1, "8" 8, "64" 64, "1 Ki" 1024, "4 Ki" 4096, "16 Ki" 16384, "64 Ki" 65536, "256 Ki" 262144, \
	   "1 Mi" 1048576, "4 Mi" 4194304)
set xlabel "size (bytes)"
set grid xtics ytics back lt 1 lw 1 lc rgb "#dddddd"
set border 3
set tics nomirror

# Ours are blue, thick; peers have a colour each; what the machine takes is grey.
names = system("awk -F, '$3 == \"latency\" && $2 != \"limit\" && $4 == 4096 && !seen[$1]++ { print $1 }' '" . csv . "'")
colour(name) = name eq "private" ? "#1f5fa8" : name eq "segment" ? "#4a90d9" : name eq "memfd" ? "#7fb8ee" : \
	       name eq "openmpi" ? "#d9730d" : name eq "mpich" ? "#b03060" : name eq "ofi-shm" ? "#2e8b57" : \
	       name eq "ucx-posix" ? "#7a4fb5" : name eq "ucx-sysv" ? "#a986d6" : "#55307f"
ours(name) = name eq "private" || name eq "segment" || name eq "memfd"
label(name) = ours(name) ? "softvia, " . name : name
of(name, test) = strcol(1) eq name && strcol(3) eq test && !(test eq "bandwidth" && column(4) < 4096)

set output dir . "/perf-latency.svg"
set title "One way: half a round trip"
set ylabel "time (µs)"
set xrange [0.8:6e6]
plot for [n in names] csv using (of(n, "latency") ? column(4) : NaN):($7 / 1000) with linespoints \
     lw (ours(n) ? 3 : 1.5) pt (ours(n) ? 7 : 5) ps 0.5 lc rgb colour(n) title label(n)

set output dir . "/perf-bandwidth.svg"
set title "Bandwidth: a stream in one direction"
set ylabel "GB/s"
set xrange [3000:6e6]
set yrange [*:*]
set key right bottom
unset logscale y
set yrange [0:*]
plot for [n in names] csv using (of(n, "bandwidth") ? column(4) : NaN):($4 / $7) with linespoints \
     lw (ours(n) ? 3 : 1.5) pt (ours(n) ? 7 : 5) ps 0.5 lc rgb colour(n) title label(n), \
     csv using (of("limit", "cold") ? column(4) : NaN):($4 / $7) with lines lw 1.5 dt 2 lc rgb "#888888" \
     title "memcpy of what the other processor has just written"
