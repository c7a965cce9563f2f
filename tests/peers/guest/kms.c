/*
 * Drives a screen from inside a test guest, with the kernel's mode setting ioctls and nothing else.
 *
 *   kms modes                             connectors, and the modes of each
 *   kms set CONNECTOR WxH PATTERN [hold]  mode, pattern, DIRTYFB; CONNECTOR may be A,B: one buffer on both
 *   kms flip N [hold]                     N page flips between `gradient` (first) and `bars`
 *   kms cursor X Y [hold]                 64x64 cursor image, moved to X,Y in 16 steps, over `gradient`
 *   kms rects N [hold]                    N rectangles on black, DIRTYFB for each alone
 *   kms off CONNECTOR [hold]              switches the output off
 *
 * PATTERN: bars, gradient, checker, or a colour RRGGBB. tests/peers/patterns.py computes the same pixels.
 * CONNECTOR: a name that `modes` prints, as Virtual-1. flip, cursor and rects use the first connected one and
 * its first mode. Without `hold` the program ends when it is done and the console comes back; with it, it says
 * "kms: holding" and stays until a signal, or a line or the end on an input that is not /dev/null.
 *
 * Source: linux/drm.h and drm_mode.h (uapi); no libdrm. Build: gcc -static -O2 -o kms kms.c
 */
#if __has_include(<drm/drm_mode.h>)
#include <drm/drm.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_mode.h>
#else /* Debian keeps the kernel's headers in libdrm-dev */
#include <libdrm/drm.h>
#include <libdrm/drm_fourcc.h>
#include <libdrm/drm_mode.h>
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define MAX 64 /* connectors, CRTCs; modes are at most 4 * MAX */
#define CURSOR 64

struct output {
    uint32_t connector, crtc;
    int connected;
    char name[32];
    uint32_t mode_count;
    struct drm_mode_modeinfo modes[4 * MAX];
};

struct buffer {
    uint32_t handle, fb, width, height, pitch;
    uint8_t *pixels;
};

static int card;
static uint32_t crtcs[MAX];
static struct output outs[MAX];
static uint32_t out_count;

