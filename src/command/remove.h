/* Removes a folder with all that is in it; links are removed, not followed. What cannot be removed
 * stays. For folders that this program made. */
#pragma once

void sp_remove_folder(const char *path);
