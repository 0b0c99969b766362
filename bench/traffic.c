// SPDX-License-Identifier: Apache-2.0
/*
 * Traffic between two network namespaces by one thread that has both ends, pinned to one CPU.
 *
 *   traffic MODE CLIENT_NETNS SERVER_NETNS ADDRESS CPU MILLISECONDS
 *
 *   udp      round trips of 64 bytes, 8 at once   tcp    the same on one connection, one by one
 *   connect  connect, one round trip, reset       bulk   bytes one way on one connection
 *   fill     one datagram on each of MILLISECONDS different connections, at most 100,000
 *
 * Prints what it did and the nanoseconds it took. Nobody wakes up and no context is switched, so
 * what is timed is the path and the system calls; of these udp makes few, so that the path is seen
 * the better. Any error, and a second of silence, ends it with 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 5201
#define FILL_PORT 20000
#define FILL_SOURCE_PORT 10000
#define FILL_PORTS 100
#define FILL_SOURCES 1000
#define MESSAGE_BYTES 64
#define BULK_BYTES 65536
#define ROUND_TRIPS_PER_LOOK 32
#define AT_ONCE 8
#define BACKLOG 128

static char buffer[BULK_BYTES];

struct ends {
	int client;
	int server;
};

static void fail(const char *verb)
{
	fprintf(stderr, "traffic: %s: %s\n", verb, strerror(errno));
	exit(1);
}

static void check(long result, const char *verb)
{
	if (result < 0)
		fail(verb);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	check(fd, "open namespace");
	check(setns(fd, CLONE_NEWNET), "enter namespace");
	close(fd);
}

static void pin(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	check(sched_setaffinity(0, sizeof(cpus), &cpus), "pin");
}

/* IPv4 and IPv6 alike; the address of a family is that of the pod. */
static struct sockaddr_in6 address_of(const char *text, int port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	char mapped[INET6_ADDRSTRLEN + 8];

	if (strchr(text, ':'))
		snprintf(mapped, sizeof(mapped), "%s", text);
	else
		snprintf(mapped, sizeof(mapped), "::ffff:%s", text);
	errno = EINVAL;
	check(inet_pton(AF_INET6, mapped, &six.sin6_addr) == 1 ? 0 : -1, "read address");
	return six;
}

static int open_socket(int type)
{
	struct timeval silence = {.tv_sec = 1};
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0), one = 1, zero = 0;

	check(fd, "open socket");
	check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence)), "set timeout");
	check(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence)), "set timeout");
	check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), "reuse address");
	check(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)), "take both families");
	if (type == SOCK_STREAM)
		check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), "set no delay");
	return fd;
}

static int open_bound(int type, int port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = open_socket(type);

	check(bind(fd, (struct sockaddr *)&any, sizeof(any)), "bind");
	if (type == SOCK_STREAM)
		check(listen(fd, BACKLOG), "listen");
	return fd;
}

static void send_message(int fd)
{
	check(send(fd, buffer, MESSAGE_BYTES, MSG_NOSIGNAL), "send");
}

static void receive_message(int fd)
{
	if (recv(fd, buffer, MESSAGE_BYTES, 0) != MESSAGE_BYTES)
		fail("receive a message");
}

static int open_client(int type, const char *text)
{
	struct sockaddr_in6 address = address_of(text, PORT);
	int fd = open_socket(type);

	check(connect(fd, (struct sockaddr *)&address, sizeof(address)), "connect");
	return fd;
}

static struct ends open_ends(int type, int listener, const char *address)
{
	struct ends ends = {.client = open_client(type, address), .server = listener};
	struct sockaddr_in6 name;
	socklen_t size = sizeof(name);
	int one = 1;

	if (type == SOCK_STREAM) {
		ends.server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		check(ends.server, "accept");
		check(setsockopt(ends.server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)),
		      "set no delay");
		return ends;
	}
	send_message(ends.client);
	check(recvfrom(listener, buffer, sizeof(buffer), 0, (struct sockaddr *)&name, &size),
	      "receive the first datagram");
	check(connect(listener, (struct sockaddr *)&name, size), "connect to the client");
	return ends;
}

static void close_ends(struct ends ends)
{
	struct linger reset = {.l_onoff = 1};

	check(setsockopt(ends.client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), "set linger");
	close(ends.client); /* resets: no TIME_WAIT, its port is free again */
	close(ends.server);
}

static void round_trip(struct ends ends)
{
	send_message(ends.client);
	receive_message(ends.server);
	send_message(ends.server);
	receive_message(ends.client);
}

