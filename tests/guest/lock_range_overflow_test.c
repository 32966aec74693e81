/* A record lock whose negative start and negative length wrap around to something positive is refused. */
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "tests/guest/check.h"

int main(void)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open("locked", O_RDWR | O_CREAT | O_EXCL, 0600);

	REQUIRE(fd >= 0 && unlink("locked") == 0);
	fl.l_start = -7238363669712285799;
	fl.l_len = -5078371529813655552;
	CHECK_ERR(fcntl(fd, F_SETLK, &fl), EINVAL);
	fl.l_start = -1;
	fl.l_len = INT64_MIN;
	CHECK_ERR(fcntl(fd, F_SETLK, &fl), EINVAL);
	fl.l_start = 10;
	fl.l_len = -11;
	CHECK_ERR(fcntl(fd, F_SETLK, &fl), EINVAL);
	fl.l_len = -10;
	CHECK_EQ(fcntl(fd, F_SETLK, &fl), 0);
	return check_status();
}
