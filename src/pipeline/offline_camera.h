/* The thread of an offline camera. */
#pragma once

void *sp_camera_main(void *argument); /* struct sp_camera */
