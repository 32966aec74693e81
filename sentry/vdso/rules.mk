# The guest's vDSO: a shared object of its own, without any library, embedded in the sentry.
EXCLUDE_SRC += sentry/vdso/vdso_guest.c
EXTRA_OBJ_sentry += $(OBJ)/sentry/vdso/vdso_blob.o
VDSO_IMAGE := $(BUILD)/gen/vdso.so
VDSO_CFLAGS := -std=gnu17 -O2 $(WARN) -I. -D_GNU_SOURCE -fPIC -ffreestanding -fno-stack-protector \
	-fcf-protection=none -fno-builtin -fasynchronous-unwind-tables -mno-sse -mno-red-zone

$(VDSO_IMAGE): sentry/vdso/vdso_guest.c sentry/vdso/vdso_table.h sentry/vdso/vdso.lds
	@mkdir -p $(@D)
	$(CC) $(VDSO_CFLAGS) -shared -nostdlib -o $@ $< -Wl,-T,sentry/vdso/vdso.lds \
		-Wl,-soname,linux-vdso.so.1 -Wl,--hash-style=both -Wl,--build-id=sha1 \
		-Wl,-Bsymbolic -Wl,--eh-frame-hdr -Wl,-z,noexecstack -Wl,--no-undefined
	strip --strip-unneeded $@

$(OBJ)/sentry/vdso/vdso_blob.o: sentry/vdso/vdso_blob.S $(VDSO_IMAGE)
	@mkdir -p $(@D)
	$(CC) -DVDSO_IMAGE='"$(VDSO_IMAGE)"' -c -o $@ $<
