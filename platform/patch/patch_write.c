/* The bytes of patched sites and of their thunks.
 *
 *	thunk:	...				rule A: what was displaced
 *	D:	rdgsbase %r11			rcx and r11 are the system call's to use; flags,
 *		mov %gs:self,%rcx		red zone and all else are not
 *		not %rcx
 *		lea MAGIC+1(%r11,%rcx),%rcx	0 if %gs is our slot
 *		jrcxz 1f
 *		syscall				the guest has its own %gs: trap
 *		jmp back
 *	1:	lea back(%rip),%rcx
 *		jmp *entry(%rip)
 *		int3 ...
 *	63:	.byte D
 *
 * `entry` stands at the beginning of the page. The thunks of text that was mapped anew can't be told
 * apart from other bytes but by the sentry, which knows where it has put them. */
#include <stdbool.h>
#include <string.h>

#include "platform/patch/patch.h"
#include "platform/stub/layout.h"

#define PER_PAGE (PATCH_PAGE / PATCH_THUNK_SIZE - 1)
/* From D on: */
#define GS_ACCESS 5
#define GS_TO_TRAP 22  /* from there to the `syscall` */
#define BACK_JMP 34    /* the end of the first jmp */
#define BACK_AT 37     /* the lea's distance, and its end */
#define BACK_END 41
#define CODE_SIZE 47
#define D_AT 63

_Static_assert(PATCH_DISPLACED_MAX + CODE_SIZE <= D_AT, "a thunk's size");

uint64_t patch_thunk_place(size_t i)
{
	return i / PER_PAGE * PATCH_PAGE + (i % PER_PAGE + 1) * PATCH_THUNK_SIZE;
}

size_t patch_thunks_size(const struct patch_plan *p)
{
	return (p->nsites + PER_PAGE - 1) / PER_PAGE * PATCH_PAGE;
}

static uint8_t *put(uint8_t *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

static uint8_t *put32(uint8_t *p, int64_t v)
{
	int32_t w = (int32_t)v;

	return put(p, &w, 4);
}

static int32_t get32(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, 4);
	return v;
}

/* Places are relative to the thunk: back, of the byte behind the site; page, of the thunk's page. */
static void thunk_write(uint8_t *thunk, const uint8_t *displaced, unsigned n, int64_t back,
			int64_t page)
{
	uint8_t *p = put(thunk, displaced, n);

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
	put32(p, page - (p + 4 - thunk));
	thunk[D_AT] = (uint8_t)n;
}

/* The instructions before a site, as the thunk has them. False: what one refers to is out of reach. */
static bool displace(uint8_t *out, const uint8_t *first, const struct patch_site *s, int64_t thunk)
{
	int64_t distance;

	memcpy(out, first, s->displaced);
	if (!s->rip_at)
		return true;
	distance = get32(out + s->rip_at) + (int64_t)(s->off - s->displaced) - thunk;
	put32(out + s->rip_at, distance);
	return distance == (int32_t)distance;
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
	size_t size = patch_thunks_size(p);

	memset(thunks, 0xcc, size);
	for (size_t page = 0; page < size; page += PATCH_PAGE)
		memcpy(thunks + page, &entry, sizeof(entry));
	for (size_t i = 0; i < p->nsites; i++) {
		const struct patch_site *s = &p->sites[i];
		uint64_t place = patch_thunk_place(i);
		int64_t thunk = (int64_t)p->start + delta + (int64_t)place;
		uint8_t *site = text + (s->off - p->start), displaced[PATCH_DISPLACED_MAX];

		if (!displace(displaced, site - s->displaced, s, thunk))
			continue;
		thunk_write(thunks + place, displaced, s->displaced, (int64_t)s->off + 2 - thunk,
			    -(int64_t)(place % PATCH_PAGE));
		if (s->pad) {
			jmp_write(text + (s->pad - p->start), s->pad, thunk);
			site[0] = 0xeb;
			site[1] = (uint8_t)(int8_t)((int64_t)s->pad - (int64_t)(s->off + 2));
		} else {
			jmp_write(site - s->displaced, s->off - s->displaced, thunk);
		}
	}
}

/* ---- the way back ----------------------------------------------------------------------------- */

static unsigned displaced_of(const uint8_t *thunk)
{
	return thunk[D_AT] <= PATCH_DISPLACED_MAX ? thunk[D_AT] : 0;
}

int64_t patch_thunk_return(const uint8_t thunk[PATCH_THUNK_SIZE])
{
	unsigned d = displaced_of(thunk);

	return (int64_t)get32(thunk + d + BACK_AT) + d + BACK_END;
}

int64_t patch_thunk_original(const uint8_t thunk[PATCH_THUNK_SIZE], unsigned off)
{
	unsigned d = displaced_of(thunk);
	int64_t site = patch_thunk_return(thunk) - 2;

	if (off == d + BACK_JMP - 5) /* behind the `syscall`: it was made */
		return site + 2;
	return off < d ? site - d + off : site;
}

unsigned patch_thunk_fixup(const uint8_t thunk[PATCH_THUNK_SIZE], unsigned off)
{
	return off == displaced_of(thunk) + GS_ACCESS ? GS_TO_TRAP : 0;
}
