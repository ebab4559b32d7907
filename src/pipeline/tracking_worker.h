/* The thread of a tracking worker. */
#pragma once

void *sp_tracking_worker_main(void *argument); /* struct sp_tracking_worker */
