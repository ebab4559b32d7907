/* Runs tools/quantize.py with the Python of .venv, where `./setup nncf` installs NNCF. */
#include "command/export.h"

#include "base/log.h"
#include "base/path.h"
#include "command/subprocess.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 16 };

/* NAME in the source tree of the program or in share/spoton of its prefix. */
static int find(const char *name, char out[PATH_MAX], struct sp_error *err)
{
    static const char *const places[] = {"/..", "/../share/spoton"};
    char dir[PATH_MAX - 128];
    int result = sp_path_program_dir(dir, sizeof dir, err);
    for (size_t i = 0; i < sizeof places / sizeof *places && result == SP_OK; ++i) {
        snprintf(out, PATH_MAX, "%s%s/%s", dir, places[i], name);
        if (access(out, R_OK) == 0)
            return SP_OK;
    }
    if (result < 0)
        return result;
    return sp_fail(err, SP_ERR_NOT_FOUND,
                   "%s: not found in %s/.. or %s/../share/spoton; INT8 requires it, run "
                   "`./setup nncf` in the source tree and spoton from there",
                   name, dir, dir);
}

/* SPOTON_PYTHON names another interpreter with NNCF. */
static int find_python(char out[PATH_MAX], struct sp_error *err)
{
    const char *chosen = getenv("SPOTON_PYTHON");
    if (!chosen || !*chosen)
        return find(".venv/bin/python", out, err);
    snprintf(out, PATH_MAX, "%s", chosen);
    return SP_OK;
}

/* report: path inside the work folder. */
static int call_tool(struct sp_export *e, bool worst, const char *second, const char *third,
                     const char *report, struct sp_error *err)
{
    char python[PATH_MAX], tool[PATH_MAX], log[PATH_MAX + 16], scale[32], last[300];
    int count = 0, status = 0;
    int result = find_python(python, err);
    if (result == SP_OK)
        result = find("tools/quantize.py", tool, err);
    if (result < 0)
        return result;
    snprintf(scale, sizeof scale, "%g", (double)e->source.scale);
    snprintf(log, sizeof log, "%s/quantize.log", e->work);
    const char *argument[ARGUMENTS_MAX] = {python, tool, e->source.path, second, third};
    count = 5;
    if (worst)
        argument[count++] = "--worst";
    if (e->source.swap_red_blue)
        argument[count++] = "--swap-red-blue";
    argument[count++] = "--scale";
    argument[count++] = scale;
    result = sp_subprocess_run(argument, report, log, &status, err);
    if (result < 0)
        return result;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        unlink(log);
        return SP_OK;
    }
    if (WIFSIGNALED(status))
        return sp_fail(err, SP_ERR_INTERRUPTED, "%s: quantization ended by signal %d%s",
                       e->source.path, WTERMSIG(status),
                       WTERMSIG(status) == 9 ? "; if out of memory, give fewer --samples" : "");
    sp_subprocess_last_line(log, NULL, last, sizeof last);
    return sp_fail(err, SP_ERR_FORMAT, "%s: quantization failed: %s", e->source.path, last);
}

int sp_export_quantize(struct sp_export *e, struct sp_error *err)
{
    char frames[PATH_MAX + 32], report[PATH_MAX + 32];
    json_error_t why;
    snprintf(frames, sizeof frames, "%s/calibration.npy", e->work);
    snprintf(report, sizeof report, "%s/quantize.json", e->work);
    int result = call_tool(e, false, frames, e->file, report, err);
    if (result < 0)
        return result;
    json_t *root = json_load_file(report, 0, &why);
    const char *version = json_string_value(json_object_get(root, "nncf"));
    snprintf(e->manifest.calibration_method, sizeof e->manifest.calibration_method,
             "NNCF %s post-training", version ? version : "?");
    e->manifest.calibration_frames = e->samples.calibration.count;
    json_decref(root);
    unlink(report);
    return SP_OK;
}

void sp_export_worst_layers(struct sp_export *e, char *out, size_t out_bytes)
{
    char frames[PATH_MAX + 32], report[PATH_MAX + 32];
    json_error_t why;
    struct sp_error said = {0};
    size_t used = 0, index;
    const json_t *layer;
    out[0] = '\0';
    snprintf(frames, sizeof frames, "%s/check.npy", e->work);
    snprintf(report, sizeof report, "%s/worst.json", e->work);
    if (call_tool(e, true, e->model.path, frames, report, &said) < 0) {
        sp_log(SP_LOG_WARNING, "worst layers: unknown: %s", said.text);
        return;
    }
    json_t *root = json_load_file(report, 0, &why);
    json_array_foreach(json_object_get(root, "layers"), index, layer)
    {
        const char *name = json_string_value(json_object_get(layer, "name"));
        double error = json_number_value(json_object_get(layer, "error"));
        int n = used < out_bytes && index < 3
                    ? snprintf(out + used, out_bytes - used, "%s%s (off by %.0f %%)",
                               used ? ", " : "", name ? name : "?", error * 100)
                    : 0;
        used += n > 0 ? (size_t)n : 0;
    }
    json_decref(root);
    unlink(report);
}
