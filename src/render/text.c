#include "render/text.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <ft2build.h>
#include FT_FREETYPE_H

enum {
    SIZES_MAX = 6,    /* labels, titles and several image sizes of cameras */
    ENTRIES = 512,    /* power of two */
    GLYPHS_MAX = 384, /* per size; a fuller cache is cleared */
    SIZE_MIN_PX = 4,
    SIZE_MAX_PX = 256,
    FOLDER_DEPTH_MAX = 5,
};

struct glyph {
    uint32_t codepoint; /* + 1, so that 0 is a free entry */
    int left_px, top_px, width_px, height_px, advance_px;
    uint8_t *coverage; /* [height][width]; NULL when blank */
};

struct size {
    int size_px; /* 0: unused */
    uint64_t used_at;
    int ascent_px, descent_px;
    int glyph_count;
    struct glyph entries[ENTRIES];
};

struct sp_text {
    FT_Library library;
    FT_Face face;
    int face_size_px; /* the face's present size */
    uint64_t ticks;
    struct size sizes[SIZES_MAX];
};

/* Bold first: thin stems are hard to read on video. */
static const char *const known_fonts[] = {
    "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans-Bold.ttf",
    "/usr/share/fonts/TTF/DejaVuSans-Bold.ttf",
};

static const char *const font_folders[] = {
    "/usr/share/fonts",
    "/usr/local/share/fonts",
};

/* The rank of a font by its file name; 0: unsuitable. */
static int font_rank(const char *name)
{
    size_t length = strlen(name);
    if (length < 5 ||
        (strcasecmp(name + length - 4, ".ttf") != 0 && strcasecmp(name + length - 4, ".otf") != 0))
        return 0;
    bool sans = strcasestr(name, "sans") && !strcasestr(name, "mono");
    bool bold =
        strcasestr(name, "bold") && !strcasestr(name, "italic") && !strcasestr(name, "oblique");
    bool slanted = strcasestr(name, "italic") || strcasestr(name, "oblique");
    return 1 + 4 * sans + 2 * bold + !slanted;
}

struct search {
    char best[1024];
    int best_rank;
};

/* Chooses the highest rank, and the first name among equals: the same font on every run. */
static void search_folder(struct search *search, const char *folder, int depth)
{
    DIR *dir = depth < FOLDER_DEPTH_MAX ? opendir(folder) : NULL;
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[sizeof search->best];
        if (entry->d_name[0] == '.' ||
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= (int)sizeof path)
            continue;
        int rank = font_rank(entry->d_name);
        if (rank == 0) {
            search_folder(search, path, depth + 1);
        } else if (rank > search->best_rank ||
                   (rank == search->best_rank && strcmp(path, search->best) < 0)) {
            search->best_rank = rank;
            memcpy(search->best, path, sizeof path);
        }
    }
    closedir(dir);
}

static bool open_face(struct sp_text *text, const char *path)
{
    if (FT_New_Face(text->library, path, 0, &text->face))
        return false;
    if (FT_IS_SCALABLE(text->face))
        return true;
    FT_Done_Face(text->face);
    text->face = NULL;
    return false;
}

static bool open_any_face(struct sp_text *text)
{
    for (size_t i = 0; i < sizeof known_fonts / sizeof known_fonts[0]; i++)
        if (open_face(text, known_fonts[i]))
            return true;
    struct search search = {.best_rank = 0};
    for (size_t i = 0; i < sizeof font_folders / sizeof font_folders[0]; i++)
        search_folder(&search, font_folders[i], 0);
    return search.best_rank > 0 && open_face(text, search.best);
}

int sp_text_open(struct sp_text **out, const char *path, struct sp_error *err)
{
    struct sp_text *text = calloc(1, sizeof *text);
    if (!text)
        return sp_fail(err, SP_ERR_NO_MEMORY, "labels: out of memory");
    if (FT_Init_FreeType(&text->library)) {
        free(text);
        return sp_fail(err, SP_ERR_NO_MEMORY, "labels: FreeType does not start");
    }
    if (path ? open_face(text, path) : open_any_face(text)) {
        *out = text;
        return SP_OK;
    }
    sp_text_close(text);
    if (path)
        return sp_fail(err, SP_ERR_NOT_FOUND, "font %s: no scalable font can be read there", path);
    return sp_fail(
        err, SP_ERR_NOT_FOUND,
        "no font for labels: tried %s, then every .ttf and .otf below %s and %s; install "
        "fonts-dejavu-core",
        known_fonts[0], font_folders[0], font_folders[1]);
}

static void forget_glyphs(struct size *size)
{
    for (int i = 0; i < ENTRIES; i++)
        free(size->entries[i].coverage);
    memset(size->entries, 0, sizeof size->entries);
    size->glyph_count = 0;
}

void sp_text_close(struct sp_text *text)
{
    if (!text)
        return;
    for (int i = 0; i < SIZES_MAX; i++)
        forget_glyphs(&text->sizes[i]);
    if (text->face)
        FT_Done_Face(text->face);
    FT_Done_FreeType(text->library);
    free(text);
}

static bool set_face_size(struct sp_text *text, int size_px)
{
    if (text->face_size_px == size_px)
        return true;
    if (FT_Set_Pixel_Sizes(text->face, 0, (FT_UInt)size_px))
        return false;
    text->face_size_px = size_px;
    return true;
}