static void fail(const char *what)
{
    fprintf(stderr, "kms: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void call(unsigned long request, void *argument, const char *what)
{
    while (ioctl(card, request, argument) < 0)
        if (errno != EINTR && errno != EAGAIN)
            fail(what);
}

/* ---- outputs ---- */

static uint32_t crtc_of(uint32_t encoder_id)
{
    struct drm_mode_get_encoder encoder = {.encoder_id = encoder_id};

    call(DRM_IOCTL_MODE_GETENCODER, &encoder, "GETENCODER");
    return crtcs[__builtin_ctz(encoder.possible_crtcs)];
}

static void read_output(struct output *out, uint32_t connector)
{
    uint32_t encoders[MAX], props[MAX];
    uint64_t values[MAX];
    struct drm_mode_get_connector get = {.connector_id = connector};

    /* the first call, without room for modes, makes the kernel probe the connector */
    call(DRM_IOCTL_MODE_GETCONNECTOR, &get, "GETCONNECTOR");
    get = (struct drm_mode_get_connector){
        .connector_id = connector,
        .modes_ptr = (uintptr_t)out->modes, .count_modes = 4 * MAX,
        .encoders_ptr = (uintptr_t)encoders, .count_encoders = MAX,
        .props_ptr = (uintptr_t)props, .prop_values_ptr = (uintptr_t)values, .count_props = MAX,
    };
    call(DRM_IOCTL_MODE_GETCONNECTOR, &get, "GETCONNECTOR");
    out->connector = connector;
    out->connected = get.connection == 1;
    out->mode_count = get.count_modes;
    out->crtc = crtc_of(encoders[0]);
    snprintf(out->name, sizeof out->name, "%s-%u",
             get.connector_type == DRM_MODE_CONNECTOR_VIRTUAL ? "Virtual" : "Connector", get.connector_type_id);
}

static void read_outputs(void)
{
    uint32_t connectors[MAX];
    struct drm_mode_card_res res = {
        .connector_id_ptr = (uintptr_t)connectors, .count_connectors = MAX,
        .crtc_id_ptr = (uintptr_t)crtcs, .count_crtcs = MAX,
    };

    call(DRM_IOCTL_MODE_GETRESOURCES, &res, "GETRESOURCES");
    for (uint32_t i = 0; i < res.count_connectors; i++)
        read_output(&outs[i], connectors[i]);
    out_count = res.count_connectors;
}

/* The output called `name`; the first connected one for NULL. */
static struct output *find_output(const char *name)
{
    for (uint32_t i = 0; i < out_count; i++)
        if (name ? !strcmp(outs[i].name, name) : outs[i].connected)
            return &outs[i];
    fprintf(stderr, "kms: no output %s among %u\n", name ? name : "is connected", out_count);
    exit(1);
}

static struct drm_mode_modeinfo *own_mode(struct output *out, uint32_t width, uint32_t height)
{
    for (uint32_t i = 0; i < out->mode_count; i++)
        if (!width || (out->modes[i].hdisplay == width && out->modes[i].vdisplay == height))
            return &out->modes[i];
    return NULL;
}

/* A mode of `out` of that size, any size for 0. One of another output will do: a disconnected one has none. */
static struct drm_mode_modeinfo *find_mode(struct output *out, uint32_t width, uint32_t height)
{
    struct drm_mode_modeinfo *mode = own_mode(out, width, height);

    for (uint32_t i = 0; !mode && i < out_count; i++)
        mode = own_mode(&outs[i], width, height);
    if (mode)
        return mode;
    fprintf(stderr, "kms: no output has a mode %ux%u; `kms modes` lists them\n", width, height);
    exit(1);
}

/* ---- buffers and patterns ---- */

static struct buffer new_buffer(uint32_t width, uint32_t height, uint32_t format)
{
    struct drm_mode_create_dumb dumb = {.width = width, .height = height, .bpp = 32};
    struct buffer buf = {.width = width, .height = height};

    call(DRM_IOCTL_MODE_CREATE_DUMB, &dumb, "CREATE_DUMB");
    struct drm_mode_map_dumb map = {.handle = dumb.handle};
    call(DRM_IOCTL_MODE_MAP_DUMB, &map, "MAP_DUMB");
    struct drm_mode_fb_cmd2 fb = {.width = width, .height = height, .pixel_format = format,
                                  .handles = {dumb.handle}, .pitches = {dumb.pitch}};
    call(DRM_IOCTL_MODE_ADDFB2, &fb, "ADDFB2");
    buf.handle = dumb.handle;
    buf.pitch = dumb.pitch;
    buf.fb = fb.fb_id;
    buf.pixels = mmap(NULL, dumb.size, PROT_READ | PROT_WRITE, MAP_SHARED, card, map.offset);
    if (buf.pixels == MAP_FAILED)
        fail("mmap of a dumb buffer");
    return buf;
}

static uint32_t pattern_pixel(const char *pattern, uint32_t x, uint32_t y, uint32_t width)
{
    static const uint32_t bars[8] = {0xffffff, 0xffff00, 0x00ffff, 0x00ff00, 0xff00ff, 0xff0000, 0x0000ff, 0x000000};

    if (!strcmp(pattern, "bars"))
        return bars[x * 8 / width];
    if (!strcmp(pattern, "gradient"))
        return (x & 255) << 16 | (y & 255) << 8 | ((x ^ y) & 255);
    if (!strcmp(pattern, "checker"))
        return (x / 16 + y / 16) & 1 ? 0xffffff : 0x000000;
    return strtoul(pattern, NULL, 16);
}

static void put(struct buffer *buf, uint32_t x, uint32_t y, uint32_t pixel)
{
    *(uint32_t *)(buf->pixels + y * buf->pitch + 4 * x) = pixel;
}

static void paint(struct buffer *buf, const char *pattern)
{
    for (uint32_t y = 0; y < buf->height; y++)
        for (uint32_t x = 0; x < buf->width; x++)
            put(buf, x, y, pattern_pixel(pattern, x, y, buf->width));
}

/* ---- what the kernel is asked to show ---- */

static void show(struct output *out, struct buffer *buf, struct drm_mode_modeinfo *mode)
{
    struct drm_mode_crtc set = {.crtc_id = out->crtc, .fb_id = buf->fb, .mode = *mode, .mode_valid = 1,
                                .set_connectors_ptr = (uintptr_t)&out->connector, .count_connectors = 1};

    call(DRM_IOCTL_MODE_SETCRTC, &set, "SETCRTC");
    printf("kms: %s shows %ux%u\n", out->name, mode->hdisplay, mode->vdisplay);
}

static void dirty(struct buffer *buf, uint16_t x, uint16_t y, uint16_t width, uint16_t height)
{
    struct drm_clip_rect clip = {x, y, x + width, y + height};
    struct drm_mode_fb_dirty_cmd cmd = {.fb_id = buf->fb, .num_clips = 1, .clips_ptr = (uintptr_t)&clip};

    call(DRM_IOCTL_MODE_DIRTYFB, &cmd, "DIRTYFB");
}

/* The first connected output in its first mode, with `pattern`. */
static struct output *show_first(struct buffer *buf, const char *pattern)
{
    struct output *out = find_output(NULL);
    struct drm_mode_modeinfo *mode = find_mode(out, 0, 0);

    *buf = new_buffer(mode->hdisplay, mode->vdisplay, DRM_FORMAT_XRGB8888);
    paint(buf, pattern);
    show(out, buf, mode);
    dirty(buf, 0, 0, buf->width, buf->height);
    return out;
}

static void flip(struct output *out, struct buffer *buf)
{
    struct drm_mode_crtc_page_flip cmd = {.crtc_id = out->crtc, .fb_id = buf->fb, .flags = DRM_MODE_PAGE_FLIP_EVENT};
    struct drm_event_vblank event;

    call(DRM_IOCTL_MODE_PAGE_FLIP, &cmd, "PAGE_FLIP");
    if (read(card, &event, sizeof event) != sizeof event)
        fail("read of the flip's event");
}

/* A white disc with a black rim, half transparent outside the rim; hot spot in the middle. */
static uint32_t cursor_pixel(int x, int y)
{
    int r2 = (x - CURSOR / 2) * (x - CURSOR / 2) + (y - CURSOR / 2) * (y - CURSOR / 2);

    return r2 < 20 * 20 ? 0xffffffff : r2 < 24 * 24 ? 0xff000000 : 0x80ff0000 & -(uint32_t)(r2 < 32 * 32);
}

static void set_cursor(struct output *out, struct buffer *image)
{
    struct drm_mode_cursor2 cmd = {.flags = DRM_MODE_CURSOR_BO, .crtc_id = out->crtc, .width = CURSOR,
                                   .height = CURSOR, .handle = image->handle, .hot_x = CURSOR / 2, .hot_y = CURSOR / 2};

    call(DRM_IOCTL_MODE_CURSOR2, &cmd, "CURSOR2 image");
}

static void move_cursor(struct output *out, int x, int y)
{
    struct drm_mode_cursor2 cmd = {.flags = DRM_MODE_CURSOR_MOVE, .crtc_id = out->crtc, .x = x, .y = y};

    call(DRM_IOCTL_MODE_CURSOR2, &cmd, "CURSOR2 move");
}

/* ---- the words of the command line ---- */

static void cmd_modes(char **words)
{
    (void)words;
    for (uint32_t i = 0; i < out_count; i++) {
        printf("%s %s", outs[i].name, outs[i].connected ? "connected" : "disconnected");
        for (uint32_t m = 0; m < outs[i].mode_count; m++)
            printf(" %ux%u", outs[i].modes[m].hdisplay, outs[i].modes[m].vdisplay);
        printf("\n");
    }
}

static void cmd_set(char **words)
{
    uint32_t width, height;
    struct buffer buf;

    if (sscanf(words[1], "%ux%u", &width, &height) != 2) {
        fprintf(stderr, "kms: expected a size as 1024x768, got %s\n", words[1]);
        exit(2);
    }
    buf = new_buffer(width, height, DRM_FORMAT_XRGB8888);
    paint(&buf, words[2]);
    for (char *name = strtok(words[0], ","); name; name = strtok(NULL, ",")) {
        struct output *out = find_output(name);
        show(out, &buf, find_mode(out, width, height));
    }
    dirty(&buf, 0, 0, width, height);
}

static void cmd_off(char **words)
{
    struct drm_mode_crtc set = {.crtc_id = find_output(words[0])->crtc};

    call(DRM_IOCTL_MODE_SETCRTC, &set, "SETCRTC off");
    printf("kms: %s is off\n", words[0]);
}

static void cmd_flip(char **words)
{
    struct buffer bufs[2];
    struct output *out = show_first(&bufs[0], "gradient");
    struct timespec from, to;
    int count = atoi(words[0]);

    bufs[1] = new_buffer(bufs[0].width, bufs[0].height, DRM_FORMAT_XRGB8888);
    paint(&bufs[1], "bars");
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 1; i <= count; i++)
        flip(out, &bufs[i & 1]);
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("kms: %d flips in %ld ms\n", count,
           (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
}

static void cmd_cursor(char **words)
{
    struct buffer screen, image;
    struct output *out = show_first(&screen, "gradient");
    int x = atoi(words[0]), y = atoi(words[1]);

    image = new_buffer(CURSOR, CURSOR, DRM_FORMAT_ARGB8888);
    for (int i = 0; i < CURSOR * CURSOR; i++)
        put(&image, i % CURSOR, i / CURSOR, cursor_pixel(i % CURSOR, i / CURSOR));
    set_cursor(out, &image);
    for (int step = 1; step <= 16; step++)
        move_cursor(out, x * step / 16, y * step / 16);
    printf("kms: cursor at %d,%d\n", x, y);
}

static void cmd_rects(char **words)
{
    struct buffer buf;
    uint32_t count = atoi(words[0]);

    show_first(&buf, "000000");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t left = i * 37 % (buf.width - 32), top = i * 53 % (buf.height - 24);
        for (uint32_t n = 0; n < 32 * 24; n++)
            put(&buf, left + n % 32, top + n / 32, ((i + 1) * 0x9e3779b1u) & 0xffffff);
        dirty(&buf, left, top, 32, 24);
    }
    printf("kms: %u rectangles\n", count);
}

static void hold(void)
{
    struct stat in;
    char c;

    printf("kms: holding\n");
    if (fstat(0, &in) < 0 || (S_ISCHR(in.st_mode) && in.st_rdev == makedev(1, 3)))
        for (;;) /* a background job of a shell has /dev/null */
            pause();
    if (read(0, &c, 1) < 0)
        fail("read of the input that ends the hold");
}

static const struct {
    const char *name;
    int words;
    void (*run)(char **words);
} commands[] = {
    {"modes", 0, cmd_modes}, {"set", 3, cmd_set},     {"flip", 1, cmd_flip},
    {"cursor", 2, cmd_cursor}, {"rects", 1, cmd_rects}, {"off", 1, cmd_off},
};

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, name) || argc - 2 < commands[i].words)
            continue;
        card = open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
        if (card < 0)
            fail("/dev/dri/card0");
        read_outputs();
        commands[i].run(argv + 2);
        if (argc - 2 > commands[i].words && !strcmp(argv[argc - 1], "hold"))
            hold();
        return 0;
    }
    fprintf(stderr, "usage: kms modes | set CONNECTOR WxH PATTERN | flip N | cursor X Y | rects N | off CONNECTOR [hold]\n");
    return 2;
}
