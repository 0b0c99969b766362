/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bytes -> struct packet. A cursor is the offset of the next header; every read
 * goes through bpf_skb_load_bytes, which checks the packet's end, so that no
 * layout of the buffer (paged, short, cloned) can lead past it. Headers must
 * also lie within the length that IP tells: what follows is padding, which
 * nobody else will read. All functions return 0 or a drop: reason, file and line
 * in one number.
 *
 * A first fragment leaves its ports in a map; later ones take them from there.
 */
#ifndef LEAVITT_PARSE_H
#define LEAVITT_PARSE_H

#include <linux/errno.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <linux/stddef.h>

#include "maps.h"

#define DROP_AT(reason, file) ((u32)(reason) << 24 | (u32)(file) << 16 | __LINE__)
#define DROP_AT_REASON(drop) ((drop) >> 24)
#define DROP_AT_FILE(drop) (((drop) >> 16) & 0xff)
#define DROP_AT_LINE(drop) ((drop) & 0xffff)

#define MAX_EXTENSION_HEADERS 8
#define MIN_ETHERTYPE 0x0600 /* below it is a length: IEEE 802.3 */
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV6_FRAGMENT_OFFSET 0xfff8
#define IPV6_MORE_FRAGMENTS 0x0001
#define IPV4_MAPPED 0xffff0000ULL /* ::ffff:0:0, its second word on a little-endian machine */

#define PROTOCOL_ICMP 1
#define PROTOCOL_IGMP 2
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_SCTP 132

#define EXTENSION_HOP_BY_HOP 0
#define EXTENSION_ROUTING 43
#define EXTENSION_FRAGMENT 44
#define EXTENSION_AUTHENTICATION 51
#define EXTENSION_DESTINATION 60

#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACHABLE 3
#define ICMP_ECHO_REQUEST 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_PARAMETER_PROBLEM 4
#define ICMPV6_ECHO_REQUEST_TYPE 128
#define ICMPV6_ECHO_REPLY_TYPE 129
#define ICMPV6_LISTENER_FIRST 130
#define ICMPV6_LISTENER_LAST 132
#define ICMPV6_ROUTER_SOLICIT 133
#define ICMPV6_ROUTER_ADVERT 134
#define ICMPV6_NEIGHBOUR_SOLICIT 135
#define ICMPV6_REDIRECT 137
#define ICMPV6_LISTENER_V2 143

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define TCP_TOLD (TCP_FIN | TCP_SYN | TCP_RST) /* the first of each is always reported */

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
	__u16 l4_offset;
	__u16 header_bytes; /* those that each segment of a GSO packet carries */
	__u32 segments;
	__u32 end; /* offset of what follows the packet: padding, or nothing */
	__u64 bytes; /* on the wire */
};

struct ports {
	__be16 source;
	__be16 destination;
};

struct icmp_start {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 id;
	__be16 sequence;
};

