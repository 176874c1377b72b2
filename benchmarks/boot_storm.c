/* Load client: N boards power on within some seconds, each walks the way of a PC with a BIOS to its kernel.
 *
 *   boot_storm SERVER BOARDS SECONDS FILE HTTP_PORT KERNEL PAGES
 *
 * Each board asks DHCP as a PXE ROM, fetches FILE by TFTP, asks DHCP as iPXE, and then fetches by HTTP its
 * script, the first 64 KiB of the kernel and its configuration, a connection each: the first PAGES of them. Boards have MACs and addresses of their own: the interface must hold every address the server
 * gives out (ip route add local NET dev lo). Lost packets are asked again after 4, 8 and 16 s, as firmware does.
 * One thread, one epoll loop. Prints one JSON object: counts, milliseconds by kind, and its own CPU time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 128, BLOCK = 1456, MOST = 10000, PATIENCE = 60 };
enum state { OFF, DISCOVER, REQUEST, TFTP, HTTP, DONE, FAILED };
enum kind { OFFERS, ACKS, FILES, SCRIPTS, KERNELS, CONFIGS, BOOTS, KINDS };
static const char *kind_names[KINDS] = {"offer", "ack", "tftp_file", "script", "kernel_head", "config", "boot"};

struct board {
    enum state state;
    int number, ipxe, page; /* page: which of the three it fetches by HTTP */
    int fd, connected, status, answered;
    uint16_t expected;
    uint32_t address, server_id;
    double on, asked, due;
    unsigned tries;
    unsigned char last[600];
    size_t last_length;
};

static struct board *boards;
static int count, loop, dhcp, http_port, pages;
static struct sockaddr_in server, everybody;
static const char *file, *kernel;
static double *samples[KINDS];
static int sampled[KINDS];
static unsigned long long resends, refused, naks;
static int ended;

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

static void sample(enum kind kind, double seconds)
{
    if (sampled[kind] < 2 * count)
        samples[kind][sampled[kind]++] = seconds * 1e3;
}

static void finish(struct board *b, enum state how, double at)
{
    if (b->fd >= 0)
        close(b->fd);
    b->fd = -1;
    b->state = how;
    ended++;
    if (how == DONE)
        sample(BOOTS, at - b->on);
}

static void wait_for(struct board *b, double at)
{
    b->tries = 0;
    b->asked = at;
    b->due = at + 4;
}

static void transmit(struct board *b)
{
    ssize_t sent;
    if (b->state != TFTP)
        sent = sendto(dhcp, b->last, b->last_length, 0, (void *)&everybody, sizeof everybody);
    else if (b->connected)
        sent = send(b->fd, b->last, b->last_length, 0);
    else
        sent = sendto(b->fd, b->last, b->last_length, 0, (void *)&server, sizeof server);
    (void)sent; /* lost packets are the timer's business */
}

static size_t option(unsigned char *p, size_t n, int code, const void *value, size_t length)
{
    p[n] = code;
    p[n + 1] = length;
    memcpy(p + n + 2, value, length);
    return n + 2 + length;
}

static void ask_dhcp(struct board *b, enum state state, double at)
{
    static const unsigned char cookie[] = {99, 130, 83, 99}, wanted[] = {1, 3, 6, 43, 54, 60, 66, 67, 97, 175};
    static const unsigned char http_feature[] = {0x13, 1, 1, 0xeb, 3, 1, 0, 0};
    unsigned char *p = b->last, uuid[17] = {0}, type = state == DISCOVER ? 1 : 3;
    uint32_t xid = htonl(0x10000000u | (uint32_t)b->number << 4 | b->ipxe << 1 | (state == REQUEST));
    memset(p, 0, sizeof b->last);
    p[0] = p[1] = 1;
    p[2] = 6;
    memcpy(p + 4, &xid, 4);
    p[10] = 0x80; /* answer by broadcast */
    p[28] = 0x52, p[29] = 0x54, p[31] = 0x99, p[32] = b->number >> 8, p[33] = b->number & 255;
    memcpy(p + 236, cookie, 4);
    size_t n = option(p, 240, 53, &type, 1);
    if (state == REQUEST) {
        n = option(p, n, 50, &b->address, 4);
        n = option(p, n, 54, &b->server_id, 4);
    }
    n = option(p, n, 55, wanted, sizeof wanted);
    n = option(p, n, 60, "PXEClient:Arch:00000:UNDI:002001", 32);
    n = option(p, n, 93, "\0\0", 2);
    n = option(p, n, 94, "\1\2\1", 3);
    memcpy(uuid + 1, p + 28, 6);
    uuid[16] = 1;
    n = option(p, n, 97, uuid, 17);
    if (b->ipxe) {
        n = option(p, n, 77, "iPXE", 4);
        n = option(p, n, 175, http_feature, sizeof http_feature);
    }
    p[n++] = 255;
    b->last_length = n < 300 ? 300 : n;
    b->state = state;
    wait_for(b, at);
    transmit(b);
}

