# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# multicast.gnuplot - time and processor time of 1 MiB over the number of
# receivers, all contenders, from what multicast.py measured.
#
# gnuplot -e "csv='multicast.csv'; dir='docs/results'" multicast.gnuplot

set datafile separator ","
set terminal svg size 960,640 noenhanced font "sans-serif,14" background "white"
set key left top Left reverse samplen 3 spacing 1.15
set logscale xy
set xrange [0.9:9]
set xtics ("1" 1, "2" 2, "4" 4, "8" 8)
set xlabel "receivers"
set grid xtics ytics back lt 1 lw 1 lc rgb "#dddddd"
set border 3
set tics nomirror

names = system("awk -F, '$3 == \"arrived\" && !seen[$1]++ { print $1 }' '" . csv . "'")
colour(name) = name eq "shared" ? "#1f5fa8" : name eq "segments" ? "#4a90d9" : name eq "private" ? "#7fb8ee" : \
	       name eq "openmpi" ? "#d9730d" : "#b03060"
label(name) = name eq "shared" ? "softvia, one segment, 1 send" : name eq "segments" ? "softvia, N segments, N sends" : \
	      name eq "private" ? "softvia, N private buffers, N sends" : name eq "openmpi" ? "Open MPI" : "MPICH"
of(name, what) = "< awk -F, '$1 == \"" . name . "\" && $3 == \"" . what . "\" && $4 == 1048576' '" . csv . \
		 "' | sort -t, -k2n"

set ylabel "time (µs)"
set output dir . "/multicast-time.svg"
set title "1 MiB: until the last receiver has it"
plot for [n in names] of(n, "arrived") using 2:($6 / 1000) with linespoints \
     lw (n eq "shared" ? 3 : 1.5) pt 7 ps 0.6 lc rgb colour(n) title label(n)

set output dir . "/multicast-work.svg"
set title "1 MiB: processor time of all processes"
plot for [n in names] of(n, "work") using 2:($6 / 1000) with linespoints \
     lw (n eq "shared" ? 3 : 1.5) pt 7 ps 0.6 lc rgb colour(n) title label(n)
