/* Interface requests: netdevice(7). There is one interface, lo. */
#include <errno.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <string.h>

#include "sentry/mm/usercopy.h"
#include "sentry/net/socket_impl.h"

#define LO_INDEX 1
#define LO_MTU 65536

static int get_ifconf(struct task *t, struct gptr at)
{
	struct ifreq r = {.ifr_name = "lo"};
	struct {
		int32_t len, pad;
		uint64_t buf;
	} c;
	int err = get_guest(t, &c, at);

	if (err)
		return err;
	((struct sockaddr_in *)&r.ifr_addr)->sin_family = AF_INET;
	((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!c.buf || c.len >= (int)sizeof(r))
		c.len = sizeof(r);
	else
		c.len = 0;
	if (c.buf && c.len && put_guest(t, gptr(c.buf), &r))
		return -EFAULT;
	return put_guest(t, at, &c);
}

static int fill_ifreq(unsigned cmd, struct ifreq *r)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&r->ifr_addr;

	if (cmd == SIOCGIFNAME) {
		if (r->ifr_ifindex != LO_INDEX)
			return -ENODEV;
		strcpy(r->ifr_name, "lo");
		return 0;
	}
	r->ifr_name[IFNAMSIZ - 1] = '\0';
	if (strcmp(r->ifr_name, "lo"))
		return -ENODEV;
	memset(&r->ifr_ifru, 0, sizeof(r->ifr_ifru));
	switch (cmd) {
	case SIOCGIFFLAGS:
		r->ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
		return 0;
	case SIOCGIFADDR:
	case SIOCGIFNETMASK:
	case SIOCGIFBRDADDR:
		in->sin_family = AF_INET;
		in->sin_addr.s_addr = cmd == SIOCGIFADDR      ? htonl(INADDR_LOOPBACK)
				      : cmd == SIOCGIFNETMASK ? htonl(0xff000000)
							      : 0;
		return 0;
	case SIOCGIFMTU:
		r->ifr_mtu = LO_MTU;
		return 0;
	case SIOCGIFINDEX:
		r->ifr_ifindex = LO_INDEX;
		return 0;
	case SIOCGIFHWADDR:
		r->ifr_hwaddr.sa_family = 772; /* ARPHRD_LOOPBACK */
		return 0;
	case SIOCGIFTXQLEN:
		r->ifr_qlen = 1000;
		return 0;
	case SIOCGIFMETRIC:
		return 0;
	}
	return -ENOTTY;
}

int64_t netdev_ioctl(struct task *t, unsigned cmd, uint64_t arg)
{
	struct ifreq r;
	int err;

	switch (cmd) {
	case SIOCGIFCONF:
		return get_ifconf(t, gptr(arg));
	case SIOCGIFNAME:
	case SIOCGIFFLAGS:
	case SIOCGIFADDR:
	case SIOCGIFNETMASK:
	case SIOCGIFBRDADDR:
	case SIOCGIFMTU:
	case SIOCGIFINDEX:
	case SIOCGIFHWADDR:
	case SIOCGIFTXQLEN:
	case SIOCGIFMETRIC:
		err = get_guest(t, &r, gptr(arg));
		if (!err)
			err = fill_ifreq(cmd, &r);
		return err ? err : put_guest(t, gptr(arg), &r);
	case SIOCSIFFLAGS:
	case SIOCSIFADDR:
	case SIOCADDRT:
	case SIOCDELRT:
		return -EPERM;
	}
	return -ENOTTY;
}
