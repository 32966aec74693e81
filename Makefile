# sentry: an application kernel. `make help` lists the targets.
#
# One Makefile; a folder that needs more than "compile every .c below it into its archive" says
# so in its rules.mk: EXCLUDE_SRC += files that are not part of the archive,
# EXTRA_OBJ_<folder> += further objects of the archive, GEN_HDR += generated headers.
BUILD ?= build
CC ?= gcc
AR := gcc-ar
OPT ?= -O2 -g
SAN ?=
WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wshadow -Wvla -Wundef \
	-Wpointer-arith -Wwrite-strings -Wno-unused-parameter -Wno-missing-field-initializers
override CPPFLAGS += -I. -I$(BUILD)/gen -D_GNU_SOURCE
CFLAGS += -std=gnu17 $(OPT) $(WARN) $(SAN) -pthread -fno-strict-aliasing -fno-omit-frame-pointer
LDLIBS += -lcapstone -pthread
# Static, but position-independent: a third of the start of a small program would go to the dynamic
# linker. Builds with sanitizers can't be.
# Of capstone, only x86 is linked: the other architectures' tables are pointers that each start would relocate.
FOREIGN := AArch64 ARM BPF EVM M680X M68K MOS65XX Mips PPC RISCV SH Sparc SystemZ TMS320C64x TRICORE \
	WASM XCore
FOREIGN_FLAGS := $(foreach a,$(FOREIGN),-Wl,--defsym,$(a)_global_init=0,--defsym,$(a)_option=0)
LINK ?= $(if $(SAN),,-static-pie $(FOREIGN_FLAGS))
OBJ := $(BUILD)/obj

FOLDERS := abi platform vfs gofer sentry
all: $(BUILD)/sentry

include $(sort $(wildcard $(addsuffix /rules.mk,$(FOLDERS) tests bench tools)))

src_of = $(filter-out $(EXCLUDE_SRC),$(sort $(shell find $(1) -name '*.c')))
obj_of = $(patsubst %.c,$(OBJ)/%.o,$(call src_of,$(1))) $(EXTRA_OBJ_$(1))
define archive_rule
$(BUILD)/lib$(1).a: $(call obj_of,$(1))
	@rm -f $$@
	$$(AR) rcs $$@ $$^
endef
$(foreach d,$(FOLDERS),$(eval $(call archive_rule,$(d))))
# From the top layer down, so that each archive's needs are met by those behind it.
ARCHIVES := $(patsubst %,$(BUILD)/lib%.a,sentry gofer vfs platform abi)

$(OBJ)/%.o: %.c | $(GEN_HDR)
	@mkdir -p $(@D)
	@echo '  CC      $<'
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# main() lives in sentry/main.c, inside the archive: -u pulls it in.
$(BUILD)/sentry: $(ARCHIVES)
	$(CC) $(CFLAGS) $(LINK) $(LDFLAGS) -u main -o $@ -Wl,--start-group $(ARCHIVES) -Wl,--end-group $(LDLIBS)

# ASan and UBSan; the stub itself is left out (it runs without a C library).
asan:
	$(MAKE) BUILD=build-asan OPT='-O1 -g' CPPFLAGS=-DLOCK_CHECK SAN='-fsanitize=address,undefined -fno-sanitize-recover=undefined'
tsan:
	$(MAKE) BUILD=build-tsan OPT='-O1 -g' SAN=-fsanitize=thread
# Lock order is asserted at each lock.
debug:
	$(MAKE) BUILD=build-debug OPT='-O0 -g' CPPFLAGS=-DLOCK_CHECK

# Installs what is missing, builds, and runs a real program in a sandbox.
run:
	@tools/install_deps.sh
	@$(MAKE) --no-print-directory -s all
	$(BUILD)/sentry exec -- sh -c 'echo "Hello from pid $$$$ of $$(uname -sr), running as $$(id -un)"; ls /'

PREFIX ?= /usr/local
install: all
	install -D -m 755 $(BUILD)/sentry $(DESTDIR)$(PREFIX)/bin/sentry
	install -D -m 644 docs/sentry.1 $(DESTDIR)$(PREFIX)/share/man/man1/sentry.1
	install -D -m 644 tools/completion/sentry.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/sentry

clean:
	rm -rf $(BUILD)

help:
	@echo 'make            builds $(BUILD)/sentry'
	@echo 'make run        installs what is missing, builds, runs a program in a sandbox'
	@echo 'make test       all tests; the parts: unit, guest, programs (ONLY=pattern, VERBOSE=1)'
	@echo 'make stress     random calls inside, from many threads (SECONDS_EACH=20, SEED=)'
	@echo 'make patch-full every call site of the programs of this machine, as it was and patched'
	@echo 'make check      layers, headers, cppcheck; make tidy: clang-tidy (FILES=...)'
	@echo 'make bench      measurements'
	@echo 'make asan tsan debug   builds with checks, in build-asan, build-tsan, build-debug'
	@echo 'make docs       writes docs/COMPATIBILITY.md'
	@echo 'make install    to $$(DESTDIR)$$(PREFIX), PREFIX=$(PREFIX)'
	@echo 'make clean      removes $(BUILD)'

.PHONY: all asan tsan debug run install clean help
.DELETE_ON_ERROR:
-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
