# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# codes.awk - which VIP_RETURN codes can each function of VIPL return?  Reads
# codes.txt, then the sources, then the pages of section 3, and compares the
# three.
#
# From the sources: a function returns the codes that stand in its body, and in
# those of the VIP_RETURN functions and macros that it calls.  If one of them
# calls vip_return(), it also returns what vip_return's table makes of the errno
# values in anything that is called: NIC operations (through the tables of
# operations), the agent's requests (KA_OP_*), and the events that the agent
# sends.  What is compared with (==, !=, case) does not count.
#
# What cannot be seen in the sources stands in codes.txt:
#   not FUNCTION CODE why     found, but the function makes another of it
#   only FUNCTION ERRNO why   a function, with all that it calls, gives just this
#   events FUNCTION OTHER...  it also gives what these functions of the agent send
#
# It knows the layout that clang-format gives: a function's braces stand alone
# at the start of a line.  Static names belong to their file.

BEGIN {
	n = split("SUCCESS NOT_DONE INVALID_PARAMETER ERROR_RESOURCE TIMEOUT REJECT INVALID_RELIABILITY_LEVEL " \
		  "INVALID_MTU INVALID_QOS INVALID_PTAG INVALID_RDMAREAD DESCRIPTOR_ERROR INVALID_STATE " \
		  "ERROR_NAMESERVICE NO_MATCH NOT_REACHABLE ERROR_NOT_SUPPORTED", name, " ")
	for (i = 1; i <= n; i++)
		is_code["VIP_" name[i]] = 1
	token = "-E[A-Z][A-Z0-9]+|[A-Za-z_][A-Za-z0-9_]*|->|==|!=|[^ \t]"
}

