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
CPPFLAGS += -I. -I$(BUILD)/gen -D_GNU_SOURCE
CFLAGS += -std=gnu17 $(OPT) $(WARN) $(SAN) -pthread -fno-strict-aliasing -fno-omit-frame-pointer
LDLIBS += -lseccomp -lunwind -lcapstone -pthread
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
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# All of the sentry's archive is linked: system-call handlers are weak references in the dispatch,
# which pull nothing out of an archive.
$(BUILD)/sentry: $(ARCHIVES)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ -Wl,--whole-archive $(BUILD)/libsentry.a -Wl,--no-whole-archive \
		-Wl,--start-group $(filter-out $(BUILD)/libsentry.a,$(ARCHIVES)) -Wl,--end-group $(LDLIBS)

clean:
	rm -rf $(BUILD)

.PHONY: all clean
.DELETE_ON_ERROR:
-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
