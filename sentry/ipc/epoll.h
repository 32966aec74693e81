/* epoll(7). */
#pragma once

struct cred;
struct file;

int epoll_new(const struct cred *cred, struct file **out);
