# Benchmarks: make bench [BENCH_ARGS='--quick --json out.json --cpu 0'].
$(BUILD)/bench/micro: bench/micro.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O2 -Wall -Wextra -o $@ $< -pthread

bench: $(BUILD)/sentry $(BUILD)/bench/micro
	bench/run $(BUILD)/sentry $(BENCH_ARGS)

.PHONY: bench
