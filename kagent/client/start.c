/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * start.c - find the user's agent, or start it.
 *
 * The agent listens at DIR/agent.sock, DIR being private to the user.  Whoever
 * finds nobody there takes DIR/lock, looks again, and only then binds the
 * socket itself and hands it to a new agent: two processes that open at once
 * start one agent, and neither has to wait for it to listen.  A leaving agent
 * removes DIR under the same lock, so a lock counts only while its file is
 * still the one that the path names.
 */
#include "kagent/client/transport.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES 50

/* @asked (not 0: it is too long), else below /run/user/UID when that is ours, else in /tmp. */
static int agent_dir(const char *asked, char *dir, size_t n)
{
	struct stat st;

	if (asked)
		return snprintf(dir, n, "%s", asked) >= (int)n;
	snprintf(dir, n, "/run/user/%u", geteuid());
	if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
		snprintf(dir, n, "/run/user/%u/softvia", geteuid());
	else
		snprintf(dir, n, "/tmp/softvia-%u", geteuid());
	return 0;
}

static int make_dir(const char *dir, char *why, size_t n)
{
	struct stat st;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return ka_no_agent(why, n, -errno,
				   "cannot make the agent's directory %s: %s (VIPL_AGENT_DIR names another)",
				   dir, strerror(errno));
	if (lstat(dir, &st))
		return -EAGAIN; /* a leaving agent removed it just now */
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return ka_no_agent(
			why, n, -EPERM,
			"%s is not a directory private to uid %u (mode %o, owner %u): remove it, or name "
			"another "
			"with VIPL_AGENT_DIR",
			dir, geteuid(), st.st_mode & 07777, st.st_uid);
	return 0;
}

static int take_lock(const char *path)
{
	struct stat a, b;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX)) {
		if (errno != EINTR) {
			int err = -errno;

			close(fd);
			return err;
		}
	}
	if (fstat(fd, &a) || stat(path, &b) || a.st_ino != b.st_ino || a.st_dev != b.st_dev) {
		close(fd);
		return -EAGAIN;
	}
	return fd;
}

static int try_connect(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	do
		r = connect(fd, (const struct sockaddr *)sa, sizeof(*sa));
	while (r && errno == EINTR);
	if (r) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* The directory of the library, or of the program that links it statically; false: cannot be told. */
static bool own_dir(char *dir, size_t n)
{
	ssize_t length;
	Dl_info info;
	char *slash;

	if (dladdr((void *)ka_agent_connect, &info) && info.dli_fname && strchr(info.dli_fname, '/')) {
		snprintf(dir, n, "%s", info.dli_fname);
	} else { /* a program that was found in PATH */
		length = readlink("/proc/self/exe", dir, n - 1);
		if (length < 0)
			return false;
		dir[length] = 0;
	}
	slash = strrchr(dir, '/');
	if (slash)
		*slash = 0;
	return slash;
}

/*
 * Beside the library or the program, in the build tree or where they are
 * installed, which may have been moved; else where the build meant to install it.
 */
static int agent_path(const char *asked, char *path, size_t n, char *why, size_t wn)
{
	static const char *const places[] = {"../bin/vipkad", "vipkad", VIPKAD_FROM_LIB, VIPKAD_FROM_BIN};
	char dir[4096];
	size_t i;

	if (!asked && own_dir(dir, sizeof(dir))) {
		for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			if (snprintf(path, n, "%s/%s", dir, places[i]) < (int)n && access(path, X_OK) == 0)
				return 0;
		}
	}
	snprintf(path, n, "%s", asked ? asked : VIPKAD_INSTALLED);
	if (access(path, X_OK))
		return ka_no_agent(why, wn, -ECHILD,
				   "the kernel agent %s cannot be started: %s (VIPL_AGENT names its program)",
				   path, strerror(errno));
	return 0;
}

/*
 * Raw clone without an exit signal, twice: the application gets no SIGCHLD, its
 * wait() calls never see our child, and the agent is nobody's zombie.
 */
static pid_t clone_quiet(void)
{
	return (pid_t)syscall(SYS_clone, 0UL, NULL, NULL, NULL, 0UL);
}

