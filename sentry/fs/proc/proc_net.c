/* /proc/PID/net: a network namespace with nothing but a loopback device. */
#include "sentry/fs/proc/proc_impl.h"

static int show_dev(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "Inter-|   Receive                                                |  Transmit\n"
		     " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
		     "packets errs drop fifo colls carrier compressed\n"
		     "    lo:       0       0    0    0    0     0          0         0        0"
		     "       0    0    0    0     0       0          0\n");
	return 0;
}

static int show_route(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow"
		     "\tIRTT\n");
	return 0;
}

static int show_tcp(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   "
		     "uid  timeout inode\n");
	return 0;
}

static int show_if_inet6(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "00000000000000000000000000000001 01 80 10 80       lo\n");
	return 0;
}

static int show_unix(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "Num       RefCount Protocol Flags    Type St Inode Path\n");
	return 0;
}

static int show_arp(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "IP address       HW type     Flags       HW address            Mask     "
		     "Device\n");
	return 0;
}

const struct synth_entry proc_net_children[] = {
	SYNTH_FILE("arp", 0444, .show = show_arp),
	SYNTH_FILE("dev", 0444, .show = show_dev),
	SYNTH_FILE("if_inet6", 0444, .show = show_if_inet6),
	SYNTH_FILE("route", 0444, .show = show_route),
	SYNTH_FILE("tcp", 0444, .show = show_tcp),
	SYNTH_FILE("tcp6", 0444, .show = show_tcp),
	SYNTH_FILE("udp", 0444, .show = show_tcp),
	SYNTH_FILE("udp6", 0444, .show = show_tcp),
	SYNTH_FILE("unix", 0444, .show = show_unix),
	{0},
};
