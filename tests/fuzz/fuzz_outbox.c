/* Bytes of a segment of the outbox: its header and entries; and a record on its own, which is then
 * rendered in every dialect. */
#include "output/dialect.h"
#include "output/option_text.h"
#include "output/record.h"
#include "output/segment.h"

#include "fuzz.h"

#include <math.h>

static const char *const dialects[] = {"spoton",     "cloudevents", "deepstream", "metropolis",
                                       "scenescape", "frigate",     "onvif",      "home_assistant"};
enum { DIALECTS = sizeof dialects / sizeof dialects[0] };

static struct sp_record record;

static void render(void)
{
    static struct sp_dialect *opened[DIALECTS];
    static struct sp_messages messages;
    const struct sp_dialect_setup setup = {.site = "site", .node = "node"};
    for (int i = 0; i < DIALECTS; i++) {
        struct sp_error err = {0};
        if (!opened[i])
            FUZZ_CHECK(sp_dialect_open(&opened[i], dialects[i], "t/{camera}/{kind}", &setup,
                                       &err) == SP_OK);
        sp_messages_clear(&messages);
        opened[i]->type->render(opened[i], &record, &messages);
        sp_messages_finish(&messages);
        FUZZ_CHECK(!messages.failed);
        for (size_t k = 0; k < messages.count; k++) {
            const struct spoton_output_message *m = &messages.list[k];
            FUZZ_CHECK(m->topic[0] && !strpbrk(m->topic, "#+") && m->id[0] && m->kind[0]);
            FUZZ_CHECK(((const char *)m->payload)[m->payload_bytes] == '\0');
        }
    }
}

static void check_record(const uint8_t *data, size_t bytes)
{
    if (!sp_record_read(&record, data, bytes))
        return;
    if (record.type == SP_RECORD_FRAME) {
        FUZZ_CHECK(record.frame.track_count <= SP_TRACKS_MAX);
        for (size_t i = 0; i < record.frame.track_count; i++)
            FUZZ_CHECK(isfinite(record.tracks[i].x1) && isfinite(record.tracks[i].confidence));
    }
    render();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0)
        return 0;
    /* Of its own size, so that reading beyond its end is seen. */
    uint8_t *copy = malloc(bytes);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data + 1, bytes - 1);
    if (data[0] % 2 == 0) {
        check_record(copy, bytes - 1);
    } else {
        struct sp_segment_header header;
        size_t at = sp_segment_read_header(&header, copy, bytes - 1) ? SP_SEGMENT_HEADER_BYTES : 0;
        const uint8_t *found;
        size_t size;
        while (sp_segment_read_entry(copy + at, bytes - 1 - at, &found, &size) == SP_ENTRY_WHOLE) {
            FUZZ_CHECK(found + size <= copy + bytes - 1);
            check_record(found, size);
            at += SP_ENTRY_HEADER_BYTES + size;
        }
    }
    free(copy);
    return 0;
}
