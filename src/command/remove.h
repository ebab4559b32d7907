/* Removes a folder with its contents; links are removed, not followed. Errors are ignored. For
 * folders that this program created. */
#pragma once

void sp_remove_folder(const char *path);
