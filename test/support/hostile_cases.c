/* SPDX-License-Identifier: MIT */
#include "hostile_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char HOSTILE_PRELUDE[] = "settings:4=1000000 window:0:100000000 settings_ack request ok";

#define H200  "headers::status=200;content-type=application/grpc"
#define CODES "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 0xffffffff"

/* A connection, frame by frame: what is below is put between any two of them. */
static const char *const FRAMES[] = {"settings", "settings_ack", "request",
                                     H200,       "message",      "headers+end:grpc-status=0"};
enum { FRAME_COUNT = sizeof(FRAMES) / sizeof(FRAMES[0]), PRELUDE_FRAMES = 2 };

static const struct {
    const char *name;
    const char *words; /* # stands for each of the values */
    const char *values;
} BETWEEN_FRAMES[] = {
    {"goaway", "goaway:#", "0:0 c:0 0x7fffffff:0 0:11 c:11 0x7fffffff:11 c:2 c:0xffffffff"},
    {"the end", "#", "close half reset"},
    {"pings", "ping*#", "1 3000"},
    {"settings again", "settings:#", "3=0 3=1 4=0 4=0x7fffffff 4=0x80000000 5=0 1=0 2=1 0xff=1"},
    {"garbage", "hex:#", "ff 000000 00000804000000000000"},
};

/* Begin with the first byte. */
static const struct {
    const char *name;
    const char *script;
    const char *values;
} WHOLE[] = {
    {"nothing is said", "#", "close half reset deaf pause:300"},
    {"HTTP/1", "text:#", "HTTP/1.1_400_Bad_Request HTTP/1.0_200_OK HTTP/2.0 H"},
    {"another protocol", "text:#", "SSH-2.0-x 220_mail.example.com +OK"},
    {"TLS", "hex:#", "15030100020246 16030300050000000000 15"},
    {"garbage", "hex:#", "ff ffffffffffffffffffffffff 00 0000 00000004"},
    {"zeros", "zeros:#", "9 18 100000"},
    {"the first frame is not SETTINGS", "#",
     "ping settings_ack window:0:1 goaway:0:0 frame:99:0:0:10 headers::status=200"},
    {"settings of an impossible size", "frame:4:0:0:#", "1 5 16384 16385 70000"},
    {"settings on a stream", "frame:4:0:1:#", "0 6"},
    {"a thousand settings in one", "frame:4:0:0:#", "6000"},
    {"settings of no stream", "settings:3=0 #", "pause:300 settings_ack half"},
    {"byte by byte, then the end", "drip:1 settings settings_ack request #", "close reset"},
    {"a byte now and then, never a frame", "hex:000006 drip:100 hex:0400000000", NULL},
};

/* After the prelude. */
static const struct {
    const char *name;
    const char *script;
    const char *values;
} LATER[] = {
    {"status", "request " H200 " message headers+end:grpc-status=#",
     "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 99 -1 x 00 014 999999999999"},
    {"trailers only", "request headers+end::status=200;grpc-status=#", "0 1 2 3 4 5 7 8 9 10 11 12 13 14 15 16 17 x"},
    {"no grpc-status", "request headers+end::status=#", "200 204 301 400 401 403 404 429 431 500 502 503 504 600 999"},
    {"no grpc-status, with a body", "request headers::status=# data+end:100", "200 403 429 500 503"},
    {"no HTTP status", "request headers:#", "grpc-status=0 :status=abc :status= :path=/ :status=2000"},
    {"not yet", "request headers::status=#;grpc-status=0 " H200 " message headers+end:grpc-status=14", "100 103 199"},
    {"not yet, without end", "request headers::status=103;link=@100*#", "50 3000"},
    {"RetryInfo", "request " H200 " headers+end:grpc-status=8;grpc-status-details-bin=#",
     "CAgaNAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIICgYQgMaGjwE "
     "CAgaNAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIICgYQgMaGjwE= Zg== Z !! @8000 @16000"},
    {"a message with bad escapes", "request " H200 " headers+end:grpc-status=14;grpc-message=#",
     "% %4 %zz %00 %%% %ff%fe @1024 @1025 @15000"},
    {"a response of no message", "request " H200 " # headers+end:grpc-status=0",
     "data:0 data:1 data:4 hex:0000050000000000010100000000 data:16384*4 data:16384*5 data:16384*64"},
    {"a response that cannot be read", "request " H200 " frame:0:0:c:# headers+end:grpc-status=0", "6 7 1000"},
    {"padding", "request " H200 " frame:0:8:c:# headers+end:grpc-status=0", "0 1 256"},
    {"an answer before the request's end", "request_head # request",
     "headers+end::status=200;grpc-status=14 rst:0 rst:8 ok"},
    {"reset after the request", "request rst:#", CODES},
    {"reset after the headers", "request " H200 " rst:#", CODES},
    {"reset after the message", "request " H200 " message rst:#", CODES},
    {"reset in the request", "request_head rst:#", CODES},
    {"reset of a stream that is not there", "frame:3:0:#:4", "0 2 1 99 0x7fffffff"},
    {"large headers", "request headers+end::status=200;grpc-status=0;x=@#", "1000 15000 16300 16384 17000"},
    {"trailers without end", "request headers::status=200;a=b headers:#", "grpc-status=0 x=y"},
    {"large trailers", "request " H200 " message headers+end:grpc-status=0;x=@#", "15000 16300 17000"},
    {"headers in pieces", "request headers+open::status=200 continuation:x=@100*# continuation+end:grpc-status=0",
     "0 1 7 8 9 30 1000"},
    {"headers in pieces, without end", "request headers+open::status=200 continuation:*#", "1 50 5000"},
    {"headers in pieces, with a ping", "request headers+open::status=200 #", "ping settings data:1 rst:0 close"},
    {"a field of no name", "request headers+end:#", "=x :status=200;Upper=x :status=200;connection=x :status=200;te=x"},
    {"a broken header block", "request hex:#",
     "000001010500000003ff 00000101050000000380 0000030105000000033fe1ff 0000040105000000030003ffff"},
    {"headers without a request", "frame:1:4:#:1", "1 2 3 99 0x7fffffff"},
    {"data without a request", "frame:0:0:#:10", "0 1 2 3 99"},
    {"a stream opened by the server", "hex:#", "00000101040000000288 0000050504000000010000000288"},
    {"windows", "request window:#", "0:0 c:0 0:0x7fffffff c:0x7fffffff 0:1 99:1"},
    {"the window overflows", "request window:#:0x7fffffff*2", "0 c"},
    {"windows of a byte", "settings:4=# request pause:100", "0 1 1000"},
    {"a window that closes and opens", "settings:4=0 pause:20 settings:4=# request ok", "65535 1000000"},
    {"one stream at a time", "settings:3=# request ok request ok", "1 2"},
    {"frames of an illegal size", "settings:5=#", "0 16383 16777216 0xffffffff"},
    {"a frame larger than allowed", "frame:#:0:c:16385", "0 1 4 6 7 99"},
    {"a flood", "#",
     "ping*50000 settings*20000 settings_ack*5000 window:0:1*50000 frame:99:0:0:0*50000 frame:0:0:1:0*50000 "
     "rst:8*50000 frame:2:0:1:5*50000 pong*50000 frame:7:0:0:8*5000 data:16384*500"},
    {"a flood to nobody who is heard", "deaf #", "ping*50000 settings*20000 pause:300"},
    {"a flood of answers", "request headers::status=200 #", "data:0*20000 data:1*65537 data:16384*300"},
    {"frames of the wrong shape", "frame:#", "6:0:0:7 6:0:1:8 8:0:0:3 7:0:0:7 7:0:1:8 3:0:1:3 2:0:1:4 9:4:1:0 5:4:1:4"},
    {"unknown frames", "frame:#:0:0:100*10 request ok", "10 12 99 255"},
    {"silence", "request #", "pause:300 half reset close deaf"},
    {"a byte now and then", "request drip:20 # pause:100", "ok ping*20"},
    {"an answer twice", "request ok # request ok", "headers+end:grpc-status=0 data:5 data+end:5 rst:0"},
    {"garbage after an answer", "request ok #", "zeros:100 hex:ffffff text:HTTP/1.1_400 zeros:100000"},
    {"text where a frame should be", "request text:#", "HTTP/1.1_500_Internal_Server_Error GET_/_HTTP/1.1"},
    {"calm", "request goaway:c:11 #", "close pause:50"},
    {"going away, without end", "request goaway:#*1000 ok", "c:0 0x7fffffff:0"},
    {"going away, and the last stream grows", "request goaway:1:0 goaway:#:0 close", "0 c 0x7fffffff"},
};