FNR == 1 {
	file = FILENAME
	kind = file ~ /codes\.txt$/ ? "table" : file ~ /\.3$/ ? "page" : "source"
	core = file ~ /kagent\/core\//
	comment = where = 0
	node = head = define = page_function = ""
	in_values = 0
	if (kind == "page") {
		page_function = file
		sub(/.*\//, "", page_function)
		sub(/\.3$/, "", page_function)
		has_page[page_function] = 1
	}
}

# ---- codes.txt ----

kind == "table" {
	if (/^#/ || NF == 0)
		next
	if ($1 == "not" && NF >= 4) {
		excused[$2, $3] = 1
	} else if ($1 == "only" && NF >= 4) {
		only[$2] = $3
	} else if ($1 == "events" && NF >= 3) {
		for (i = 3; i <= NF; i++) {
			events[$2] = events[$2] " " $i
			event_of[$i] = $2
		}
	} else if ($1 ~ /^Vip/ && NF >= 2 && !($1 in listed)) {
		listed[$1] = 1
		order[++functions] = $1
		for (i = 2; i <= NF; i++) {
			if (!($i in is_code))
				wrong(FILENAME ":" FNR ": " $i " is no return code")
			table[$1, $i] = 1
		}
	} else {
		wrong(FILENAME ":" FNR ": not understood: " $0)
	}
	next
}

# ---- pages ----

kind == "page" {
	if (/^\.Sh /)
		in_values = $0 == ".Sh RETURN VALUES"
	if (in_values && /^\.It Dv VIP_/)
		page[page_function, $3] = 1
	next
}

# ---- sources ----

{
	line = strip($0)
	if (define != "" || line ~ /^#[ \t]*define[ \t]/) {
		if (define == "") {
			define = line
			sub(/^#[ \t]*define[ \t]+/, "", define)
			match(define, /^[A-Za-z_0-9]+/)
			new_node(substr(define, 1, RLENGTH), "macro", "static")
			line = substr(define, RLENGTH + 1)
		}
		body(line)
		define = line ~ /\\$/ ? "more" : ""
		if (define == "")
			node = ""
	} else if (line ~ /^#/ || line ~ /^[ \t]*$/) {
		next
	} else if (where == "function" || where == "table") {
		if (line ~ /^}/ && line !~ /{[ \t]*$/) {
			where = 0
			node = head = ""
		} else if (where == "function") {
			body(line)
		} else {
			entry(line)
		}
	} else if (line ~ /^{/) {
		begin_function()
		where = "function"
		if (line ~ /}$/)
			where = 0
	} else if (line ~ /;[ \t]*$/) {
		if (line ~ /{.*}/)
			entry(line)
		head = ""
	} else if (line ~ /{[ \t]*$/) {
		where = "table"
		head = ""
	} else {
		head = head " " line
	}
}

# A line without comments and strings.
function strip(s,   at) {
	if (comment) {
		at = index(s, "*/")
		if (!at)
			return ""
		s = substr(s, at + 2)
		comment = 0
	}
	gsub(/"([^"\\]|\\.)*"/, "0", s)
	gsub(/'([^'\\]|\\.)*'/, "0", s)
	while ((at = index(s, "/*"))) {
		if (!match(substr(s, at), /\*\//)) {
			comment = 1
			return substr(s, 1, at - 1)
		}
		s = substr(s, 1, at - 1) " " substr(s, at + RSTART + 1)
	}
	sub(/\/\/.*/, "", s)
	return s
}

function new_node(fn, type, static) {
	node = static ? file ":" fn : fn
	exists[node] = 1
	home[node] = file
	returns[node] = type
}

function begin_function(   h, fn) {
	h = head
	gsub(/__attribute__ *\(\(([^()]|\([^()]*\))*\)\)/, "", h)
	match(h, /[A-Za-z_][A-Za-z0-9_]*[ ]*\(/)
	fn = substr(h, RSTART, RLENGTH - 1)
	h = substr(h, 1, RSTART - 1)
	new_node(fn, h ~ /VIP_RETURN/ ? "code" : "other", h ~ /static/)
	if (h ~ /VIP_EXPORT/)
		exported[fn] = 1
	head = ""
	prev = ""
}

# An initialiser: NIC operations, and the table from errno to code.
function entry(s,   rest) {
	while (match(s, /\.[a-z_0-9]+ *= *&?[a-z_0-9]+/)) {
		rest = substr(s, RSTART + 1, RLENGTH - 1)
		s = substr(s, RSTART + RLENGTH)
		gsub(/[ &]/, "", rest)
		at = index(rest, "=")
		edge("op:" substr(rest, 1, at - 1), substr(rest, at + 1))
	}
	if (file ~ /vipl\/error\.c$/ && match(s, /-E[A-Z0-9]+, *VIP_[A-Z_]+/)) {
		rest = substr(s, RSTART, RLENGTH)
		at = index(rest, ",")
		gsub(/ /, "", rest)
		code_of[substr(rest, 1, at - 1)] = substr(rest, at + 1)
	}
}

function edge(from, to) {
	calls[from] = calls[from] " " to
	from_file[from, to] = file
}

# One line of a body: what it calls, and which values stand in it.
function body(s,   t, next_is_call) {
	while (match(s, token)) {
		t = substr(s, RSTART, RLENGTH)
		s = substr(s, RSTART + RLENGTH)
		next_is_call = s ~ /^\(/
		if (prev != "==" && prev != "!=" && prev != "case") {
			if (t in is_code)
				literal[node] = literal[node] " " t
			else if (t ~ /^-E[A-Z]/ && core)
				passed[node] = passed[node] " " (field == ".err=" ? field : last_call) " " t
			else if (t ~ /^-E[A-Z]/)
				errnos[node] = errnos[node] " " t
			else if (t ~ /^KA_OP_/)
				edge(node, "op:" t)
		}
		if (core && t ~ /^KA_OP_/ && (prev == "case" || prev == "=="))
			request = request " " t
		if (next_is_call && t ~ /^[A-Za-z_]/ && t !~ /^(if|while|for|switch|return|sizeof)$/) {
			edge(node, (prev == "->" || prev == "." ? "op:" : "") t)
			last_call = t
			if (core && t == "ka_emit")
				emits[node] = 1
			if (request != "") {
				m = split(request, r, " ")
				for (j = 1; j <= m; j++) {
					edge("op:" r[j], file ":" t)
					edge("op:" r[j], t)
				}
				request = ""
			}
		} else if (t ~ /^[a-z_]+$/ && prev !~ /^(->|\.|struct|enum)$/) {
			mentions[node] = mentions[node] " " t
		}
		field = t == "." ? "." : substr(field t, 1, 8)
		prev = t
	}
}

# ---- the closure ----

function resolve(from, to) {
	if ((home[from] ":" to) in exists)
		return home[from] ":" to
	if (to in exists || to ~ /^op:/)
		return to
	if ((headers[to]) != "")
		return headers[to]
	return ""
}

# All that @at calls; with codes_only only what can hand a code back.
function walk(at, codes_only,   m, t, i, to, short) {
	if ((at, codes_only) in seen)
		return
	seen[at, codes_only] = 1
	short = at
	sub(/.*:/, "", short)
	if (!codes_only && short in only) {
		used_only[short] = 1
		if (only[short] != "nothing")
			got_errno[only[short]] = short
		return
	}
	if (codes_only)
		add(got_code, literal[at], short)
	else
		add(got_errno, errnos[at], short)
	if (short == "vip_return")
		uses_table = 1
	# a function that is named is one that somebody may be given to call
	m = split(calls[at] (codes_only ? mentions[at] : ""), t, " ")
	for (i = 1; i <= m; i++) {
		to = resolve(at, t[i])
		if (to != "" && (!codes_only || returns[to] == "code" || returns[to] == "macro"))
			walk(to, codes_only)
	}
	if (!codes_only && short in events) {
		used_events[short] = 1
		m = split(events[short], t, " ")
		for (i = 1; i <= m; i++) {
			to = agent_function(t[i])
			if (to == "")
				wrong("codes.txt: events " short ": there is no " t[i])
			add(got_errno, errnos[to] " " sent[to], t[i])
		}
	}
}

function agent_function(fn,   k) {
	for (k in home)
		if (home[k] ~ /kagent\/core\// && (k == fn || substr(k, length(home[k]) + 2) == fn))
			return k
	return ""
}

function add(set, text, by,   m, t, i) {
	m = split(text, t, " ")
	for (i = 1; i <= m; i++)
		if (!(t[i] in set))
			set[t[i]] = by
}

function clear(set,   k) {
	for (k in set)
		delete set[k]
}

function wrong(text) {
	print "codes: " text
	bad = 1
}

END {
	if (!("-ETIMEDOUT" in code_of) || functions == 0) {
		print "codes: the table in vipl/error.c, or codes.txt, was not found"
		exit 1
	}
	for (k in exists)
		if (k ~ /:/ && home[k] ~ /\.h$/) {
			short = k
			sub(/.*:/, "", short)
			headers[short] = k
		}
	# an errno that the agent puts into an event, or gives to one that emits it, goes to another function
	for (k in passed) {
		m = split(passed[k], t, " ")
		for (i = 1; i < m; i += 2)
			if (t[i] == ".err=" || resolve(k, t[i]) in emits)
				sent[k] = sent[k] " " t[i + 1]
			else
				errnos[k] = errnos[k] " " t[i + 1]
		short = k
		sub(/.*:/, "", short)
		if (k in sent && !(short in event_of))
			wrong(short " in " home[k] " ends something with an event: name it in codes.txt")
	}
	for (f in exported)
		if (f ~ /^Vip[A-Z]/ && returns[f] == "code" && !(f in listed))
			wrong(f " is exported, and codes.txt does not have it")
	for (x = 1; x <= functions; x++)
		check(order[x])
	for (k in excused) {
		split(k, t, SUBSEP)
		if (!(k in needed))
			wrong("codes.txt: not " t[1] " " t[2] ": the sources do not give it")
	}
	for (k in events)
		if (!(k in used_events))
			wrong("codes.txt: events " k ": nothing calls it")
	for (k in only)
		if (!(k in used_only))
			wrong("codes.txt: only " k ": nothing calls it")
	if (!bad)
		print "codes: " functions " functions, " ncodes " codes"
	exit bad
}

function check(f,   c, e) {
	clear(seen)
	clear(got_code)
	clear(got_errno)
	uses_table = 0
	if (!(f in exists) || !(f in exported)) {
		wrong(f " is in codes.txt, and no source defines it")
		return
	}
	if (!(f in has_page))
		wrong(f " has no page")
	walk(f, 1)
	if (uses_table) {
		walk(f, 0)
		for (e in got_errno) {
			c = e in code_of ? code_of[e] : "VIP_ERROR_RESOURCE"
			if (!(c in got_code))
				got_code[c] = e " of " got_errno[e]
		}
	}
	for (c in is_code) {
		ncodes += (f, c) in table
		if (c in got_code && (f, c) in excused)
			needed[f, c] = 1
		else if (c in got_code && !((f, c) in table))
			wrong(f " can return " c " (by " got_code[c] "), and codes.txt does not have it")
		else if (!(c in got_code) && (f, c) in table)
			wrong(f " cannot return " c ", which codes.txt has: nothing that it calls gives it")
		if ((f, c) in page && !((f, c) in table))
			wrong(f ".3 lists " c ", and codes.txt does not have it")
		if (!((f, c) in page) && (f, c) in table)
			wrong(f ".3 does not list " c)
		if ((f, c) in excused && (f, c) in table)
			wrong("codes.txt has " f " " c " as code and as none")
	}
}
