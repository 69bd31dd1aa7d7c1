# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# lmm.gnuplot - figures 7 and 8 of Seifert and Rehm, "Reliably Locking System V
# Shared Memory", from what vip_lmm measured.
#
# gnuplot -e "csv='lmm.csv'; dir='docs/results'" lmm.gnuplot

# The paper's tables 1 and 2: KB, register, deregister (Pentium III, 450 MHz, Linux 2.4.0).
$table1 << EOD
4,6.9,4.4
8,8.4,4.7
16,10.8,5.3
32,15.8,6.7
64,25.5,9.3
128,47.2,14.8
256,87.8,25.9
512,177,49.5
1024,340,98.8
2048,697,205
4096,1371,409
8192,2739,814
16384,5414,1646
EOD
$table2 << EOD
4,7.4,4.5
8,8.8,4.9
16,11.4,7.5
32,16.4,7.2
64,26.1,9.8
128,49.5,15.6
256,86.8,26.5
512,167,49.2
1024,334,101
2048,668,206
4096,1373,409
8192,2841,815
16384,5507,1650
EOD
# Of figure 8 the paper's text tells the ends of one line: the ratio.
$ratio8 << EOD
4,1.7
16384,1.3
EOD

set datafile separator ","
set terminal svg size 960,640 noenhanced font "sans-serif,14" background "white"
set key left top Left reverse samplen 3 spacing 1.15
set logscale xy
set xrange [3:22000]
set xtics ("4" 4, "16" 16, "64" 64, "256" 256, "1024" 1024, "4096" 4096, "16384" 16384)
set xlabel "size (KiB)"
set ylabel "time (µs)"
set grid xtics ytics back lt 1 lw 1 lc rgb "#dddddd"
set border 3
set tics nomirror

set style line 1 lw 2 pt 7 ps 0.6 lc rgb "#1f5fa8" # with the user's lock
set style line 2 lw 2 pt 5 ps 0.6 lc rgb "#d9730d" # without
set style line 3 lw 2 pt 9 ps 0.7 lc rgb "#2e8b57" # pinned
set style line 4 lw 1.5 lc rgb "#888888"           # by hand
set style line 5 lw 1.5 dt 2 lc rgb "#b03060"      # the paper's
set style line 6 lw 1.5 dt 4 lc rgb "#b03060"

kib(level, memory, what) = strcol(1) eq "same" && strcol(2) eq level && strcol(3) eq memory && \
			   strcol(4) eq what ? column(5) / 1024 : NaN

set output dir . "/lmm-shared.svg"
set title "Registering a System V segment for the first time (figure 7)"
plot csv using (kib("locked", "first", "register")):7 with linespoints ls 1 title "with the user's mlock (locked)", \
     csv using (kib("mapped", "first", "register")):7 with linespoints ls 2 title "without (mapped)", \
     csv using (kib("pinned", "first", "register")):7 with linespoints ls 3 title "with mlock and io_uring (pinned)", \
     csv using (kib("locked", "first", "bare_register")):7 with lines ls 4 title "bare mlock + one round trip", \
     $table2 using 1:2 with lines ls 5 title "paper, table 2: shmctl in the kernel, first", \
     $table1 using 1:2 with lines ls 6 title "paper, table 1: registered by another process"

# The relation of the times, the lowest line as in the paper.
ratio = "< awk -F, '$1 == \"same\" && $3 == \"private\" && $4 == \"register\" { t[$2, $5] = $7; size[$5] } " . \
	"END { for (b in size) if (t[\"locked\", b] && t[\"mapped\", b]) " . \
	"print b / 1024 \",\" t[\"locked\", b] / t[\"mapped\", b] }' '" . csv . "' | sort -n"

set output dir . "/lmm-private.svg"
set title "Registering private memory (figure 8)"
set yrange [0.7:*]
plot csv using (kib("locked", "private", "register")):7 with linespoints ls 1 title "with the user's mlock (locked)", \
     csv using (kib("mapped", "private", "register")):7 with linespoints ls 2 title "without (mapped)", \
     csv using (kib("pinned", "private", "register")):7 with linespoints ls 3 title "with mlock and io_uring (pinned)", \
     csv using (kib("locked", "private", "bare_register")):7 with lines ls 4 title "bare mlock + one round trip", \
     ratio using 1:2 with linespoints lw 2 pt 2 ps 0.6 lc rgb "#000000" title "ratio: with / without", \
     $ratio8 using 1:2 with lines ls 5 title "the paper's ratio, its two ends"
