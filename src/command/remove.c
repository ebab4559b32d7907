#include "command/remove.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void sp_remove_folder(const char *path)
{
    char inside[PATH_MAX + 300];
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        if (unlink(inside) != 0 && (errno == EISDIR || errno == EPERM))
            sp_remove_folder(inside);
    }
    if (folder)
        closedir(folder);
    rmdir(path);
}