static void open_socket(struct board *b, int type)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = b->address};
    struct epoll_event event = {.events = type == SOCK_STREAM ? EPOLLOUT : EPOLLIN, .data.ptr = b};
    int one = 1;
    b->fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
    if (b->fd < 0)
        die("socket");
    setsockopt(b->fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one);
    if (bind(b->fd, (void *)&own, sizeof own))
        die("bind to a leased address");
    if (epoll_ctl(loop, EPOLL_CTL_ADD, b->fd, &event))
        die("epoll_ctl");
}

static void begin_tftp(struct board *b, double at)
{
    b->state = TFTP;
    b->connected = 0;
    b->expected = 1;
    b->last[0] = 0;
    b->last[1] = 1;
    int n = 2 + sprintf((char *)b->last + 2, "%s%coctet%cblksize%c%d", file, 0, 0, 0, BLOCK) + 1;
    b->last_length = n;
    open_socket(b, SOCK_DGRAM);
    wait_for(b, at);
    transmit(b);
}

static void begin_http(struct board *b, double at)
{
    struct sockaddr_in to = server;
    to.sin_port = htons(http_port);
    b->state = HTTP;
    b->connected = b->status = b->answered = 0;
    open_socket(b, SOCK_STREAM);
    wait_for(b, at);
    b->due = at + PATIENCE;
    if (connect(b->fd, (void *)&to, sizeof to) && errno != EINPROGRESS)
        finish(b, FAILED, at);
}

static void heard_dhcp(double at)
{
    unsigned char p[2048];
    for (ssize_t got; (got = recv(dhcp, p, sizeof p, 0)) >= 0;) {
        if (got < 244 || p[0] != 2)
            continue;
        uint32_t xid, own = 0;
        memcpy(&xid, p + 4, 4);
        xid = ntohl(xid);
        unsigned number = xid >> 4 & 0xffff;
        if (xid >> 28 != 1 || number >= (unsigned)count)
            continue;
        struct board *b = &boards[number];
        int type = 0;
        for (ssize_t i = 240; i + 1 < got && p[i] != 255; i += p[i] ? 2 + p[i + 1] : 1) {
            if (p[i] == 53)
                type = p[i + 2];
            if (p[i] == 54)
                memcpy(&own, p + i + 2, 4);
        }
        if (b->state == DISCOVER && type == 2) {
            sample(OFFERS, at - b->asked);
            memcpy(&b->address, p + 16, 4);
            b->server_id = own;
            ask_dhcp(b, REQUEST, at);
        } else if (b->state == REQUEST && type == 5) {
            sample(ACKS, at - b->asked);
            if (!b->ipxe)
                begin_tftp(b, at);
            else if (pages)
                begin_http(b, at);
            else
                finish(b, DONE, at);
        } else if (b->state == REQUEST && type == 6) {
            naks++; /* somebody else was faster: from the start */
            ask_dhcp(b, DISCOVER, at);
        }
    }
}

static void heard_tftp(struct board *b, double at)
{
    unsigned char p[2048];
    struct sockaddr_in from;
    for (;;) {
        socklen_t length = sizeof from;
        ssize_t got = recvfrom(b->fd, p, sizeof p, 0, (void *)&from, &length);
        if (got < 4)
            return;
        if (!b->connected) {
            if (connect(b->fd, (void *)&from, sizeof from))
                die("connect");
            b->connected = 1;
        }
        if (p[1] == 5) {
            refused++;
            finish(b, FAILED, at);
            return;
        }
        uint16_t block = p[1] == 3 ? p[2] << 8 | p[3] : 0;
        if (p[1] == 3 && block != b->expected)
            continue;
        memcpy(b->last, (unsigned char[]){0, 4, block >> 8, block & 255}, 4);
        b->last_length = 4;
        b->tries = 0;
        b->due = at + 4;
        transmit(b);
        if (p[1] == 3) {
            b->expected++;
            if (got - 4 < BLOCK) {
                sample(FILES, at - b->asked);
                close(b->fd);
                b->fd = -1;
                b->ipxe = 1;
                ask_dhcp(b, DISCOVER, at);
                return;
            }
        }
    }
}

