# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# perf.gnuplot - time and bandwidth over the size, all contenders, from what
# perf.py measured.
#
# gnuplot -e "csv='perf.csv'; dir='docs/results'; pace='near'" perf.gnuplot

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

# Ours are blue, thick and first; peers have a colour each; what the machine takes is grey.
names = system("awk -F, '$4 == \"latency\" && $5 == 4096 && !seen[$2]++ { print $3 != \"softvia\", $2 }' '" . csv . \
	       "' | sort | cut -d' ' -f2")
colour(name) = name eq "private" ? "#1f5fa8" : name eq "segment" ? "#4a90d9" : name eq "memfd" ? "#7fb8ee" : \
	       name[1:3] eq "ope" ? "#d9730d" : name[1:3] eq "mpi" ? "#b03060" : name[1:3] eq "ofi" ? "#2e8b57" : \
	       name eq "ucx-sysv" ? "#b79be0" : "#5a3a99"
dash(name) = strstrt(name, "-copy") || name eq "ucx-posix" ? 2 : 1 # copied twice
ours(name) = name eq "private" || name eq "segment" || name eq "memfd"
label(name) = ours(name) ? "softvia, " . name : name

# The lines of one contender in one test, by size.
of(name, test, least) = "< awk -F, '$1 == \"" . pace . "\" && $2 == \"" . name . "\" && $4 == \"" . test . \
			"\" && $5 >= " . least . "' '" . csv . "' | sort -t, -k5n"

set output dir . "/perf-latency.svg"
set title "One way: half a round trip"
set ylabel "time (µs)"
set xrange [0.8:6e6]
plot for [n in names] of(n, "latency", 1) using 5:($8 / 1000) with linespoints \
     lw (ours(n) ? 3 : 1.5) dt dash(n) pt (ours(n) ? 7 : 5) ps 0.5 lc rgb colour(n) title label(n)

set output dir . "/perf-bandwidth.svg"
set title "Bandwidth: a stream in one direction"
set ylabel "GB/s"
set xrange [3000:6e6]
set key outside right top
unset logscale y
set yrange [0:*]
plot for [n in names] of(n, "bandwidth", 4096) using 5:($5 / $8) with linespoints \
     lw (ours(n) ? 3 : 1.5) dt dash(n) pt (ours(n) ? 7 : 5) ps 0.5 lc rgb colour(n) title label(n), \
     of("limit", "cold", 1) using 5:($5 / $8) with lines lw 1.5 dt 2 lc rgb "#888888" title "memcpy, cold data"
