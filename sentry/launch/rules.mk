# The filter is made by libseccomp when we are built.
EXCLUDE_SRC += sentry/launch/filter_rules.c
GEN_HDR += $(BUILD)/gen/sentry_filter.h

$(BUILD)/gen/sentry_filter.h: $(BUILD)/tools/sentry_filter
	@mkdir -p $(@D)
	$< >$@

$(BUILD)/tools/sentry_filter: tools/make_filter.c sentry/launch/filter_rules.c \
		abi/base/filter_rules.h platform/host_calls.h sentry/launch/host_calls.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -o $@ $(filter %.c,$^) -lseccomp