/* All of them in one call, from one end to the other. */
static void pass_messages(int from, int to)
{
	static struct mmsghdr messages[AT_ONCE];
	static struct iovec places[AT_ONCE];
	int done;

	for (int i = 0; i < AT_ONCE; i++) {
		places[i].iov_base = buffer + i * MESSAGE_BYTES;
		places[i].iov_len = MESSAGE_BYTES;
		messages[i].msg_hdr.msg_iov = &places[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	done = sendmmsg(from, messages, AT_ONCE, MSG_NOSIGNAL);
	if (done != AT_ONCE)
		fail("send messages");
	if (recvmmsg(to, messages, AT_ONCE, 0, NULL) != AT_ONCE)
		fail("receive messages");
}

static uint64_t round_trips_at_once(struct ends ends, uint64_t until_ns)
{
	uint64_t done = 0;

	do {
		for (int i = 0; i < ROUND_TRIPS_PER_LOOK; i += AT_ONCE) {
			pass_messages(ends.client, ends.server);
			pass_messages(ends.server, ends.client);
		}
		done += ROUND_TRIPS_PER_LOOK;
	} while (now_ns() < until_ns);
	return done;
}

static uint64_t round_trips(struct ends ends, uint64_t until_ns)
{
	uint64_t done = 0;

	do {
		for (int i = 0; i < ROUND_TRIPS_PER_LOOK; i++)
			round_trip(ends);
		done += ROUND_TRIPS_PER_LOOK;
	} while (now_ns() < until_ns);
	return done;
}

static uint64_t connections(int listener, const char *address, uint64_t until_ns)
{
	uint64_t done = 0;

	do {
		struct ends ends = open_ends(SOCK_STREAM, listener, address);

		round_trip(ends);
		close_ends(ends);
		done++;
	} while (now_ns() < until_ns);
	return done;
}

/* Send what there is room for, then take what is there: at least one of them goes on. */
static uint64_t bulk(struct ends ends, uint64_t until_ns)
{
	uint64_t done = 0;
	ssize_t got;

	do {
		int is_full =
			send(ends.client, buffer, sizeof(buffer), MSG_NOSIGNAL | MSG_DONTWAIT) < 0;

		if (is_full && errno != EAGAIN)
			fail("send");
		got = recv(ends.server, buffer, sizeof(buffer), is_full ? 0 : MSG_DONTWAIT);
		if (!got || (got < 0 && (is_full || errno != EAGAIN)))
			fail("receive");
		done += got > 0 ? got : 0;
	} while (now_ns() < until_ns);
	return done;
}

static uint64_t fill(const char *text, uint64_t count)
{
	struct sockaddr_in6 address = address_of(text, 0);
	uint64_t done = 0;

	for (int source = 0; source < FILL_SOURCES && done < count; source++) {
		int fd = open_bound(SOCK_DGRAM, FILL_SOURCE_PORT + source);

		for (int port = 0; port < FILL_PORTS && done < count; port++, done++) {
			address.sin6_port = htons(FILL_PORT + port);
			check(sendto(fd, buffer, MESSAGE_BYTES, 0, (struct sockaddr *)&address,
				     sizeof(address)),
			      "send");
		}
		close(fd);
	}
	return done;
}

static void open_fill_ports(void)
{
	for (int port = 0; port < FILL_PORTS; port++)
		open_bound(SOCK_DGRAM,
			   FILL_PORT + port); /* nobody reads: what is too much is dropped */
}

static uint64_t run(const char *mode, int listener, const char *address, uint64_t amount)
{
	uint64_t duration_ns = amount * 1000000, done;
	struct ends ends;

	if (!strcmp(mode, "fill"))
		return fill(address, amount);
	if (!strcmp(mode, "connect"))
		return connections(listener, address, now_ns() + duration_ns);
	ends = open_ends(strcmp(mode, "udp") ? SOCK_STREAM : SOCK_DGRAM, listener, address);
	if (!strcmp(mode, "bulk"))
		done = bulk(ends, now_ns() + duration_ns);
	else if (!strcmp(mode, "udp"))
		done = round_trips_at_once(ends, now_ns() + duration_ns);
	else
		done = round_trips(ends, now_ns() + duration_ns);
	close_ends(ends);
	return done;
}

static int open_listener(const char *mode)
{
	if (strcmp(mode, "fill"))
		return open_bound(strcmp(mode, "udp") ? SOCK_STREAM : SOCK_DGRAM, PORT);
	open_fill_ports();
	return -1;
}

int main(int argc, char **argv)
{
	uint64_t amount, started_ns, done;
	int listener;

	if (argc != 7) {
		fprintf(stderr,
			"usage: traffic udp|tcp|connect|bulk|fill CLIENT_NETNS SERVER_NETNS "
			"ADDRESS CPU MILLISECONDS\n");
		return 2;
	}
	amount = strtoull(argv[6], NULL, 10);
	pin(atoi(argv[5]));
	enter(argv[3]);
	listener = open_listener(argv[1]);
	enter(argv[2]);
	started_ns = now_ns();
	done = run(argv[1], listener, argv[4], amount);
	printf("%llu %llu\n", (unsigned long long)done,
	       (unsigned long long)(now_ns() - started_ns));
	return 0;
}
