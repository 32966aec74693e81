#include "sentry/launch/environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sentry/cli/exec_options.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct environment {
	char **v;
	size_t n;
};

/* Sets NAME=VALUE, replacing an earlier one; takes ownership of the string. */
static void set_string(struct environment *e, char *s)
{
	size_t name = strcspn(s, "=") + 1;

	for (size_t i = 0; i < e->n; i++)
		if (!strncmp(e->v[i], s, name)) {
			free(e->v[i]);
			e->v[i] = s;
			return;
		}
	e->v = reallocarray(e->v, e->n + 2, sizeof(*e->v));
	if (!e->v)
		abort();
	e->v[e->n++] = s;
	e->v[e->n] = NULL;
}

static void set(struct environment *e, const char *name, const char *value)
{
	char *s;

	if (value && asprintf(&s, "%s=%s", name, value) >= 0)
		set_string(e, s);
}

char **environment_build(const struct exec_options *o)
{
	struct environment e = {0};
	const char *lang = getenv("LANG"), *user = getenv("USER");

	set(&e, "PATH", DEFAULT_PATH);
	set(&e, "TERM", getenv("TERM") ? getenv("TERM") : "dumb");
	set(&e, "LANG", lang ? lang : "C.UTF-8");
	set(&e, "HOME", getenv("HOME") ? getenv("HOME") : "/");
	set(&e, "USER", user ? user : geteuid() == 0 ? "root" : NULL);
	for (char **p = o->env_all ? environ : NULL; p && *p; p++)
		set_string(&e, strdup(*p));
	for (size_t i = 0; i < o->nenv; i++) {
		if (strchr(o->env[i], '='))
			set_string(&e, strdup(o->env[i]));
		else
			set(&e, o->env[i], getenv(o->env[i]));
	}
	return e.v;
}

void environment_free(char *const *env)
{
	for (char *const *p = env; p && *p; p++)
		free(*p);
	free((void *)env);
}
