# Benchmarks: make bench [BENCH_ARGS="--quick --only 'fork*'"]; figures and a page go to build/bench/.
$(BUILD)/bench/%: bench/%.c bench/bench.h
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O2 -Wall -Wextra -o $@ $< -pthread

bench: $(BUILD)/sentry $(BUILD)/bench/micro $(BUILD)/bench/threads
	bench/run $(BUILD)/sentry --json $(BUILD)/bench/report.json \
		--html $(BUILD)/bench/report.html $(BENCH_ARGS)

.PHONY: bench
