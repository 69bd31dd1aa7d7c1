/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * main.c - vipkad, the kernel agent as a user's process: how it starts, and
 * when it leaves.
 *
 * A client that finds no agent binds the socket DIR/agent.sock, holds a lock
 * on DIR/lock, and starts vipkad with the listening socket.  The agent leaves
 * when its last client has gone and none comes within LINGER_S; it does so
 * under the same lock, so that it never removes the socket of a successor.  A
 * client whose connection is cut before HELLO is answered starts over.
 */
#include "kagent/daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINGER_S       0.25
#define FIRST_CLIENT_S 5.0

struct agent {
	struct ev_loop *loop;
	struct ev_timer leave;
	struct ev_signal term, intr;
	char *dir;
};

static struct agent agent;

static void usage(FILE *out)
{
	fputs("usage: vipkad --listen-fd N --dir DIR\n"
	      "The VIPL kernel agent of one user; libvipl starts it when it is needed, and it leaves\n"
	      "with its last client.\n"
	      "  --listen-fd N  a listening SOCK_SEQPACKET socket bound to DIR/agent.sock\n"
	      "  --dir DIR      the agent's directory, with DIR/lock; removed at the end\n"
	      "  --help         this text\n"
	      "  --version      the version of the protocol\n"
	      "VIPL_AGENT_LOG=FILE in the environment appends a log to FILE.\n",
	      out);
}

static void wait_to_leave(double seconds)
{
	ev_timer_stop(agent.loop, &agent.leave);
	ev_now_update(agent.loop);
	ev_timer_set(&agent.leave, seconds, 0);
	ev_timer_start(agent.loop, &agent.leave);
}

void agent_clients_changed(unsigned int clients)
{
	if (clients == 0)
		wait_to_leave(LINGER_S);
	else
		ev_timer_stop(agent.loop, &agent.leave);
}

static void remove_dir(void)
{
	int fd = open(agent.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	unlinkat(fd, "agent.sock", 0);
	unlinkat(fd, "lock", 0);
	close(fd);
	rmdir(agent.dir);
}

/* DIR/lock locked, -EWOULDBLOCK when a starter is at work; -ENOENT and the like: nobody can be. */
static int take_lock(void)
{
	char path[4096];
	int fd;

	if (snprintf(path, sizeof(path), "%s/lock", agent.dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	close(fd);
	return -EWOULDBLOCK;
}

/* Nobody is here: leave, unless somebody is just coming. */
static void leave(struct ev_loop *loop, struct ev_timer *w, int events)
{
	int lock = take_lock();

	(void)w;
	(void)events;
	if (lock == -EWOULDBLOCK) {
		wait_to_leave(LINGER_S);
		return;
	}
	if (!clients_accept()) {
		remove_dir();
		ev_break(loop, EVBREAK_ALL);
	}
	if (lock >= 0)
		close(lock);
}

static void terminate(struct ev_loop *loop, struct ev_signal *w, int events)
{
	(void)events;
	log_line("signal %d", w->signum);
	remove_dir();
	clients_leave();
	ev_break(loop, EVBREAK_ALL);
}

/* Keep nothing of the client that started us but @listen_fd. */
static void detach(int listen_fd)
{
	struct rlimit files;
	sigset_t none;

	if (listen_fd > 3)
		close_range(3, (unsigned int)listen_fd - 1, 0);
	close_range((unsigned int)listen_fd + 1, ~0U, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
	setsid(); /* a terminal's Ctrl-C is not for us; fails only when that is so already */
	umask(077);
	/* Two descriptors a client, four a NIC handle. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static int listening_socket(const char *arg)
{
	int type = 0, listening = 0;
	socklen_t len = sizeof(int);
	char *end;
	long fd = strtol(arg, &end, 10);

	if (*arg == '\0' || *end != '\0' || fd < 3 || fd > 1 << 20)
		return -EINVAL;
	if (getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_SEQPACKET)
		return -ENOTSOCK;
	if (getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || listening == 0)
		return -ENOTSOCK;
	fcntl((int)fd, F_SETFD, FD_CLOEXEC);
	fcntl((int)fd, F_SETFL, O_NONBLOCK);
	return (int)fd;
}

static int serve(int listen_fd)
{
	agent.loop = ev_default_loop(EVFLAG_AUTO);
	if (agent.loop == NULL)
		return EXIT_FAILURE;
	ev_timer_init(&agent.leave, leave, 0, 0);
	ev_signal_init(&agent.term, terminate, SIGTERM);
	ev_signal_start(agent.loop, &agent.term);
	ev_signal_init(&agent.intr, terminate, SIGINT);
	ev_signal_start(agent.loop, &agent.intr);
	clients_init(agent.loop, listen_fd);
	wait_to_leave(FIRST_CLIENT_S);
	log_line("serves %s", agent.dir);
	ev_run(agent.loop, 0);
	log_line("leaves");
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"listen-fd", required_argument, NULL, 'l'},
						{"dir", required_argument, NULL, 'd'},
						{"help", no_argument, NULL, 'h'},
						{"version", no_argument, NULL, 'v'},
						{NULL, 0, NULL, 0}};
	int opt, listen_fd = -1;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'l':
			listen_fd = listening_socket(optarg);
			if (listen_fd < 0) {
				fprintf(stderr,
					"vipkad: %s is not a listening SOCK_SEQPACKET socket above 2\n",
					optarg);
				return EXIT_FAILURE;
			}
			break;
		case 'd':
			free(agent.dir);
			agent.dir = realpath(optarg, NULL);
			if (agent.dir == NULL) {
				fprintf(stderr, "vipkad: %s: %s\n", optarg, strerror(errno));
				return EXIT_FAILURE;
			}
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		case 'v':
			printf("vipkad, softvia agent protocol %u\n", KA_VERSION);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return EXIT_FAILURE;
		}
	}
	if (listen_fd < 0 || agent.dir == NULL || optind != argc) {
		usage(stderr);
		return EXIT_FAILURE;
	}
	detach(listen_fd);
	if (log_open() != 0 || chdir("/") != 0)
		return EXIT_FAILURE;
	return serve(listen_fd);
}
