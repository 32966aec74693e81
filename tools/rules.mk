# Checks and documents.
CPPCHECK_FLAGS := --quiet --std=c11 --language=c --error-exitcode=1 --inline-suppr -j 2 \
	--enable=warning,portability --suppressions-list=tools/cppcheck.txt -I. -D__x86_64__ \
	--cppcheck-build-dir=$(BUILD)/cppcheck

check: $(BUILD)/sentry
	BUILD=$(BUILD) tools/check_layers
	BUILD=$(BUILD) CC=$(CC) nice tools/check_headers
	@mkdir -p $(BUILD)/cppcheck
	nice cppcheck $(CPPCHECK_FLAGS) $(FOLDERS)

# Slow; not part of check. FILES limits it.
tidy:
	nice clang-tidy --quiet $(or $(FILES),$(shell git ls-files $(addsuffix /*.c,$(FOLDERS)))) -- \
		$(CPPFLAGS) -std=gnu17

$(BUILD)/tools/compat_doc: tools/compat_doc.c $(OBJ)/sentry/syscalls/info.o
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -o $@ $^

docs: $(BUILD)/tools/compat_doc
	$< >docs/COMPATIBILITY.md

.PHONY: check tidy docs