static int spawn(const char *path, int listen_fd, const char *dir, char *why, size_t n)
{
	char fdarg[16];
	char *const argv[] = {(char *)path, "--listen-fd", fdarg, "--dir", (char *)dir, NULL};
	int status = 0, r;
	pid_t pid;

	snprintf(fdarg, sizeof(fdarg), "%d", listen_fd);
	pid = clone_quiet();
	if (pid < 0)
		return ka_no_agent(why, n, -errno, "cannot start the kernel agent: fork: %s",
				   strerror(errno));
	if (pid == 0) {
		setsid();
		pid = clone_quiet();
		if (pid == 0) {
			int null = open("/dev/null", O_RDWR);

			/* a program that is no agent shall not write to the application's terminal */
			dup2(null, 0);
			dup2(null, 1);
			dup2(null, 2);
			fcntl(listen_fd, F_SETFD, 0);
			execv(path, argv);
			syscall(SYS_exit_group, 127);
		}
		/* not libc's: ThreadSanitizer would wait there for threads that the child has not */
		syscall(SYS_exit_group, pid < 0);
	}
	do
		r = waitpid(pid, &status, __WALL);
	while (r < 0 && errno == EINTR);
	if (r == pid && (!WIFEXITED(status) || WEXITSTATUS(status)))
		return ka_no_agent(why, n, -ECHILD, "cannot start the kernel agent: no more processes");
	return 0;
}

static int start(const struct sockaddr_un *sa, const char *dir, const char *program, char *why, size_t n)
{
	char path[4096];
	int low, fd, err = agent_path(program, path, sizeof(path), why, n);

	if (err)
		return err;
	unlink(sa->sun_path);
	low = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	/* not one of 0 to 2, which an application may have closed: the agent's are /dev/null */
	fd = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, 3);
	if (low >= 0)
		close(low);
	if (fd < 0 || bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) || listen(fd, 128)) {
		err = ka_no_agent(why, n, -errno, "cannot listen at %s: %s", sa->sun_path, strerror(errno));
	} else {
		err = spawn(path, fd, dir, why, n);
		if (err)
			unlink(sa->sun_path);
	}
	if (fd >= 0)
		close(fd);
	return err;
}

/* Where the agent is met. */
struct place {
	struct sockaddr_un sa; /* DIR/agent.sock */
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path) - 16];
	char lock[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
};

/* Not 0: VIPL_AGENT_DIR is too long. */
static int find_place(const char *asked, struct place *place)
{
	place->sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (agent_dir(asked, place->dir, sizeof(place->dir)))
		return -ENAMETOOLONG;
	snprintf(place->sa.sun_path, sizeof(place->sa.sun_path), "%s/agent.sock", place->dir);
	snprintf(place->lock, sizeof(place->lock), "%s/lock", place->dir);
	return 0;
}

int ka_agent_connect(const struct ka_agent_at *at, bool *started, char *why, size_t n)
{
	struct place place;
	int i, fd, lock_fd, err;

	*started = false;
	if (find_place(at->dir, &place))
		return ka_no_agent(why, n, -ENAMETOOLONG,
				   "VIPL_AGENT_DIR is too long: a directory of at most %zu bytes is possible",
				   sizeof(place.dir) - 1);

	for (i = 0; i < TRIES; i++) {
		fd = try_connect(&place.sa);
		if (fd >= 0)
			return fd;
		err = make_dir(place.dir, why, n);
		if (err == -EAGAIN)
			continue;
		if (err)
			return err;
		lock_fd = take_lock(place.lock);
		if (lock_fd == -EAGAIN || lock_fd == -ENOENT)
			continue;
		if (lock_fd < 0)
			return ka_no_agent(why, n, lock_fd, "cannot lock %s: %s", place.lock,
					   strerror(-lock_fd));
		fd = try_connect(&place.sa);
		if (fd < 0) {
			err = start(&place.sa, place.dir, at->program, why, n);
			if (err) {
				/* leave nothing behind, still under the lock */
				unlink(place.lock);
				rmdir(place.dir);
			} else {
				*started = true;
				fd = try_connect(&place.sa);
			}
		} else {
			err = 0;
		}
		close(lock_fd);
		if (err)
			return err;
		if (fd >= 0)
			return fd;
	}
	return ka_no_agent(why, n, -ECHILD, "the kernel agent at %s does not answer (tried %d times)",
			   place.sa.sun_path, TRIES);
}

bool ka_agent_runs(const char *asked, char *dir, size_t n)
{
	struct place place;
	int fd;

	if (find_place(asked, &place)) {
		snprintf(dir, n, "VIPL_AGENT_DIR, which is too long");
		return false;
	}
	snprintf(dir, n, "%s", place.dir);
	fd = try_connect(&place.sa);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

void ka_agent_clean_up(const char *asked)
{
	struct place place;
	int lock_fd, fd;

	if (find_place(asked, &place))
		return;
	lock_fd = take_lock(place.lock);
	if (lock_fd < 0)
		return;
	fd = try_connect(&place.sa);
	if (fd >= 0) { /* somebody else's agent serves there by now */
		close(fd);
	} else {
		unlink(place.sa.sun_path);
		unlink(place.lock);
		rmdir(place.dir);
	}
	close(lock_fd);
}
