/* Results of a system call that ask for a restart: never seen by the guest (signal(7)). */
#pragma once

#define ERESTARTSYS 512		 /* restart if SA_RESTART, else EINTR */
#define ERESTARTNOINTR 513	 /* always restart */
#define ERESTARTNOHAND 514	 /* restart only if no handler ran */
#define ERESTART_RESTARTBLOCK 516 /* restart through restart_syscall(2): see task->restart */
