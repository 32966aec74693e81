/* User namespaces: there is one, the root's, with the identity map. */
#pragma once

struct user_ns {
	struct user_ns *parent; /* NULL: the root */
};