/* The cache of this size; replaces the least recently used size. NULL when FreeType rejects the
 * size. */
static struct size *size_for(struct sp_text *text, int size_px)
{
    size_px = size_px < SIZE_MIN_PX ? SIZE_MIN_PX : size_px > SIZE_MAX_PX ? SIZE_MAX_PX : size_px;
    struct size *oldest = &text->sizes[0];
    for (int i = 0; i < SIZES_MAX; i++) {
        struct size *size = &text->sizes[i];
        if (size->size_px == size_px) {
            size->used_at = ++text->ticks;
            return size;
        }
        if (size->used_at < oldest->used_at)
            oldest = size;
    }
    if (!set_face_size(text, size_px))
        return NULL;
    forget_glyphs(oldest);
    oldest->size_px = size_px;
    oldest->used_at = ++text->ticks;
    oldest->ascent_px = (int)((text->face->size->metrics.ascender + 32) >> 6);
    oldest->descent_px = (int)((-text->face->size->metrics.descender + 32) >> 6);
    return oldest;
}

/* Renders into the entry; glyphs that cannot be rendered stay blank. */
static void render_glyph(struct sp_text *text, int size_px, uint32_t codepoint, struct glyph *glyph)
{
    *glyph = (struct glyph){.codepoint = codepoint + 1};
    if (!set_face_size(text, size_px) ||
        FT_Load_Char(text->face, codepoint, FT_LOAD_RENDER | FT_LOAD_TARGET_LIGHT))
        return;
    const FT_GlyphSlot rendered = text->face->glyph;
    const FT_Bitmap *bitmap = &rendered->bitmap;
    glyph->advance_px = (int)((rendered->advance.x + 32) >> 6);
    if (bitmap->width == 0 || bitmap->rows == 0 || bitmap->pixel_mode != FT_PIXEL_MODE_GRAY)
        return;
    glyph->coverage = malloc((size_t)bitmap->width * bitmap->rows);
    if (!glyph->coverage)
        return;
    glyph->left_px = rendered->bitmap_left;
    glyph->top_px = rendered->bitmap_top;
    glyph->width_px = (int)bitmap->width;
    glyph->height_px = (int)bitmap->rows;
    for (unsigned row = 0; row < bitmap->rows; row++)
        memcpy(glyph->coverage + (size_t)row * bitmap->width,
               bitmap->buffer + (ptrdiff_t)row * bitmap->pitch, bitmap->width);
}

static const struct glyph *glyph_for(struct sp_text *text, struct size *size, uint32_t codepoint)
{
    uint32_t entry = codepoint * 2654435761u >> 23; /* 9 bits, for ENTRIES */
    while (size->entries[entry].codepoint && size->entries[entry].codepoint != codepoint + 1)
        entry = (entry + 1) % ENTRIES;
    if (size->entries[entry].codepoint)
        return &size->entries[entry];
    if (size->glyph_count == GLYPHS_MAX) {
        forget_glyphs(size);
        entry = codepoint * 2654435761u >> 23;
    }
    size->glyph_count++;
    render_glyph(text, size->size_px, codepoint, &size->entries[entry]);
    return &size->entries[entry];
}

/* The next character of UTF-8 (Unicode 15, table 3-7); U+FFFD for a byte that starts none. */
static uint32_t next_codepoint(const unsigned char **string)
{
    const unsigned char *s = *string;
    int more = s[0] < 0x80 ? 0 : s[0] < 0xC2 ? -1 : s[0] < 0xE0 ? 1 : s[0] < 0xF0 ? 2 : 3;
    uint32_t codepoint = more <= 0 ? s[0] : s[0] & (0x3Fu >> more);
    bool good = more >= 0 && s[0] <= 0xF4;
    for (int i = 1; good && i <= more; i++) {
        good = (s[i] & 0xC0) == 0x80; /* false for the terminator */
        codepoint = codepoint << 6 | (s[i] & 0x3F);
    }
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (!good || codepoint < least[more] || codepoint > 0x10FFFF ||
        (codepoint >= 0xD800 && codepoint <= 0xDFFF)) {
        *string = s + 1;
        return 0xFFFD;
    }
    *string = s + more + 1;
    return codepoint < 0x20 || codepoint == 0x7F ? ' ' : codepoint;
}

void sp_text_measure(struct sp_text *text, int size_px, const char *string, int *width_px,
                     int *ascent_px, int *descent_px)
{
    struct size *size = size_for(text, size_px);
    *width_px = 0;
    *ascent_px = size ? size->ascent_px : 0;
    *descent_px = size ? size->descent_px : 0;
    for (const unsigned char *s = (const unsigned char *)string; size && *s;)
        *width_px += glyph_for(text, size, next_codepoint(&s))->advance_px;
}

void sp_text_render(struct sp_text *text, int size_px, int x_px, int baseline_px,
                    const char *string, sp_text_blend *blend, void *user)
{
    struct size *size = size_for(text, size_px);
    for (const unsigned char *s = (const unsigned char *)string; size && *s;) {
        const struct glyph *glyph = glyph_for(text, size, next_codepoint(&s));
        if (glyph->coverage)
            blend(user, x_px + glyph->left_px, baseline_px - glyph->top_px, glyph->width_px,
                  glyph->height_px, glyph->width_px, glyph->coverage);
        x_px += glyph->advance_px;
    }
}
