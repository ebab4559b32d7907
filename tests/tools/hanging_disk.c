/* LD_PRELOAD: fdatasync() does not return while the file HANG_WHILE exists, like that of a disk
 * that does not respond. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The name in the header is reserved. */
// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name)
int fdatasync(int file)
{
    const char *path = getenv("HANG_WHILE");
    while (path && access(path, F_OK) == 0)
        usleep(10000);
    return (int)syscall(SYS_fdatasync, file);
}
