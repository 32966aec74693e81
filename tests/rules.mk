# Tests.
#
#   tests/unit/<folder>/*_test.c  Criterion; one binary a folder, linked with that folder's archive
#                                 and those of the layers below it
#   tests/guest/*_test.c          programs that check themselves, built static and dynamic; run
#                                 natively first, then in the sandbox (run_guest.sh)
#   tests/programs/*.sh           runs of real programs, compared with a native run (run_programs.sh)
#   tests/stress/*.c              random calls from many threads, inside only (run_stress.sh); not part of `make test`
TEST_OUT := $(BUILD)/test
UNIT_FOLDERS := $(notdir $(patsubst %/,%,$(sort $(dir $(wildcard tests/unit/*/*_test.c)))))
UNIT_BINS := $(patsubst %,$(TEST_OUT)/unit/%,$(UNIT_FOLDERS))
GUEST_NAMES := $(notdir $(basename $(sort $(wildcard tests/guest/*_test.c))))
GUEST_BINS := $(foreach k,static dynamic,$(patsubst %,$(BUILD)/guest/$(k)/%,$(GUEST_NAMES)))
GUEST_CFLAGS := -std=gnu17 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Wno-unused-parameter -pthread -I.

# What a folder's unit tests are linked with, uppermost layer first.
UNIT_LIBS_abi := abi
UNIT_LIBS_platform := platform abi
UNIT_LIBS_vfs := vfs abi
UNIT_LIBS_gofer := gofer abi
UNIT_LIBS_p9 := gofer vfs abi
UNIT_LIBS_sentry := sentry gofer vfs platform abi

unit_src = $(sort $(wildcard tests/unit/$(1)/*.c))
unit_archives = $(patsubst %,$(BUILD)/lib%.a,$(or $(UNIT_LIBS_$(1)),$(UNIT_LIBS_sentry)))
# Criterion stands before the archives: its main() must win over the sentry's.
define unit_rule
$(TEST_OUT)/unit/$(1): $(patsubst %.c,$(OBJ)/%.o,$(call unit_src,$(1))) $(call unit_archives,$(1))
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) -lcriterion \
		-Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(LDLIBS)
endef
$(foreach d,$(UNIT_FOLDERS),$(eval $(call unit_rule,$(d))))

$(BUILD)/guest/static/%: tests/guest/%.c
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -MMD -MP -MF $@.d -MT $@ -static -o $@ $< -lrt
$(BUILD)/guest/dynamic/%: tests/guest/%.c
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -MMD -MP -MF $@.d -MT $@ -o $@ $< -lrt
-include $(wildcard $(BUILD)/guest/*/*.d)

unit: $(UNIT_BINS)
	@tests/run_unit.sh $(TEST_OUT) $(UNIT_BINS)

# Every call site of every program and library of this machine, as it was and patched.
patch-full: $(TEST_OUT)/unit/platform
	PATCH_ALL=1 $(TEST_OUT)/unit/platform --filter 'patch_all/*' --timeout 3600

guest-programs: $(GUEST_BINS)

guest: $(BUILD)/sentry guest-programs
	@tests/run_guest.sh $(BUILD) $(TEST_OUT) $(GUEST_NAMES)

programs: $(BUILD)/sentry
	@tests/run_programs.sh $(BUILD)/sentry $(TEST_OUT)

STRESS_BINS := $(patsubst tests/stress/%.c,$(BUILD)/stress/%,$(wildcard tests/stress/*.c))
$(BUILD)/stress/%: tests/stress/%.c tests/stress/stress.h
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -Wno-unused-result -static -o $@ $<

stress: $(BUILD)/sentry $(STRESS_BINS)
	@tests/run_stress.sh $(BUILD)

# Everything; the last line is 'N passed, N failed'. A part that fails doesn't stop the next.
test: $(BUILD)/sentry $(UNIT_BINS) guest-programs
	@tests/run_all.sh $(BUILD) $(TEST_OUT) "$(UNIT_BINS)" "$(GUEST_NAMES)"

.PHONY: unit patch-full guest guest-programs programs stress test