struct list {
    struct hostile_case *cases;
    size_t count;
};

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static void add(struct list *list, const char *name, const char *value, char *script, bool whole)
{
    list->cases = must(realloc(list->cases, (list->count + 1) * sizeof(*list->cases)));
    struct hostile_case *new = &list->cases[list->count++];
    *new = (struct hostile_case){.script = script, .whole = whole};
    snprintf(new->name, sizeof(new->name), "%s%s%.60s", name, *value ? ": " : "", value);
}

/* -> script with # replaced */
static char *fill_in(const char *script, const char *value)
{
    const char *at = strchr(script, '#');
    char *out;
    int bytes =
        at ? asprintf(&out, "%.*s%s%s", (int)(at - script), script, value, at + 1) : asprintf(&out, "%s", script);
    return must(bytes < 0 ? NULL : out);
}

static void add_each(struct list *list, const char *name, const char *script, const char *values, bool whole)
{
    char *copy = must(strdup(values ? values : "")), *rest = copy;
    char *value = values ? strtok_r(copy, " ", &rest) : copy;
    for (; value; value = values ? strtok_r(NULL, " ", &rest) : NULL)
        add(list, name, value, fill_in(script, value), whole);
    free(copy);
}

static void add_between_frames(struct list *list, size_t row)
{
    for (size_t place = 0; place <= FRAME_COUNT; place++) {
        bool whole = place <= PRELUDE_FRAMES;
        char script[512] = "", name[64];
        for (size_t i = whole ? 0 : PRELUDE_FRAMES; i <= FRAME_COUNT; i++) {
            if (i == place)
                strcat(strcat(script, BETWEEN_FRAMES[row].words), " ");
            if (i < FRAME_COUNT)
                strcat(strcat(script, FRAMES[i]), " ");
        }
        snprintf(name, sizeof(name), "%s after %zu frames", BETWEEN_FRAMES[row].name, place);
        add_each(list, name, script, BETWEEN_FRAMES[row].values, whole);
    }
}

size_t hostile_cases_new(struct hostile_case **out)
{
    struct list list = {0};
    for (size_t i = 0; i < sizeof(BETWEEN_FRAMES) / sizeof(BETWEEN_FRAMES[0]); i++)
        add_between_frames(&list, i);
    for (size_t i = 0; i < sizeof(WHOLE) / sizeof(WHOLE[0]); i++)
        add_each(&list, WHOLE[i].name, WHOLE[i].script, WHOLE[i].values, true);
    for (size_t i = 0; i < sizeof(LATER) / sizeof(LATER[0]); i++)
        add_each(&list, LATER[i].name, LATER[i].script, LATER[i].values, false);
    *out = list.cases;
    return list.count;
}

void hostile_cases_free(struct hostile_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(cases[i].script);
    free(cases);
}