struct extension {
	__u8 next;
	__u8 length;
	__be16 fragment;
	__be32 fragment_id;
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

/* Echo ids stand on the asking side's end, so that the answer has the same connection key. */
static __always_inline void echo_ports(struct packet *packet, u8 type, __be16 id)
{
	u8 request = packet->ipv6 ? ICMPV6_ECHO_REQUEST_TYPE : ICMP_ECHO_REQUEST;
	u8 reply = packet->ipv6 ? ICMPV6_ECHO_REPLY_TYPE : ICMP_ECHO_REPLY;

	if (type == request)
		packet->source_port = id;
	else if (type == reply)
		packet->destination_port = id;
}

static __always_inline u32 parse_icmp(struct __sk_buff *skb, struct packet *packet)
{
	struct icmp_start icmp;

	if (packet->l4_offset + sizeof(icmp) > packet->end ||
	    bpf_skb_load_bytes(skb, packet->l4_offset, &icmp, sizeof(icmp)))
		return DROP_AT(DROP_CT_TRUNCATED_HEADER, FILE_PARSE_H);
	packet->icmp_type = icmp.type;
	packet->policy_port = bpf_htons(icmp.type);
	packet->header_bytes = packet->l4_offset + sizeof(icmp);
	if (packet->ipv6)
		packet->icmp_error =
			icmp.type >= ICMPV6_UNREACHABLE && icmp.type <= ICMPV6_PARAMETER_PROBLEM;
	else
		packet->icmp_error = icmp.type == ICMP_UNREACHABLE ||
				     icmp.type == ICMP_TIME_EXCEEDED ||
				     icmp.type == ICMP_PARAMETER_PROBLEM;
	echo_ports(packet, icmp.type, icmp.id);
	return 0;
}

/* Ports stand first in TCP, UDP and SCTP alike. */
static __always_inline u32 parse_ports(struct __sk_buff *skb, struct packet *packet, u32 bytes)
{
	struct ports ports;
	u8 last;

	if (packet->l4_offset + bytes > packet->end ||
	    bpf_skb_load_bytes(skb, packet->l4_offset + bytes - 1, &last, sizeof(last)) ||
	    bpf_skb_load_bytes(skb, packet->l4_offset, &ports, sizeof(ports)))
		return DROP_AT(DROP_CT_TRUNCATED_HEADER, FILE_PARSE_H);
	packet->source_port = ports.source;
	packet->destination_port = ports.destination;
	packet->policy_port = ports.destination;
	packet->header_bytes = packet->l4_offset + bytes;
	return 0;
}

static __always_inline u32 parse_tcp(struct __sk_buff *skb, struct packet *packet)
{
	struct {
		struct ports ports;
		__be32 sequence;
		__be32 acknowledged;
		__u8 offset;
		__u8 flags;
		__be16 window;
		__be16 checksum;
		__be16 urgent;
	} tcp;

	if (packet->l4_offset + sizeof(tcp) > packet->end ||
	    bpf_skb_load_bytes(skb, packet->l4_offset, &tcp, sizeof(tcp)) || tcp.offset < 0x50)
		return DROP_AT(DROP_CT_TRUNCATED_HEADER, FILE_PARSE_H);
	packet->source_port = tcp.ports.source;
	packet->destination_port = tcp.ports.destination;
	packet->policy_port = tcp.ports.destination;
	packet->tcp_flags = tcp.flags;
	packet->header_bytes = packet->l4_offset + (tcp.offset >> 4) * 4;
	return 0;
}

static __always_inline u32 parse_l4(struct __sk_buff *skb, struct packet *packet)
{
	switch (packet->protocol) {
	case PROTOCOL_TCP:
		return parse_tcp(skb, packet);
	case PROTOCOL_UDP:
		return parse_ports(skb, packet, 8);
	case PROTOCOL_SCTP:
		return parse_ports(skb, packet, 12);
	case PROTOCOL_IGMP:
		if (!packet->ipv6 && is_ipv4_group(&packet->destination))
			return 0;
		break;
	case PROTOCOL_ICMP:
		if (!packet->ipv6)
			return parse_icmp(skb, packet);
		break;
	case PROTOCOL_ICMPV6:
		if (packet->ipv6)
			return parse_icmp(skb, packet);
		break;
	}
	return DROP_AT(DROP_CT_UNKNOWN_L4_PROTOCOL, FILE_PARSE_H);
}

/* A later fragment has no ports of its own, a first one leaves its ports for them. */
static __always_inline u32 parse_fragment(struct __sk_buff *skb, struct packet *packet, u32 id,
					  bool later)
{
	struct fragment_key key = {
		.source = packet->source,
		.destination = packet->destination,
		.id = id,
		.protocol = packet->protocol,
	};
	struct fragment_value value = {};
	struct fragment_value *first;
	u32 drop;

	if (!later) {
		drop = parse_l4(skb, packet);
		value.source_port = packet->source_port;
		value.destination_port = packet->destination_port;
		value.policy_port = packet->policy_port;
		if (!drop)
			fragments.update(&key, &value);
		return drop;
	}
	first = fragments.lookup(&key);
	if (!first)
		return DROP_AT(DROP_FIRST_FRAGMENT_NOT_FOUND, FILE_PARSE_H);
	packet->source_port = first->source_port;
	packet->destination_port = first->destination_port;
	packet->policy_port = first->policy_port;
	return 0;
}

/* Where the packet is a fragment: 0 no, else its id is set; later: not the first. */
struct fragment {
	__u32 id;
	bool is;
	bool later;
};

static __always_inline u32 parse_ipv4(struct __sk_buff *skb, struct packet *packet,
				      struct fragment *fragment)
{
	struct iphdr ip;
	u32 total;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return DROP_AT(DROP_INVALID_PACKET, FILE_PARSE_H);
	total = bpf_ntohs(ip.tot_len); /* 0: a GSO packet beyond 64 KiB */
	if (total && (total < ip.ihl * 4 || total > skb->len - ETH_HLEN))
		return DROP_AT(DROP_INVALID_PACKET, FILE_PARSE_H);
	ipv4_address(&packet->source, ip.saddr);
	ipv4_address(&packet->destination, ip.daddr);
	packet->protocol = ip.protocol;
	packet->ttl = ip.ttl;
	packet->l4_offset = ETH_HLEN + ip.ihl * 4;
	packet->end = total ? ETH_HLEN + total : skb->len;
	fragment->is = ip.frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET | IPV4_MORE_FRAGMENTS);
	fragment->later = ip.frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET);
	fragment->id = ip.id;
	return 0;
}

/* Walk the extension headers from packet->l4_offset to the first that is none. */
static __always_inline u32 parse_extensions(struct __sk_buff *skb, struct packet *packet,
					    struct fragment *fragment)
{
	struct extension extension;
	int i;

