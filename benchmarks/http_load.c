/* HTTP load: N keep-alive connections that GET one path again and again for some seconds and throw the bytes away.
 *
 *   http_load ADDRESS PORT CLIENTS SECONDS PATH [HEADER]
 *
 * Prints: bytes of bodies, whole responses, seconds. Exits with 1 if a response is not 200 with a Content-Length.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct client {
    int fd;
    int used;        /* bytes of a header read so far */
    long long left;  /* bytes of the body to come; -1: the header comes */
    char header[4096];
};

static char request[2048];

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

static void ask(struct client *c)
{
    c->used = 0;
    c->left = -1;
    if (send(c->fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
        die("send");
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: http_load ADDRESS PORT CLIENTS SECONDS PATH [HEADER]\n");
        return 2;
    }
    int clients = atoi(argv[3]);
    double seconds = atof(argv[4]);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n%s%s\r\n", argv[5], argc > 6 ? argv[6] : "",
             argc > 6 ? "\r\n" : "");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    int epoll = epoll_create1(0);
    struct client *all = calloc(clients, sizeof *all);
    for (int i = 0; i < clients; i++) {
        all[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(all[i].fd, (struct sockaddr *)&to, sizeof to))
            die("connect");
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event);
    }
    double started = now(), end = started + seconds;
    for (int i = 0; i < clients; i++)
        ask(&all[i]);
    long long bytes = 0, responses = 0;
    struct epoll_event events[64];
    while (now() < end) {
        int n = epoll_wait(epoll, events, 64, 100);
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (c->left < 0) {
                ssize_t got = recv(c->fd, c->header + c->used, sizeof c->header - 1 - c->used, MSG_DONTWAIT | MSG_PEEK);
                if (got < 0 && errno == EAGAIN)
                    continue;
                if (got <= 0)
                    die("header");
                c->header[c->used + got] = 0;
                char *body = strstr(c->header, "\r\n\r\n");
                if (!body) {
                    recv(c->fd, c->header + c->used, got, MSG_DONTWAIT);
                    c->used += got;
                    continue;
                }
                recv(c->fd, c->header + c->used, body + 4 - (c->header + c->used), MSG_DONTWAIT);
                char *length = strcasestr(c->header, "content-length:");
                if (strncmp(c->header, "HTTP/1.1 200", 12) || !length) {
                    fprintf(stderr, "http_load: %s\n", c->header);
                    return 1;
                }
                c->left = atoll(length + 15);
            }
            while (c->left > 0) {
                /* MSG_TRUNC: the kernel drops the bytes, no copy; the server is measured, not us. */
                size_t most = c->left < 4 << 20 ? c->left : 4 << 20;
                ssize_t got = recv(c->fd, NULL, most, MSG_DONTWAIT | MSG_TRUNC);
                if (got < 0 && errno == EAGAIN)
                    break;
                if (got <= 0)
                    die("body");
                c->left -= got;
                bytes += got;
            }
            if (c->left == 0) {
                responses++;
                ask(c);
            }
        }
    }
    printf("%lld %lld %.6f\n", bytes, responses, now() - started);
    return 0;
}
