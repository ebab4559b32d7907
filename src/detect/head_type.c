#include "detect/head_type.h"

const char *sp_head_type_name(enum sp_head_type head_type)
{
    static const char *const names[] = {
        [SP_HEAD_AUTO] = "auto",     [SP_HEAD_YOLOV5] = "yolov5",
        [SP_HEAD_YOLOV8] = "yolov8", [SP_HEAD_END_TO_END] = "end-to-end",
        [SP_HEAD_YOLOX] = "yolox",   [SP_HEAD_RTDETR] = "rtdetr",
        [SP_HEAD_YOLOV6] = "yolov6", [SP_HEAD_RFDETR] = "rfdetr",
    };
    return names[head_type];
}
