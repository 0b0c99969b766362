/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is known of a packet: filled by parse.h and icmp.h, read by everything
 * else. Addresses are 16 bytes, IPv4 ones mapped, so that only parsers and
 * those who write packets ask which family it is.
 */
#ifndef LEAVITT_PACKET_H
#define LEAVITT_PACKET_H

#include <linux/errno.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <linux/stddef.h>

#include "maps.h"

/* A drop: reason, file and line in one number. */
#define DROP_AT(reason, file) ((u32)(reason) << 24 | (u32)(file) << 16 | __LINE__)
#define DROP_AT_REASON(drop) ((drop) >> 24)
#define DROP_AT_FILE(drop) (((drop) >> 16) & 0xff)
#define DROP_AT_LINE(drop) ((drop) & 0xffff)
#define DROP_AT_PLACE(drop) ((drop) & 0xffffff) /* file and line */

#define IPV4_MAPPED 0xffff0000ULL /* ::ffff:0:0, its second word on a little-endian machine */

#define PROTOCOL_ICMP 1
#define PROTOCOL_IGMP 2
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_SCTP 132

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define TCP_TOLD (TCP_FIN | TCP_SYN | TCP_RST) /* the first of each is always reported */

enum icmp_role {
	ICMP_ROLE_NONE, /* it is no ICMP */
	ICMP_ROLE_SPEAKS,  /* it asks, or speaks unasked */
	ICMP_ROLE_ANSWERS,
};

struct packet {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__be16 policy_port; /* what rules look at: the destination's, ICMP: the type */
	__u8 protocol;
	__u8 tcp_flags;
	__u8 ipv6;
	__u8 ttl;
	__u8 icmp_type;
	__u8 icmp_error; /* speaks of another packet: the inner one */
	__u8 icmp_role;
	__u8 icmp_talk; /* with icmp_code: see connection_key in layout.h */
	__u8 icmp_code;
	__u8 pad;
	__u16 l4_offset;
	__u16 header_bytes; /* those that each segment of a GSO packet carries */
	__u32 segments;
	__u32 end; /* offset of what follows the packet: padding, or nothing */
	__u64 bytes; /* on the wire */
};

static __always_inline void ipv4_address(struct address *address, __be32 ipv4)
{
	address->word[0] = 0;
	address->word[1] = (u64)ipv4 << 32 | IPV4_MAPPED;
}

static __always_inline void ipv6_address(struct address *address, const struct in6_addr *ipv6)
{
	__builtin_memcpy(address, ipv6, sizeof(*address));
}

static __always_inline bool address_is_ipv4(const struct address *address)
{
	return address->word[0] == 0 && (u32)address->word[1] == (u32)IPV4_MAPPED;
}

/* 224.0.0.0/4 */
static __always_inline bool is_ipv4_group(const struct address *address)
{
	return (address->word[1] >> 32 & 0xf0) == 0xe0;
}

static __always_inline bool address_equal(const struct address *a, const struct address *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1];
}

#endif
