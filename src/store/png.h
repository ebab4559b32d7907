/* Writes a PNG of eight bits per channel with alpha. Any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* pixels[height][width][4]: red, green, blue, alpha. The file is allocated; NULL: out of memory. */
uint8_t *sp_png_write(const uint8_t *pixels, uint32_t width, uint32_t height, size_t *bytes);
