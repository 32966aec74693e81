/* The bytes of patched sites and of their thunks.
 *
 *	thunk:	mov $nr,%eax			rule A only: what was displaced
 *		rdgsbase %r11			rcx and r11 are the system call's to use; flags,
 *		mov %gs:self,%rcx		red zone and all else are not
 *		not %rcx
 *		lea MAGIC+1(%r11,%rcx),%rcx	0 if %gs is our slot
 *		jrcxz 1f
 *		syscall				the guest has its own %gs: trap
 *		jmp back
 *	1:	lea back(%rip),%rcx
 *		jmp *entry(%rip) */
#include "platform/patch/patch.h"

#include <string.h>

#include "platform/stub/layout.h"

#define THUNK_ENTRY 56 /* where a thunk keeps the address of the entry */
#define FAULT_OFF 5    /* of the access through %gs, in a thunk of rule B; 5 more in one of A */
#define FAULT_TO_TRAP 22

size_t patch_thunks_size(const struct patch_plan *p)
{
	return (p->nsites * PATCH_THUNK_SIZE + 4095) & ~4095UL;
}

unsigned patch_thunk_fixup(uint64_t off)
{
	off %= PATCH_THUNK_SIZE;
	return off == FAULT_OFF || off == FAULT_OFF + 5 ? FAULT_TO_TRAP : 0;
}

static uint8_t *put(uint8_t *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

static uint8_t *put32(uint8_t *p, int64_t v)
{
	int32_t w = v;

	return put(p, &w, 4);
}

/* Places are relative to the thunk: back, of the byte behind the site. */
static void thunk_write(uint8_t *thunk, const struct patch_site *site, int64_t back, uint64_t entry)
{
	uint8_t *p = thunk;

	memset(p, 0xcc, PATCH_THUNK_SIZE);
	if (!site->pad) {
		*p++ = 0xb8;
		p = put32(p, site->nr);
	}
	p = put(p, "\xf3\x49\x0f\xae\xcb", 5);
	p = put(p, "\x65\x48\x8b\x0c\x25", 5);
	p = put32(p, offsetof(struct slot, self));
	p = put(p, "\x48\xf7\xd1", 3);
	p = put(p, "\x49\x8d\x8c\x0b", 4);
	p = put32(p, SLOT_MAGIC + 1);
	p = put(p, "\xe3\x07\x0f\x05\xe9", 5);
	p = put32(p, back - (p + 4 - thunk));
	p = put(p, "\x48\x8d\x0d", 3);
	p = put32(p, back - (p + 4 - thunk));
	p = put(p, "\xff\x25", 2);
	p = put32(p, THUNK_ENTRY - (p + 4 - thunk));
	put(thunk + THUNK_ENTRY, &entry, 8);
}

/* A jump at file offset `from` to the thunk, whose place is told as one. */
static void jmp_write(uint8_t *at, uint64_t from, int64_t thunk)
{
	at[0] = 0xe9;
	put32(at + 1, thunk - (int64_t)(from + 5));
}

void patch_write(const struct patch_plan *p, uint8_t *text, uint8_t *thunks, int64_t delta,
		 uint64_t entry)
{
	memset(thunks, 0xcc, patch_thunks_size(p));
	for (size_t i = 0; i < p->nsites; i++) {
		const struct patch_site *s = &p->sites[i];
		int64_t thunk = (int64_t)p->start + delta + (int64_t)(i * PATCH_THUNK_SIZE);
		uint8_t *site = text + (s->off - p->start);

		thunk_write(thunks + i * PATCH_THUNK_SIZE, s, (int64_t)s->off + 2 - thunk, entry);
		if (s->pad) {
			jmp_write(text + (s->pad - p->start), s->pad, thunk);
			site[0] = 0xeb;
			site[1] = (uint8_t)(int8_t)((int64_t)s->pad - (int64_t)(s->off + 2));
		} else {
			jmp_write(site - 5, s->off - 5, thunk);
		}
	}
}
