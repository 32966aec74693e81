/* proc(5). */
#pragma once

/* Registers the type. Once, at start. */
void proc_register(void);
