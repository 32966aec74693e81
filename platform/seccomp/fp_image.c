#include "platform/seccomp/frame.h"

#include <errno.h>
#include <string.h>

bool fp_is_extended(const void *buf, size_t len, uint32_t *xstate_size)
{
	const uint8_t *b = buf;
	struct fp_sw sw;
	uint32_t magic2;

	memcpy(&sw, b + FP_SW, sizeof(sw));
	if (sw.magic1 != FP_MAGIC1 || sw.xstate_size > len ||
	    sw.xstate_size < FP_FXSAVE_SIZE + sizeof(struct fp_header) ||
	    len - sw.xstate_size < sizeof(magic2))
		return false;
	memcpy(&magic2, b + sw.xstate_size, sizeof(magic2));
	*xstate_size = sw.xstate_size;
	return magic2 == FP_MAGIC2;
}

int fp_header_check(uint64_t features, const struct fp_header *h)
{
	if (h->xstate_bv & ~features || h->xcomp_bv)
		return -EINVAL;
	for (unsigned i = 0; i < 6; i++)
		if (h->reserved[i])
			return -EINVAL;
	return 0;
}

void fp_trailer_write(void *fp, uint64_t features, size_t size)
{
	struct fp_sw sw = {0};
	uint32_t magic2 = FP_MAGIC2;

	if (features) {
		sw.magic1 = FP_MAGIC1;
		sw.extended_size = size;
		sw.xfeatures = features;
		sw.xstate_size = size - sizeof(magic2);
		memcpy((uint8_t *)fp + sw.xstate_size, &magic2, sizeof(magic2));
	}
	memcpy((uint8_t *)fp + FP_SW, &sw, sizeof(sw));
}
