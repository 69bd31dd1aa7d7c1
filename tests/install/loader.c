/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * loader.c LIBRARY NAME... - a program that knows no library when it is
 * built: it loads one and looks all names up, then opens a NIC and closes it.
 */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	int (*open_nic)(const char *, void **), (*close_nic)(void *);
	void *lib = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL, *nic;
	int i, r;

	if (!lib) {
		fprintf(stderr, "loader: %s\n", argc > 1 ? dlerror() : "no library named");
		return 1;
	}
	for (i = 2; i < argc; i++) {
		if (!dlsym(lib, argv[i])) {
			fprintf(stderr, "loader: %s\n", dlerror());
			return 1;
		}
	}
	*(void **)&open_nic = dlsym(lib, "VipOpenNic");
	*(void **)&close_nic = dlsym(lib, "VipCloseNic");
	r = open_nic("emu0", &nic);
	if (r || close_nic(nic)) {
		fprintf(stderr, "loader: VipOpenNic returns %d, or VipCloseNic fails\n", r);
		return 1;
	}
	printf("loader: %d names\n", argc - 2);
	return 0;
}
