# The stub: a freestanding executable with nothing but code, embedded in the archive.
# --no-relax: a GOT access stays one, so that stub.lds can refuse it.
EXCLUDE_SRC += $(wildcard platform/stub/*.c)
STUB_OBJ := $(patsubst %,$(OBJ)/%.o,$(wildcard platform/stub/*.c platform/stub/*.S))
STUB_CFLAGS := -std=gnu17 -O2 -g $(WARN) -ffreestanding -fPIE -fvisibility=hidden -mgeneral-regs-only \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -fno-jump-tables \
	-fno-tree-loop-distribute-patterns -mno-red-zone
EXTRA_OBJ_platform += $(OBJ)/platform/stub_blob.o

$(BUILD)/tools/stub_shapes: tools/stub_shapes.c sentry/syscalls/info.c platform/stub/shape.h \
		$(wildcard sentry/syscalls/*.def sentry/syscalls/*.h)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -o $@ $(filter %.c,$^)

$(BUILD)/gen/stub_shapes.h: $(BUILD)/tools/stub_shapes
	@mkdir -p $(@D)
	$< >$@

$(OBJ)/platform/stub/%.c.o: platform/stub/%.c $(BUILD)/gen/stub_shapes.h
	@mkdir -p $(@D)
	$(CC) -I. -I$(BUILD)/gen $(STUB_CFLAGS) -MMD -MP -c $< -o $@

$(OBJ)/platform/stub/%.S.o: platform/stub/%.S
	@mkdir -p $(@D)
	$(CC) -I. -MMD -MP -c $< -o $@

$(BUILD)/stub.elf: $(STUB_OBJ) platform/stub/stub.lds
	$(CC) -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,max-page-size=4096,--no-relax \
		-Wl,-T,platform/stub/stub.lds $(STUB_OBJ) -o $@
	objcopy --strip-debug $@ $@.stripped

$(OBJ)/platform/stub_blob.o: platform/stub_blob.S $(BUILD)/stub.elf
	@mkdir -p $(@D)
	$(CC) -DSTUB_ELF='"$(BUILD)/stub.elf.stripped"' -c $< -o $@

$(BUILD)/bench/platform_bench: bench/platform_bench.c $(BUILD)/libplatform.a $(BUILD)/libabi.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
