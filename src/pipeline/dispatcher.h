/* The dispatcher's thread. */
#pragma once

void *sp_dispatcher_main(void *argument); /* struct sp_pipeline */
