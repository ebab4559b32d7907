/* The thread of a live camera. */
#pragma once

void *sp_supervisor_main(void *argument); /* struct sp_camera */
