/* The thread of a device's collector. */
#pragma once

void *sp_collector_main(void *argument); /* struct sp_device */
