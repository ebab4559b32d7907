/* The capacity of one process. */
#pragma once

enum { SP_CAMERAS_MAX = 64 };
