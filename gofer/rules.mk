# The filter is made by libseccomp when we are built.
EXCLUDE_SRC += gofer/filter_rules.c
GEN_HDR += $(BUILD)/gen/gofer_filter.h

$(BUILD)/gen/gofer_filter.h: $(BUILD)/tools/gofer_filter
	@mkdir -p $(@D)
	$< >$@

$(BUILD)/tools/gofer_filter: tools/make_filter.c gofer/filter_rules.c abi/base/filter_rules.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -o $@ $(filter %.c,$^) -lseccomp
