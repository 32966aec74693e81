/* The vDSO in a guest's address space. */
#pragma once

struct mm;
struct mm_op;

/* Posts the mapping, and notes m->vdso_base. -ENOMEM. */
int vdso_map(struct mm_op *op);
