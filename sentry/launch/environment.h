/* The environment of the program: a clean one, what --env asks for, or all with --env-all. */
#pragma once

struct exec_options;

/* NULL-terminated, owned; never NULL. */
char **environment_build(const struct exec_options *o);
void environment_free(char *const *env);
