#include "pipeline/camera_head.h"

#include "base/log.h"
#include "engine/loader.h"
#include "pipeline/classes.h"
#include "pipeline/pipeline_impl.h"

#include <stdlib.h>
#include <string.h>

/* Whether everything the camera keeps is decoded by the instances, which were opened with p->head.
 */
static bool is_decoded(const struct sp_pipeline *p, const struct sp_head_options *head)
{
    if (head->confidence_threshold < p->head.confidence_threshold)
        return false;
    for (int i = 0; p->head.class_wanted && i < p->model.classes; i++)
        if (!p->head.class_wanted[i] && (!head->class_wanted || head->class_wanted[i]))
            return false;
    return true;
}

int sp_camera_head_open(struct sp_camera *camera, const struct sp_camera_setting *setting,
                        struct sp_error *err)
{
    struct sp_pipeline *p = camera->pipeline;
    bool *wanted = NULL, *shared = p->class_wanted;
    if (strcmp(setting->classes, p->settings->classes) != 0) {
        int result = sp_classes_choose(&wanted, &p->model, setting->classes, err);
        if (result < 0)
            return sp_fail_prefix(err, result, "camera %s", setting->name);
        shared = wanted;
    }
    sp_camera_head_close(camera);
    camera->class_wanted = wanted;
    camera->head = (struct sp_head_options){.confidence_threshold = setting->confidence_threshold,
                                            .nms_iou = p->settings->nms_iou,
                                            .class_wanted = shared};
    if (p->started && spoton_engine_takes_images(p->engine) && !is_decoded(p, &camera->head))
        sp_log(
            SP_LOG_WARNING,
            "camera %s: on engine %s, detections below confidence %g and of other classes than at "
            "the start are not decoded; restart the server for them",
            setting->name, p->engine->name, p->head.confidence_threshold);
    return SP_OK;
}

void sp_camera_head_close(struct sp_camera *camera)
{
    free(camera->class_wanted);
    camera->class_wanted = NULL;
    camera->head.class_wanted = NULL;
}

static void merge(struct sp_pipeline *p, const struct sp_head_options *head)
{
    if (head->confidence_threshold < p->head.confidence_threshold)
        p->head.confidence_threshold = head->confidence_threshold;
    for (int i = 0; i < p->model.classes; i++)
        p->class_decoded[i] |= !head->class_wanted || head->class_wanted[i];
}

int sp_pipeline_merge_heads(struct sp_pipeline *p, struct sp_error *err)
{
    const struct sp_settings *s = p->settings;
    p->head = (struct sp_head_options){.confidence_threshold = s->confidence_threshold,
                                       .nms_iou = s->nms_iou,
                                       .class_wanted = p->class_wanted};
    p->class_decoded = calloc((size_t)p->model.classes, sizeof *p->class_decoded);
    if (!p->class_decoded)
        return sp_fail(err, SP_ERR_NO_MEMORY, "classes: out of memory");
    bool all = p->class_wanted == NULL;
    merge(p, &p->head);
    for (int i = 0; i < s->camera_count; i++) {
        merge(p, &p->cameras[i].head);
        all = all || p->cameras[i].head.class_wanted == NULL;
    }
    p->head.class_wanted = all ? NULL : p->class_decoded;
    return SP_OK;
}
