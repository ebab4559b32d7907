#include "schedule/policy.h"

const char *sp_inference_reason_name(enum sp_inference_reason reason)
{
    static const char *const names[] = {
#define X(id, name) name,
        SP_INFERENCE_REASONS(X)
#undef X
    };
    return names[reason];
}

double sp_policy_missed_share(const struct sp_policy_report *report)
{
    const struct sp_audit *audit = &report->audit;
    return audit->sightings ? (double)audit->missed / (double)audit->sightings : 0;
}

static void write_audit(struct sp_json *json, const struct sp_policy_report *report)
{
    const struct sp_audit *audit = &report->audit;
    const struct {
        const char *name;
        int64_t value;
    } counts[] = {
        {"count", (int64_t)audit->audits},
        {"sightings", (int64_t)audit->sightings},
        {"missed", (int64_t)audit->missed},
        {"level", audit->level},
    };
    sp_json_begin_object(json);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        sp_json_key(json, counts[i].name);
        sp_json_int(json, counts[i].value);
    }
    sp_json_key(json, "missed_share");
    if (audit->sightings)
        sp_json_number(json, sp_policy_missed_share(report), 5);
    else
        sp_json_null(json);
    sp_json_key(json, "missed_share_max");
    sp_json_number(json, sp_audit_bound(audit->missed, audit->sightings), 5);
    sp_json_end_object(json);
}

void sp_policy_write(struct sp_json *json, const struct sp_policy_report *report)
{
    sp_json_begin_object(json);
    sp_json_key(json, "policy");
    sp_json_string(json, report ? "need" : "every");
    if (report) {
        sp_json_key(json, "reasons");
        sp_json_begin_object(json);
        for (int i = SP_REASON_NONE + 1; i < SP_REASON_COUNT; i++) {
            sp_json_key(json, sp_inference_reason_name((enum sp_inference_reason)i));
            sp_json_int(json, (int64_t)report->reasons[i]);
        }
        sp_json_end_object(json);
        sp_json_key(json, "audit");
        write_audit(json, report);
    }
    sp_json_end_object(json);
}
