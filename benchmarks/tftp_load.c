/* Load client for TFTP servers: N clients read one file each for some seconds, over and over.
 *
 *   tftp_load SERVER PORT FILE CLIENTS BLKSIZE WINDOWSIZE SECONDS
 *
 * One thread, one epoll loop, one socket per client; every datagram is received, counted and checked for
 * its block number, nothing is stored. Each transfer begins with a new socket, as firmware does.
 * Prints one JSON line: bytes, files, seconds, resends (client timeouts), windowsize (as agreed), errors.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, ROOM = 65536 };

struct client {
    int fd;
    int connected;
    uint16_t expected; /* next block in order */
    unsigned in_window;
    unsigned block, window;
    int gap_told;
    double heard;
    unsigned char last[600]; /* last packet sent, for the timer */
    size_t last_length;
};

static struct sockaddr_in server;
static const char *file;
static unsigned want_block, want_window, agreed_window;
static unsigned long long bytes, files, resends, errors;
static int loop;
static char room[ROOM];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static size_t put(unsigned char *at, size_t used, const char *text)
{
    size_t length = strlen(text) + 1;
    memcpy(at + used, text, length);
    return used + length;
}

static void transmit(struct client *c)
{
    ssize_t sent = c->connected ? send(c->fd, c->last, c->last_length, 0)
                                : sendto(c->fd, c->last, c->last_length, 0, (void *)&server, sizeof server);
    (void)sent; /* lost packets are the timer's business */
}

static void begin(struct client *c, double at)
{
    char number[16];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int size = 1 << 20;
    if (c->fd >= 0)
        close(c->fd);
    memset(c, 0, sizeof *c);
    c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        die("socket");
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (epoll_ctl(loop, EPOLL_CTL_ADD, c->fd, &event))
        die("epoll_ctl");
    c->expected = 1;
    c->block = 512;
    c->window = 1;
    c->heard = at;
    c->last[1] = 1;
    size_t n = put(c->last, 2, file);
    n = put(c->last, n, "octet");
    if (want_block != 512) {
        snprintf(number, sizeof number, "%u", want_block);
        n = put(c->last, put(c->last, n, "blksize"), number);
    }
    if (want_window > 1) {
        snprintf(number, sizeof number, "%u", want_window);
        n = put(c->last, put(c->last, n, "windowsize"), number);
    }
    c->last_length = n;
    transmit(c);
}

static void acknowledge(struct client *c, uint16_t block)
{
    c->last[0] = 0;
    c->last[1] = 4;
    c->last[2] = block >> 8;
    c->last[3] = block & 255;
    c->last_length = 4;
    c->in_window = 0;
    transmit(c);
}

/* Returns 1 when the file is complete. */
static int take(struct client *c, const unsigned char *p, ssize_t n)
{
    if (n < 4)
        return 0;
    if (p[1] == 5) {
        errors++;
        return 1;
    }
    if (p[1] == 6 && c->expected == 1) {
        for (ssize_t i = 2; i < n;) {
            const char *key = (const char *)p + i;
            i += strlen(key) + 1;
            if (i >= n)
                break;
            const char *value = (const char *)p + i;
            i += strlen(value) + 1;
            if (!strcasecmp(key, "blksize"))
                c->block = atoi(value);
            else if (!strcasecmp(key, "windowsize"))
                agreed_window = c->window = atoi(value);
        }
        acknowledge(c, 0);
        return 0;
    }
    if (p[1] != 3)
        return 0;
    uint16_t block = p[2] << 8 | p[3];
    if (block != c->expected) {
        if (!c->gap_told && c->window > 1) {
            c->gap_told = 1;
            acknowledge(c, c->expected - 1);
        }
        return 0;
    }
    c->gap_told = 0;
    bytes += n - 4;
    c->expected++;
    int last = n - 4 < (ssize_t)c->block;
    if (last || ++c->in_window >= c->window)
        acknowledge(c, block);
    return last;
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fprintf(stderr, "usage: tftp_load SERVER PORT FILE CLIENTS BLKSIZE WINDOWSIZE SECONDS\n");
        return 2;
    }
    server.sin_family = AF_INET;
    server.sin_port = htons(atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
        die(argv[1]);
    file = argv[3];
    int count = atoi(argv[4]);
    want_block = atoi(argv[5]);
    want_window = atoi(argv[6]);
    double seconds = atof(argv[7]);
    loop = epoll_create1(0);
    struct client *clients = calloc(count, sizeof *clients);
    double started = now(), at = started, sweep = started;
    for (int i = 0; i < count; i++) {
        clients[i].fd = -1;
        begin(&clients[i], at);
    }
    struct epoll_event ready[BATCH];
    while (at - started < seconds) {
        int n = epoll_wait(loop, ready, BATCH, 50);
        at = now();
        for (int i = 0; i < n; i++) {
            struct client *c = ready[i].data.ptr;
            for (int k = 0; k < BATCH; k++) {
                struct sockaddr_in from;
                socklen_t length = sizeof from;
                ssize_t got = c->connected ? recv(c->fd, room, sizeof room, 0)
                                           : recvfrom(c->fd, room, sizeof room, 0, (void *)&from, &length);
                if (got < 0)
                    break;
                if (!c->connected) {
                    if (connect(c->fd, (void *)&from, sizeof from))
                        die("connect");
                    c->connected = 1;
                }
                c->heard = at;
                unsigned long long before = errors;
                if (take(c, (unsigned char *)room, got)) {
                    files += errors == before;
                    begin(c, at);
                    break;
                }
            }
        }
        if (at - sweep > 0.1) {
            sweep = at;
            for (int i = 0; i < count; i++)
                if (at - clients[i].heard > 1.0) {
                    clients[i].heard = at;
                    resends++;
                    transmit(&clients[i]);
                }
        }
    }
    printf("{\"bytes\": %llu, \"files\": %llu, \"seconds\": %.4f, \"resends\": %llu, \"windowsize\": %u, "
           "\"errors\": %llu}\n",
           bytes, files, at - started, resends, agreed_window, errors);
    return 0;
}
