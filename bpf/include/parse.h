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

#include "icmp.h"

#define MAX_EXTENSION_HEADERS 8
#define MIN_ETHERTYPE 0x0600 /* below it is a length: IEEE 802.3 */
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV6_FRAGMENT_OFFSET 0xfff8
#define IPV6_MORE_FRAGMENTS 0x0001

#define EXTENSION_HOP_BY_HOP 0
#define EXTENSION_ROUTING 43
#define EXTENSION_FRAGMENT 44
#define EXTENSION_AUTHENTICATION 51
#define EXTENSION_DESTINATION 60

struct ports {
	__be16 source;
	__be16 destination;
};

struct extension {
	__u8 next;
	__u8 length;
	__be16 fragment;
	__be32 fragment_id;
};

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
		value.icmp_code = packet->icmp_code;
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
	/* an id stands on one side only; the type is what rules look at */
	if (packet->protocol == PROTOCOL_ICMP || packet->protocol == PROTOCOL_ICMPV6)
		icmp_belongs(packet, bpf_ntohs(first->policy_port), first->icmp_code,
			     first->source_port | first->destination_port);
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

#endif
