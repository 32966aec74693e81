/* The vDSO in a guest's address space. */
#pragma once

struct mm;
struct mm_op;

/* Posts the mapping, and notes m->vdso_base. -ENOMEM. */
int vdso_map(struct mm_op *op);
/* After the mapping is there: writes the image, its table filled for m's stub, and takes the right
 * to write away. */
int vdso_install(struct mm_op *op);