	for (i = 0; i <= MAX_EXTENSION_HEADERS; i++) {
		u8 kind = packet->protocol;

		if (kind != EXTENSION_HOP_BY_HOP && kind != EXTENSION_ROUTING &&
		    kind != EXTENSION_DESTINATION && kind != EXTENSION_AUTHENTICATION &&
		    kind != EXTENSION_FRAGMENT)
			return 0;
		if (fragment->later) /* its data, whatever they look like */
			return 0;
		if (packet->l4_offset + sizeof(extension) > packet->end ||
		    bpf_skb_load_bytes(skb, packet->l4_offset, &extension, sizeof(extension)))
			return DROP_AT(DROP_INVALID_IPV6_EXTENSION_HEADER, FILE_PARSE_H);
		packet->protocol = extension.next;
		if (kind == EXTENSION_FRAGMENT) {
			packet->l4_offset += sizeof(extension);
			fragment->is = extension.fragment &
				       bpf_htons(IPV6_FRAGMENT_OFFSET | IPV6_MORE_FRAGMENTS);
			fragment->later = extension.fragment & bpf_htons(IPV6_FRAGMENT_OFFSET);
			fragment->id = extension.fragment_id;
		} else if (kind == EXTENSION_AUTHENTICATION) {
			packet->l4_offset += (extension.length + 2) * 4;
		} else {
			packet->l4_offset += (extension.length + 1) * 8;
		}
	}
	return DROP_AT(DROP_INVALID_IPV6_EXTENSION_HEADER, FILE_PARSE_H);
}

static __always_inline u32 parse_ipv6(struct __sk_buff *skb, struct packet *packet,
				      struct fragment *fragment)
{
	struct ipv6hdr ip;
	u32 payload;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 6)
		return DROP_AT(DROP_INVALID_PACKET, FILE_PARSE_H);
	payload = bpf_ntohs(ip.payload_len); /* 0: a GSO packet beyond 64 KiB */
	packet->end = payload ? ETH_HLEN + sizeof(ip) + payload : skb->len;
	if (packet->end > skb->len)
		return DROP_AT(DROP_INVALID_PACKET, FILE_PARSE_H);
	ipv6_address(&packet->source, &ip.saddr);
	ipv6_address(&packet->destination, &ip.daddr);
	/* ::ffff:a.b.c.d never is on the wire; here it would pass for the IPv4 address */
	if (address_is_ipv4(&packet->source) || address_is_ipv4(&packet->destination))
		return DROP_AT(DROP_INVALID_PACKET, FILE_PARSE_H);
	packet->ipv6 = 1;
	packet->protocol = ip.nexthdr;
	packet->ttl = ip.hop_limit;
	packet->l4_offset = ETH_HLEN + sizeof(ip);
	return parse_extensions(skb, packet, fragment);
}

/* What crossed the wire: the headers of a GSO packet go before each of its segments. */
static __always_inline void parse_size(struct __sk_buff *skb, struct packet *packet)
{
	packet->segments = skb->gso_segs;
	packet->bytes = skb->len;
	if (packet->segments > 1)
		packet->bytes += (packet->segments - 1) * packet->header_bytes;
	else
		packet->segments = 1;
}

/* Fill a zeroed packet. Not IP: only its size is set, and a drop returned. */
static __always_inline u32 parse(struct __sk_buff *skb, struct packet *packet)
{
	struct fragment fragment = {};
	u32 drop;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		drop = parse_ipv4(skb, packet, &fragment);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		drop = parse_ipv6(skb, packet, &fragment);
	else if (bpf_ntohs(skb->protocol) < MIN_ETHERTYPE)
		drop = DROP_AT(DROP_UNSUPPORTED_L2_PROTOCOL, FILE_PARSE_H);
	else
		drop = DROP_AT(DROP_UNSUPPORTED_L3_PROTOCOL, FILE_PARSE_H);
	if (!drop)
		drop = fragment.is ? parse_fragment(skb, packet, fragment.id, fragment.later)
				   : parse_l4(skb, packet);
	parse_size(skb, packet);
	return drop;
}

/*
 * The packet that an ICMP error speaks of, as a packet of its own; false where
 * it cannot be told. Its ports are in the first 8 bytes that every error holds.
 * Extension headers inside an error are not followed.
 */
static __always_inline bool parse_inner(struct __sk_buff *skb, const struct packet *outer,
					struct packet *inner)
{
	u32 offset = outer->l4_offset + sizeof(struct icmp_start);
	struct icmp_start l4; /* ports stand where type, code and checksum do */

	if (outer->ipv6) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)) || ip.version != 6)
			return false;
		ipv6_address(&inner->source, &ip.saddr);
		ipv6_address(&inner->destination, &ip.daddr);
		inner->protocol = ip.nexthdr;
		inner->ipv6 = 1;
		offset += sizeof(ip);
	} else {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)) || ip.version != 4 ||
		    ip.ihl < 5)
			return false;
		ipv4_address(&inner->source, ip.saddr);
		ipv4_address(&inner->destination, ip.daddr);
		inner->protocol = ip.protocol;
		offset += ip.ihl * 4;
	}
	if (offset + sizeof(l4) > outer->end || bpf_skb_load_bytes(skb, offset, &l4, sizeof(l4)))
		return false;
	if (inner->protocol == PROTOCOL_ICMP || inner->protocol == PROTOCOL_ICMPV6) {
		echo_ports(inner, l4.type, l4.id);
	} else {
		inner->source_port = (__be16)(l4.type | l4.code << 8);
		inner->destination_port = l4.checksum;
	}
	return true;
}

#endif