static void heard_http(struct board *b, uint32_t events, double at)
{
    char text[65536];
    if (!b->connected && events & EPOLLOUT) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = b};
        char path[128];
        b->connected = 1;
        snprintf(path, sizeof path, "%s%s", b->page == 0 ? "/boot/ipxe" : b->page == 1 ? "/boot/file/" : "/boot/config.cpio",
                 b->page == 1 ? kernel : "");
        int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: boot\r\nUser-Agent: iPXE\r\n%sConnection: close\r\n\r\n",
                         path, b->page == 1 ? "Range: bytes=0-65535\r\n" : "");
        epoll_ctl(loop, EPOLL_CTL_MOD, b->fd, &event);
        if (send(b->fd, text, n, MSG_NOSIGNAL) != n)
            finish(b, FAILED, at);
        return;
    }
    for (;;) {
        ssize_t got = recv(b->fd, text, sizeof text, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got > 12 && !b->answered) {
            b->answered = 1;
            b->status = atoi(text + 9);
        }
        if (got > 0)
            continue;
        if (got < 0 || b->status / 100 != 2) {
            if (!refused)
                fprintf(stderr, "board %d: page %d: HTTP status %d\n", b->number, b->page, b->status);
            refused++;
            finish(b, FAILED, at);
            return;
        }
        sample(SCRIPTS + b->page, at - b->asked);
        close(b->fd);
        b->fd = -1;
        if (++b->page == pages)
            finish(b, DONE, at);
        else
            begin_http(b, at);
        return;
    }
}

static void overdue(struct board *b, double at)
{
    if (++b->tries > 3 || b->state == HTTP) {
        finish(b, FAILED, at);
        return;
    }
    resends++;
    b->due = at + (4 << b->tries);
    transmit(b);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(double seconds)
{
    struct rusage used;
    int done = 0;
    for (int i = 0; i < count; i++)
        done += boards[i].state == DONE;
    getrusage(RUSAGE_SELF, &used);
    printf("{\"boards\": %d, \"done\": %d, \"resends\": %llu, \"refused\": %llu, \"naks\": %llu, \"seconds\": %.3f, \"cpu\": %.3f, \"ms\": {",
           count, done, resends, refused, naks, seconds,
           used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    for (int k = 0, first = 1; k < KINDS; k++) {
        int n = sampled[k];
        if (!n)
            continue;
        qsort(samples[k], n, sizeof *samples[k], ascending);
        printf("%s\"%s\": {\"n\": %d, \"p50\": %.2f, \"p99\": %.2f, \"max\": %.2f}", first ? "" : ", ", kind_names[k], n,
               samples[k][n / 2], samples[k][n * 99 / 100], samples[k][n - 1]);
        first = 0;
    }
    printf("}}\n");
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fprintf(stderr, "usage: boot_storm SERVER BOARDS SECONDS FILE HTTP_PORT KERNEL PAGES\n");
        return 2;
    }
    int one = 1, size = 8 << 20;
    struct rlimit files = {65536, 65536};
    setrlimit(RLIMIT_NOFILE, &files);
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(69)};
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
        die(argv[1]);
    everybody = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(67), .sin_addr.s_addr = INADDR_BROADCAST};
    count = atoi(argv[2]);
    double within = atof(argv[3]);
    file = argv[4];
    http_port = atoi(argv[5]);
    kernel = argv[6];
    pages = atoi(argv[7]);
    if (count < 1 || count > MOST)
        return 2;
    loop = epoll_create1(0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(68)};
    dhcp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(dhcp, SOL_SOCKET, SO_BROADCAST, &one, sizeof one);
    setsockopt(dhcp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(dhcp, SOL_SOCKET, SO_BINDTODEVICE, "cli0", 5);
    if (bind(dhcp, (void *)&own, sizeof own))
        die("bind to port 68");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(loop, EPOLL_CTL_ADD, dhcp, &event);
    boards = calloc(count, sizeof *boards);
    for (int k = 0; k < KINDS; k++)
        samples[k] = calloc(2 * count, sizeof **samples);
    double started = now(), at = started, sweep = started;
    srand(4); /* the same storm every time: as people and timers switch, not one by one */
    for (int i = 0; i < count; i++) {
        boards[i].number = i;
        boards[i].fd = -1;
        boards[i].on = started + within * (rand() / (double)RAND_MAX);
    }
    struct epoll_event ready[BATCH];
    while (ended < count && at - started < within + PATIENCE) {
        int n = epoll_wait(loop, ready, BATCH, 2);
        at = now();
        for (int i = 0; i < n; i++) {
            struct board *b = ready[i].data.ptr;
            if (!b)
                heard_dhcp(now());
            else if (b->state == TFTP)
                heard_tftp(b, now());
            else if (b->state == HTTP)
                heard_http(b, ready[i].events, now());
        }
        if (at - sweep > 0.002) {
            sweep = at;
            for (int i = 0; i < count; i++) {
                struct board *b = &boards[i];
                if (b->state == OFF && b->on <= at)
                    ask_dhcp(b, DISCOVER, now());
                else if (b->state > OFF && b->state < DONE && b->due < at)
                    overdue(b, at);
            }
        }
    }
    report(now() - started);
    return 0;
}
