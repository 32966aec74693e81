/* sysfs(5): the little of it that programs look at. */
#pragma once

/* Registers the type. Once, at start. */
void sysfs_register(void);
