# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# example.awk - the C text in the EXAMPLES of a page, as the reader would copy it.
/^\.Sh / { section = $0 }
/^\.Ed/ { literal = 0 }
literal {
	sub(/^\\&/, "")
	gsub(/\\-/, "-")
	gsub(/\\e/, "\\")
	print
}
/^\.Bd -literal/ && section == ".Sh EXAMPLES" { literal = 1 }
