/* Seconds and the seconds in the microseconds of select(2)'s timeout, added up beyond what there are: the
 * sum used to overflow before it was checked. */
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/guest/check.h"

int main(void)
{
	struct timeval tv = {INT64_MAX, 1000000}, fine = {0, 1500};

	CHECK_ERR(syscall(SYS_select, 0, NULL, NULL, NULL, &tv), EINVAL);
	tv = (struct timeval){INT64_MAX - 5, INT64_MAX};
	CHECK_ERR(syscall(SYS_select, 0, NULL, NULL, NULL, &tv), EINVAL);
	CHECK_EQ(syscall(SYS_select, 0, NULL, NULL, NULL, &fine), 0);
	return check_status();
}
