/* FP state. The host gives and takes it as NT_X86_XSTATE, which is a signal frame's image (standard
 * XSAVE format) but for the words that software keeps in the fxsave part, and for AMX at its end,
 * which guests don't have. */
#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "platform/ptrace/impl.h"
#include "platform/seccomp/frame.h"

#define REGSET_MAX 16384
#define FEATURES_AMX 0x60000UL
#define FEATURES_LEGACY 3UL
#define MXCSR_MASK_DEFAULT 0xffbf

static int regset(struct pf_thread *t, int what, void *buf, size_t *n)
{
	struct iovec iov = {buf, *n};
	const struct platform *p = t->space->p;
	int note = p->regset_size && !p->fp_features ? NT_PRFPREG : NT_X86_XSTATE;

	if (syscall(SYS_ptrace, what, t->tid, note, &iov) < 0)
		return -errno;
	*n = iov.iov_len;
	return 0;
}

/* The end of the last of these features in the standard format. */
static size_t xstate_size(uint64_t features)
{
	size_t end = FP_FXSAVE_SIZE + sizeof(struct fp_header);

	for (unsigned i = 2; i < 63; i++) {
		unsigned size, offset, c, d;

		if (!(features >> i & 1) || !__get_cpuid_count(0xd, i, &size, &offset, &c, &d))
			continue;
		if (offset + size > end)
			end = offset + size;
	}
	return end;
}

static uint32_t mxcsr_mask(void)
{
	_Alignas(16) uint8_t fx[FP_FXSAVE_SIZE] = {0};
	uint32_t mask;

	__asm__ volatile("fxsave64 %0" : "=m"(fx));
	memcpy(&mask, fx + FP_MXCSR_MASK, sizeof(mask));
	return mask ? mask : MXCSR_MASK_DEFAULT;
}

/* Also gives the zygote, from which all come, the initial state. */
int pt_fpu_learn(struct pf_thread *zygote)
{
	struct platform *p = zygote->space->p;
	uint8_t buf[REGSET_MAX];
	size_t n = sizeof(buf);

	p->mxcsr_mask = mxcsr_mask();
	if (regset(zygote, PTRACE_GETREGSET, buf, &n) == 0 && n > FP_FXSAVE_SIZE) {
		p->regset_size = n;
		memcpy(&p->fp_features, buf + FP_SW, sizeof(p->fp_features));
		p->fp_features &= ~FEATURES_AMX;
		p->fp_size = xstate_size(p->fp_features) + sizeof(uint32_t);
		if (p->fp_size > p->regset_size + sizeof(uint32_t))
			return -EPROTO;
	} else {
		p->regset_size = p->fp_size = FP_FXSAVE_SIZE;
	}
	ptrace_fpu_reset(zygote);
	return 0;
}

size_t ptrace_fpu_size(struct platform *p)
{
	return p->fp_size;
}

int ptrace_fpu_get(struct pf_thread *t, void *buf, size_t cap)
{
	const struct platform *p = t->space->p;
	uint8_t image[REGSET_MAX];
	size_t n = sizeof(image);
	struct fp_header h;

	if (cap < p->fp_size)
		return -ENOSPC;
	if (tracee_attach(t) || regset(t, PTRACE_GETREGSET, image, &n))
		return -ESRCH;
	if (p->fp_features) {
		memcpy(&h, image + FP_FXSAVE_SIZE, sizeof(h));
		h.xstate_bv &= p->fp_features;
		memcpy(image + FP_FXSAVE_SIZE, &h, sizeof(h));
	}
	memcpy(image + FP_MXCSR_MASK, &p->mxcsr_mask, sizeof(p->mxcsr_mask));
	fp_trailer_write(image, p->fp_features, p->fp_size);
	memcpy(buf, image, p->fp_size);
	return (int)p->fp_size;
}

static int image_load(struct pf_thread *t, uint8_t *image)
{
	size_t n = t->space->p->regset_size;

	memset(image + FP_SW, 0, sizeof(struct fp_sw));
	if (tracee_attach(t))
		return -ESRCH;
	return regset(t, PTRACE_SETREGSET, image, &n) ? -EINVAL : 0;
}

int ptrace_fpu_set(struct pf_thread *t, const void *buf, size_t len)
{
	const struct platform *p = t->space->p;
	struct fp_header h = {.xstate_bv = FEATURES_LEGACY};
	uint8_t image[REGSET_MAX];
	uint32_t mxcsr, n = FP_FXSAVE_SIZE;

	if (len < FP_FXSAVE_SIZE)
		return -EINVAL;
	memcpy(&mxcsr, (const uint8_t *)buf + FP_MXCSR, sizeof(mxcsr));
	if (mxcsr & ~p->mxcsr_mask)
		return -EINVAL;
	if (p->fp_features && fp_is_extended(buf, len, &n)) {
		memcpy(&h, (const uint8_t *)buf + FP_FXSAVE_SIZE, sizeof(h));
		if (fp_header_check(p->fp_features, &h))
			return -EINVAL;
		if (n > p->fp_size - sizeof(uint32_t))
			n = p->fp_size - sizeof(uint32_t);
	}
	memset(image, 0, p->regset_size);
	memcpy(image, buf, n);
	memcpy(image + FP_MXCSR_MASK, &p->mxcsr_mask, sizeof(p->mxcsr_mask));
	if (p->fp_features)
		memcpy(image + FP_FXSAVE_SIZE, &h, sizeof(h));
	return image_load(t, image);
}

/* Of the features above SSE, those that xstate_bv leaves out get their initial state. */
void ptrace_fpu_reset(struct pf_thread *t)
{
	const struct platform *p = t->space->p;
	struct fp_header h = {.xstate_bv = FEATURES_LEGACY};
	uint8_t image[REGSET_MAX] = {0};
	uint16_t fcw = 0x37f;
	uint32_t mxcsr = 0x1f80;

	memcpy(image, &fcw, sizeof(fcw));
	memcpy(image + FP_MXCSR, &mxcsr, sizeof(mxcsr));
	memcpy(image + FP_MXCSR_MASK, &p->mxcsr_mask, sizeof(p->mxcsr_mask));
	if (p->fp_features)
		memcpy(image + FP_FXSAVE_SIZE, &h, sizeof(h));
	image_load(t, image);
}
