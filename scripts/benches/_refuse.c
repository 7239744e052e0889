/* Preloaded into a process: while the file REFUSE_WHILE exists, no process and no thread can be begun, as at TasksMax. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static int refused(void)
{
	const char *file = getenv("REFUSE_WHILE");
	return file && access(file, F_OK) == 0;
}

pid_t fork(void)
{
	static pid_t (*real)(void);
	if (refused()) {
		errno = EAGAIN;
		return -1;
	}
	if (!real)
		real = (pid_t (*)(void))dlsym(RTLD_NEXT, "fork");
	return real();
}

/* A vfork cannot be wrapped, for it returns twice: a fork does as well. */
pid_t vfork(void)
{
	return fork();
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	if (refused())
		return EAGAIN;
	if (!real)
		real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");
	return real(thread, attr, run, arg);
}
