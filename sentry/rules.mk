# Parts of the sentry with rules of their own.
include $(sort $(wildcard sentry/*/rules.mk))
